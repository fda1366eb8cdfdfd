"""Automation at scale: batches of due portfolios, claims out of a million, the drift watch. Ratios, all in one run.

- Batches: `--portfolios` due portfolios of ten currencies on paper accounts, as runs of the Dagster job
  `rebalance_batch` over real storage: planned, netted, executed, ledger, history, materializations and checks written,
  on `--processes` warm worker processes side by side, as `rebalancer up --workers` has them. Beside it one Dagster run
  per portfolio, each a process of its own as the default launcher starts it.
- Claims: 100 due portfolios out of `--stored`, beside the plain scan for them and beside a round trip (`SELECT 1`).
- Drift: one look at `--watched` portfolios with a band.

    python -m benchmarks.automation [--portfolios 10000] [--accounts 50] [--processes 2] [--stored 1000000]
        [--watched 10000]
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import psycopg
from sqlalchemy import Connection, Engine, text

from rebalancer_pipelines.adapters.clock import SystemClock
from rebalancer_pipelines.adapters.embedded.services import running_database
from rebalancer_pipelines.adapters.kill_file import KillFile
from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.schema import migrate
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from rebalancer_pipelines.adapters.prices.bar_sources import BarRegistry
from rebalancer_pipelines.adapters.venues.paper.venue import PaperVenue
from rebalancer_pipelines.application.claims import LOOK_AHEAD, claim_due
from rebalancer_pipelines.application.drift_watch import watch_drift
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.definitions import build_definitions
from rebalancer_pipelines.domain.claim import Claim, ClaimedBatch
from rebalancer_pipelines.domain.market import Market, PriceMark
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.values import Currency
from rebalancer_pipelines.orchestration.instance import dagster_environment, prepare_home
from rebalancer_pipelines.orchestration.resources import Rebalancer

BASES = ("BTC", "ETH", "SOL", "XRP", "LTC", "ADA", "DOT", "LINK", "UNI")
"""Nine, and cash: ten currencies."""
EUR = Currency("EUR")
MIDS = dict(zip(BASES, ("60000", "2500", "140", "2", "80", "0.6", "5", "15", "8"), strict=True))
LEAST_PER_SECOND, LEAST_RATIO, MOST_MEGABYTES = 200, 200, 500
LEAST_CLAIM_RATIO, MOST_ROUND_TRIPS = 100, 12
MOST_DRIFT_SECONDS = 1.0
SINGLE_RUNS = 4


class FixedPrices:
    """Ten markets that stand still."""

    name = "fixed"

    def __init__(self) -> None:
        self._markets = {
            f"{base}/EUR": Market(
                f"{base}/EUR",
                Currency(base),
                EUR,
                price_increment=Decimal("0.0001"),
                size_increment=Decimal("0.00000001"),
                min_amount=Decimal("0.00001"),
                min_notional=Decimal("0.5"),
            )
            for base in BASES
        }

    def markets(self) -> Mapping[str, Market]:
        return self._markets

    def quotes(self, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        now = datetime.now(UTC)
        return {
            symbol: PriceMark(symbol, mid * Decimal("0.9995"), mid * Decimal("1.0005"), self.name, now)
            for symbol in symbols
            for mid in [Decimal(MIDS[symbol.partition("/")[0]])]
        }


class PaperVenues:
    """Every account is a paper account at fixed prices."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._prices, self._clock = engine, FixedPrices(), SystemClock()

    def connect(self, account: Account) -> PaperVenue:
        deep = Decimal(10) ** 12
        return PaperVenue(self._engine, account.id, self._prices, self._clock, traded_value=lambda _: deep)


@contextmanager
def opened(database_url: str) -> Iterator[Ports]:
    """The program's ports over fixed prices."""
    with open_engine(database_url) as engine, tempfile.TemporaryDirectory() as folder:
        yield Ports(
            transactions=lambda: PostgresUnitOfWork(engine),
            venues=PaperVenues(engine),  # type: ignore[arg-type]
            bar_sources=BarRegistry(SystemClock()),
            clock=SystemClock(),
            kill_file=KillFile(Path(folder)),
        )


class FixedPriceRebalancer(Rebalancer):
    """The resource over fixed prices."""

    @contextmanager
    def ports(self) -> Iterator[Ports]:
        with opened(self.database_url) as ports:
            yield ports


def furnish(database_url: str, portfolios: int, accounts: int, *, band: int | None = None) -> None:
    """Portfolios that are due, spread over paper accounts, each with drifted holdings worth some thousands."""
    chance = random.Random(7)
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO account (name, venue, price_source, settings, reconciled_at) "
            "SELECT 'account-' || n, 'paper', 'recorded', '{\"quote_age_seconds\": \"600\"}', now() "
            "FROM generate_series(1, %s) n RETURNING id",
            (accounts,),
        )
        account_ids = [row[0] for row in cursor.fetchall()]
        cursor.execute(
            "INSERT INTO portfolio (name, account_id, rebalance_enabled, rebalance_interval, anchor_at, drift_band) "
            "SELECT 'portfolio-' || n, (%s::uuid[])[1 + n %% %s], true, 'daily', now() - interval '1 minute', %s "
            "FROM generate_series(1, %s) n RETURNING id, account_id",
            (account_ids, accounts, band, portfolios),
        )
        owners = cursor.fetchall()
        held: dict[tuple[Any, str], Decimal] = {}
        now = datetime.now(UTC)
        with cursor.copy("COPY target_weight (portfolio_id, currency, weight) FROM STDIN") as copy:
            for portfolio_id, _ in owners:
                for currency in (*BASES, "EUR"):
                    copy.write_row((portfolio_id, currency, 10))
        with cursor.copy(
            "COPY ledger_entry (account_id, portfolio_id, kind, currency, amount, cause, occurred_at) FROM STDIN"
        ) as copy:
            for portfolio_id, account_id in owners:
                for currency in (*BASES, "EUR"):
                    worth = Decimal(chance.randint(50_000, 150_000)) / 100
                    units = (worth / Decimal(MIDS.get(currency, "1"))).quantize(Decimal("0.00000001"))
                    copy.write_row((account_id, portfolio_id, "deposit", currency, units, "benchmark", now))
                    held[account_id, currency] = held.get((account_id, currency), Decimal(0)) + units
        cursor.executemany(
            "INSERT INTO paper_balance (account_id, currency, total) VALUES (%s, %s, %s)",
            [(account_id, currency, units) for (account_id, currency), units in held.items()],
        )
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


def batch(database_url: str, folder: Path, accounts: int, processes: int) -> None:
    """Batch jobs over all, on warm processes side by side as workers are, and single runs beside them."""
    home = prepare_home(folder, database_url)
    os.environ.update(dagster_environment(folder, home, database_url, None))
    singles = time_singles(database_url)
    with opened(database_url) as ports:
        batches: list[ClaimedBatch] = []
        while (claimed := claim_due(ports, look_ahead=LOOK_AHEAD)) is not None:
            batches.append(claimed)
    # A batch each beforehand, so that the processes are warm, the tables not empty and the database knows them.
    warming, timed = batches[:processes], batches[processes:]
    execute = partial(execute_batch, database_url)
    with worker_processes(database_url, processes) as pool:
        pids = set(pool.map(execute, warming))
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        before, started = CpuSeconds.now(database_url, pids), time.perf_counter()
        list(pool.map(execute, timed))
        seconds = time.perf_counter() - started
        after = CpuSeconds.now(database_url, pids)
        megabytes = sum(peak_megabytes(pid) for pid in pids)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE success), sum(orders_planned), sum(value_crossed), "
            "sum(total_value_traded) FROM rebalance_history WHERE triggered_by = 'sensor'"
        ).fetchone()
        sent = connection.execute("SELECT count(*) FROM paper_order").fetchone()
        told = connection.execute(
            "SELECT count(*) FILTER (WHERE dagster_event_type = 'ASSET_MATERIALIZATION'), "
            "count(*) FILTER (WHERE dagster_event_type = 'ASSET_CHECK_EVALUATION') FROM dagster.event_logs"
        ).fetchone()
    if rows is None or sent is None or told is None or rows[0] != rows[1]:
        raise SystemExit(f"not every portfolio was rebalanced: {rows}")
    count = sum(len(claimed.claims) for claimed in timed)
    rate = count / seconds
    print(
        f"batch: {count} portfolios of {accounts} accounts, {len(timed)} runs on {len(pids)} processes, {seconds:.1f} s"
    )
    print(
        f"  {rate:.0f} portfolios/s (goal {LEAST_PER_SECOND}), peak memory {megabytes:.0f} MB of all processes "
        f"(goal {MOST_MEGABYTES})"
    )
    print(
        f"  CPU per portfolio: {(after.python - before.python) * 1000 / count:.2f} ms of Python, "
        f"{(after.postgres - before.postgres) * 1000 / count:.2f} ms of PostgreSQL"
    )
    print(
        f"  {rows[2]} orders planned, {sent[0] - SINGLE_RUNS} sent; {rows[3] / rows[4]:.0%} of the traded value crossed"
    )
    print(f"  {told[0]} materializations, {told[1]} verdicts of checks")
    print(f"one Dagster run per portfolio: {singles:.2f} s each; ratio {rate * singles:.0f} (goal {LEAST_RATIO})")


@contextmanager
def worker_processes(database_url: str, processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that wait for batches, all of them loaded before the first takes one."""
    context = get_context("spawn")
    with ProcessPoolExecutor(
        processes, context, initializer=load_worker, initargs=(database_url, context.Barrier(processes))
    ) as pool:
        yield pool


def load_worker(database_url: str, all_loaded: Barrier) -> None:
    """Load what a worker process keeps between its runs."""
    warnings.simplefilter("ignore")
    loaded_worker(database_url)
    all_loaded.wait()


@cache
def loaded_worker(database_url: str) -> tuple[dg.DagsterInstance, dg.JobDefinition]:
    """The instance and the job of this process."""
    definitions = build_definitions(FixedPriceRebalancer(database_url=database_url))
    return dg.DagsterInstance.get(), definitions.resolve_job_def("rebalance_batch")


def execute_batch(database_url: str, claimed: ClaimedBatch) -> int:
    """Execute a batch's run in this process; returns the process's id."""
    instance, job = loaded_worker(database_url)
    job.execute_in_process(
        instance=instance,
        run_config={
            "ops": {"rebalance_portfolios": {"config": {"batch": str(claimed.id)}}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
    )
    return os.getpid()


@dataclass(frozen=True, slots=True)
class CpuSeconds:
    """What worker processes and the database's server have used of the processors so far."""

    python: float
    postgres: float

    @classmethod
    def now(cls, database_url: str, workers: Collection[int]) -> CpuSeconds:
        with psycopg.connect(database_url) as connection:
            backend = psutil.Process(connection.info.backend_pid)
            server = backend.parent()
            if server is None:
                raise SystemExit("the database's server is not on this machine")
            # Of backends that have ended, the server knows.
            spent = server.cpu_times()
            postgres = spent.user + spent.system + spent.children_user + spent.children_system
            for process in server.children():
                with suppress(psutil.NoSuchProcess):
                    spent = process.cpu_times()
                    postgres += spent.user + spent.system
        python = [psutil.Process(pid).cpu_times() for pid in workers]
        return cls(sum(times.user + times.system for times in python), postgres)


def peak_megabytes(pid: int) -> float:
    """The most memory that a process has had resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def time_singles(database_url: str) -> float:
    """Seconds that one run per portfolio takes, as a process of its own."""
    program = (
        "import sys, dagster as dg; from benchmarks.automation import FixedPriceRebalancer; "
        "from rebalancer_pipelines.definitions import build_definitions; "
        "job = build_definitions(FixedPriceRebalancer(database_url=sys.argv[1])).resolve_job_def('rebalance'); "
        "instance = dg.DagsterInstance.get(); instance.add_dynamic_partitions('portfolio', [sys.argv[2]]); "
        "job.execute_in_process(instance=instance, partition_key=sys.argv[2], "
        "run_config={'loggers': {'console': {'config': {'log_level': 'CRITICAL'}}}})"
    )
    times: list[float] = []
    for number in range(SINGLE_RUNS):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", program, database_url, f"portfolio-{number + 1}"], check=True, capture_output=True
        )
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def claims(database_url: str, stored: int) -> None:
    """Claim 100 out of many."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO account (name, venue, price_source) VALUES ('claims', 'paper', 'recorded')")
        connection.execute(
            "INSERT INTO portfolio (name, account_id, rebalance_enabled, rebalance_interval, anchor_at) "
            "SELECT 'claimed-' || n, (SELECT id FROM account WHERE name = 'claims'), true, 'daily', "
            "now() + (n - 20000) * interval '1 second' FROM generate_series(1, %s) n",
            (stored,),
        )
        connection.execute("VACUUM ANALYZE portfolio")
        connection.execute("VACUUM ANALYZE portfolio_due")
    with opened(database_url) as ports, open_engine(database_url) as engine, engine.connect() as connection:
        round_trip = quickest(lambda: ask(engine), 200)
        looked_up = quickest(lambda: expect(look_up(ports)), 30)
        claimed = quickest(lambda: expect(claim_due(ports, limit=100)), 30)
        connection.execute(
            text("SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off")
        )
        scanned = quickest(
            lambda: connection.execute(
                text(
                    "SELECT portfolio_id FROM portfolio_due WHERE is_scheduled AND batch_id IS NULL "
                    "AND next_rebalance_at <= now() ORDER BY next_rebalance_at LIMIT 100 FOR UPDATE"
                )
            ).all(),
            5,
        )
        connection.rollback()
        log_before = write_ahead_log(connection)
        expect(claim_due(ports, limit=100))
        written = write_ahead_log(connection) - log_before
    print(
        f"claim of 100 out of {stored}: {claimed * 1000:.2f} ms; plain scan {scanned * 1000:.0f} ms, ratio "
        f"{scanned / claimed:.0f} (goal {LEAST_CLAIM_RATIO}); {claimed / round_trip:.1f} round trips of SELECT 1 "
        f"({round_trip * 1000:.2f} ms; goal {MOST_ROUND_TRIPS})"
    )
    print(
        f"  of that the look-up with its locks: {looked_up * 1000:.2f} ms, ratio {scanned / looked_up:.0f}, "
        f"{looked_up / round_trip:.1f} round trips; the rest makes it durable: 100 claims stored, "
        f"{written / 1024:.0f} KB of write-ahead log"
    )


def look_up(ports: Ports) -> Sequence[Claim]:
    """What a claim does before it writes: find what is due, and lock it."""
    with ports.transactions() as work:
        return work.claims.lock_due(ports.clock.now(), 100)


def write_ahead_log(connection: Connection) -> int:
    """How many bytes the server has logged so far."""
    return int(connection.execute(text("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")).scalar_one())


def drift(database_url: str, watched: int) -> None:
    """One look at all portfolios with a band."""
    with opened(database_url) as ports:
        seconds = quickest(lambda: watch_drift(ports), 3)
    print(f"drift watch of {watched} portfolios: {seconds:.2f} s (goal {MOST_DRIFT_SECONDS})")


def ask(engine: Engine) -> None:
    """A round trip as the program makes one: a connection of the pool, a transaction, `SELECT 1`."""
    with engine.connect() as connection:
        connection.execute(text("SELECT 1")).scalar()


def expect(found: object) -> None:
    """Something must have been found, or the figure says nothing."""
    if found is None:
        raise SystemExit("nothing was due")


def quickest(act: Callable[[], object], times: int) -> float:
    """The median of several times, in seconds."""
    taken: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        act()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portfolios", type=int, default=10_000)
    parser.add_argument("--accounts", type=int, default=50)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--stored", type=int, default=1_000_000)
    parser.add_argument("--watched", type=int, default=10_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_database(Path(folder) / "data") as url:
        migrate(url)
        furnish(url, chosen.portfolios, chosen.accounts)
        batch(url, Path(folder) / "data", chosen.accounts, chosen.processes)
    with tempfile.TemporaryDirectory() as folder, running_database(Path(folder) / "data") as url:
        migrate(url)
        furnish(url, chosen.watched, chosen.accounts, band=20)
        drift(url, chosen.watched)
        claims(url, chosen.stored)


if __name__ == "__main__":
    main()
