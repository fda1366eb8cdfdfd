"""A live rebalance of 12 orders against a Kraken-speaking double: what is ours of its time, and what is the venue's.

The double answers every request after a latency and counts as Kraken does (tier Starter). One run is the whole Dagster
job: balances, prices, value, plan, orders, history, with its database. Its own overhead is the wall time less what it
waited for the venue: for answers, and for the venue's counters to allow the next request.

Beside it, in the same run, plain ccxt sends the same 12 orders, with its default throttle: one `create_order` and one
`fetch_order` each, and a balance before and after. It keeps no record of what it does and settles nothing.

    python -m benchmarks.rebalance_live [--latency-ms 50] [--runs 3]
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import ccxt
import dagster as dg
import psycopg

from rebalancer_pipelines.adapters.assembly import open_ports
from rebalancer_pipelines.adapters.embedded.services import running_database
from rebalancer_pipelines.adapters.postgres.schema import migrate
from rebalancer_pipelines.adapters.venues.ccxt.venue_time import VenueTime
from rebalancer_pipelines.application.accounts import NewAccount, open_account
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.trading_control import enable_trading
from rebalancer_pipelines.definitions import build_definitions
from rebalancer_pipelines.domain.portfolio import CredentialSource
from rebalancer_pipelines.orchestration.resources import Rebalancer
from tests.support.kraken_double.remote import RemoteDouble, kraken_double_process

CURRENCIES = ("BTC", "ETH", "SOL", "XRP", "LTC", "ADA", "DOT", "LINK", "ATOM", "AVAX", "UNI", "AAVE")
MOST_SECONDS, MOST_SHARE = 1.5, 0.1
"""Own overhead stays under one of the two: seconds, or a share of the wall time."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One side's 12 orders. `venue` is None where nobody keeps count."""

    wall: float
    requests: int
    violations: int
    venue: VenueTime | None = None

    @property
    def own(self) -> float:
        """Seconds that are not the venue's."""
        if self.venue is None:
            return self.wall
        return self.wall - (self.venue.called + self.venue.waited).total_seconds()


class Installation:
    """The program over a database of its own, as a long-lived process has it: imported, connected, migrated."""

    def __init__(self, ports: Ports, database_url: str) -> None:
        self._ports = ports

        class Opened(Rebalancer):
            @contextmanager
            def ports(self) -> Iterator[Ports]:
                yield ports

        self._job = build_definitions(Opened(database_url=database_url)).resolve_job_def("rebalance")
        self._instance = dg.DagsterInstance.ephemeral()

    def open(self, double: RemoteDouble) -> str:
        """A live account that holds only cash, so that all 12 currencies have to be bought."""
        name = f"bench-{uuid4().hex[:8]}"
        os.environ["BENCH_KEY"], os.environ["BENCH_SECRET"] = double.key, double.secret
        limits = {"max_turnover": "off", "max_order_notional": "off", "max_daily_notional": "off"}
        key = CredentialSource(key_env="BENCH_KEY", secret_env="BENCH_SECRET")
        open_account(
            self._ports, NewAccount(name, "kraken", "live", settings=limits, endpoint=double.url, credentials=key)
        )
        enable_trading(self._ports, name, confirmed_name=name)
        weights = ",".join(CURRENCIES)
        create_portfolio(self._ports, {"name": name, "account": name, "weights": f"{weights},EUR=4"})
        self._instance.add_dynamic_partitions("portfolio", [name])
        return name

    def rebalance(self, name: str, double: RemoteDouble) -> Measured:
        """Run the job; raises when it does not come to 12 filled orders."""
        before = self._venue_time(name)
        requests = len(double.journal()["requests"])
        started = time.perf_counter()
        self._job.execute_in_process(
            instance=self._instance,
            partition_key=name,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        wall = time.perf_counter() - started
        after = self._venue_time(name)
        with self._ports.transactions() as work:
            ((_, record),) = work.history.newest(work.portfolios.get(name).id, 1)
        if (record.success, record.orders_executed) != (True, len(CURRENCIES)):
            raise SystemExit(f"the rebalance did not fill 12 orders: {record.errors}")
        journal = double.journal()
        spent = VenueTime(waited=after.waited - before.waited, called=after.called - before.called)
        return Measured(wall, len(journal["requests"]) - requests, len(journal["violations"]), spent)

    def _venue_time(self, name: str) -> VenueTime:
        with self._ports.transactions() as work:
            account = work.accounts.get(name)
        venue: Any = self._ports.venues.connect(account)
        return venue.time_spent


def plain_ccxt(double: RemoteDouble) -> Measured:
    """The same 12 orders by ccxt alone, throttled as it comes."""
    client: Any = ccxt.kraken(
        {"apiKey": double.key, "secret": double.secret, "urls": {"api": {"public": double.url, "private": double.url}}}
    )
    started = time.perf_counter()
    client.load_markets()
    cash = client.fetch_balance()["EUR"]["free"]
    symbols = [f"{currency}/EUR" for currency in CURRENCIES]
    tickers = client.fetch_tickers(symbols)
    for symbol in symbols:
        ask = tickers[symbol]["ask"]
        order = client.create_order(
            symbol,
            "limit",
            "buy",
            0.08 * cash / ask,
            client.price_to_precision(symbol, ask * 1.01),
            {"timeInForce": "IOC"},
        )
        client.fetch_order(order["id"], symbol)
    client.fetch_balance()
    wall = time.perf_counter() - started
    journal = double.journal()
    return Measured(wall, len(journal["requests"]), len(journal["violations"]))


def main() -> int:
    """Print both sides; return 1 when the rebalance's own overhead misses the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency-ms", type=int, default=50, metavar="N")
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    double_options = ("--tier", "starter", "--latency-ms", str(options.latency_ms), "--balance", "EUR=10000")
    ours: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder, running_database(Path(folder) / "data") as url:
        migrate(url)
        with open_ports(url, Path(folder)) as ports:
            installation = Installation(ports, url)
            for _ in range(options.runs):
                # A key of its own for every run, so that each begins with Kraken's counters at rest.
                with kraken_double_process(*double_options) as double:
                    ours.append(installation.rebalance(installation.open(double), double))
                with psycopg.connect(url) as connection:
                    connection.execute("UPDATE account SET key_fingerprint = NULL")
    with kraken_double_process(*double_options) as double:
        plain = plain_ccxt(double)
    _print(ours, plain, options.latency_ms)
    own, wall = statistics.median(m.own for m in ours), statistics.median(m.wall for m in ours)
    return 0 if own < MOST_SECONDS or own < MOST_SHARE * wall else 1


def _print(ours: list[Measured], plain: Measured, latency_ms: int) -> None:
    print(f"12 orders, {latency_ms} ms latency, tier Starter; seconds")
    print(f"{'':<12} {'wall':>7} {'answers':>8} {'counters':>9} {'own':>7} {'requests':>9} {'violations':>11}")
    for measured in ours:
        venue = measured.venue or VenueTime(timedelta(0), timedelta(0))
        called, waited = venue.called.total_seconds(), venue.waited.total_seconds()
        print(
            f"{'rebalance':<12} {measured.wall:>7.2f} {called:>8.2f} {waited:>9.2f} {measured.own:>7.2f} "
            f"{measured.requests:>9} {measured.violations:>11}"
        )
    print(f"{'plain ccxt':<12} {plain.wall:>7.2f} {'':>8} {'':>9} {'':>7} {plain.requests:>9} {plain.violations:>11}")
    median = statistics.median(measured.wall for measured in ours)
    print(f"plain ccxt takes {plain.wall / median:.1f} times as long; goal: own under {MOST_SECONDS} s or 10 % of wall")


if __name__ == "__main__":
    raise SystemExit(main())
