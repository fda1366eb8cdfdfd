"""A live account at the fake venue: real PostgreSQL, real use cases, a venue that misbehaves on demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from rebalancer_pipelines.application.accounts import NewAccount, open_account
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.trading_control import enable_trading
from rebalancer_pipelines.domain.errors import DenialReason
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.rebalance import RebalanceRecord
from rebalancer_pipelines.domain.values import Currency
from tests.support.fake_venue import FakeVenue, FakeVenues
from tests.support.fixed_prices import FixedPrices, a_market
from tests.support.ports_on import ports_on
from tests.support.rebalancing import rebalance
from tests.support.running_clock import RunningClock
from tests.support.stored import Stored

ACCOUNT = "main"
CONFIRMED = frozenset({DenialReason.TURNOVER})


@dataclass
class LiveBench:
    """An account with 1,000 EUR at a venue that a test may turn, and nothing in its books but that."""

    ports: Ports
    venue: FakeVenue
    prices: FixedPrices
    clock: RunningClock
    stored: Stored
    data_dir: Path

    def open(
        self, *, settings: Mapping[str, str] | None = None, enabled: bool = True, weights: str = "BTC=40,ETH=30,EUR=30"
    ) -> Account:
        """The account with the portfolio `core`, which owns everything there."""
        account = open_account(self.ports, NewAccount(ACCOUNT, "fake", "fixed", settings=settings or {}))
        if enabled:
            enable_trading(self.ports, ACCOUNT, confirmed_name=ACCOUNT)
        create_portfolio(self.ports, {"name": "core", "account": ACCOUNT, "weights": weights})
        return account

    def run(self, portfolio: str = "core", confirmed: frozenset[DenialReason] = CONFIRMED) -> RebalanceRecord:
        """Rebalance for real money, with a first run's turnover confirmed."""
        return rebalance(self.ports, portfolio, confirmed=confirmed)

    def account(self) -> dict[str, object]:
        """The account's row."""
        return self.stored.row("SELECT * FROM account WHERE name = %s", ACCOUNT)

    def venue_totals(self) -> dict[tuple[str, str], Decimal]:
        """What the venue holds, keyed as `Stored.ledger_sums` does."""
        self.venue.unreachable = False
        held = self.venue.balances().items()
        return {(ACCOUNT, str(currency)): holding.total for currency, holding in held if holding.total}

    def orders(self) -> list[tuple[str, str]]:
        """Market and state of every intent, in sequence."""
        rows = self.stored.rows("SELECT symbol, state FROM order_intent ORDER BY created_at, sequence")
        return [(row["symbol"], row["state"]) for row in rows]

    def denials(self, portfolio: str = "core") -> list[str]:
        """The first error code of every history row, oldest first."""
        return [row["errors"][0]["code"] if row["errors"] else "" for row in self.stored.history(portfolio)]


@contextmanager
def live_bench(database_url: str, stored: Stored, data_dir: Path) -> Iterator[LiveBench]:
    """The bench on a migrated database."""
    clock = RunningClock()
    prices = FixedPrices(clock, a_market("BTC/EUR"), a_market("ETH/EUR"))
    prices.quote("BTC/EUR", "30000.0", "30010.0")
    prices.quote("ETH/EUR", "2000.0", "2001.0")
    venue = FakeVenue(clock, prices, balances={"EUR": Decimal(1000)}, visibility_lag=timedelta(seconds=60))
    with ports_on(database_url, clock, data_dir) as ports:
        yield LiveBench(replace(ports, venues=FakeVenues(venue)), venue, prices, clock, stored, data_dir)


EUR, BTC, ETH = Currency("EUR"), Currency("BTC"), Currency("ETH")
