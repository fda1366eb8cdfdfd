"""The whole program against the double: real PostgreSQL, the real ccxt, Kraken's protocol, and one clock for all.

What a test asserts last is always `assert_one_story`: the venue's journal, our orders and fills, our ledger, the
history and the balances tell the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from rebalancer_pipelines.adapters.kill_file import KillFile
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from rebalancer_pipelines.adapters.prices.bar_sources import BarRegistry
from rebalancer_pipelines.adapters.venues.registry import VenueRegistry
from rebalancer_pipelines.application.accounts import NewAccount, open_account
from rebalancer_pipelines.application.batch.attempt import Outcome
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.trading_control import enable_trading
from rebalancer_pipelines.domain.errors import DenialReason
from rebalancer_pipelines.domain.order import OrderState
from rebalancer_pipelines.domain.portfolio import CredentialSource
from rebalancer_pipelines.domain.rebalance import RebalanceRecord, TriggeredBy
from rebalancer_pipelines.domain.values import Currency
from tests.support.batches import create_sharing, rebalance_together
from tests.support.kraken_double import Fault, KrakenDouble, kraken_double
from tests.support.kraken_double.gate import Gate
from tests.support.netted_story import assert_nothing_lost_inside
from tests.support.rebalancing import rebalance
from tests.support.running_clock import RunningClock
from tests.support.stored import Stored

KEY_VARIABLES = CredentialSource(key_env="KRAKEN_API_KEY", secret_env="KRAKEN_API_SECRET")

QUICK = {
    "hold_seconds": "60",
    "venue_timeout_seconds": "1",
    "max_turnover": "off",
    "max_price_jump": "off",
    "rate_tier": "pro",
}
"""Kraken's real holds, which cost nothing on a clock that skips; only the socket's own timeout is in real seconds."""


def open_live_account(
    ports: Ports,
    double: KrakenDouble,
    *,
    name: str = "kraken",
    portfolios: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
) -> None:
    """A live account at the double with portfolios, one of which owns everything unless there are more.

    Expects the double's key in the environment.
    """
    open_account(
        ports,
        NewAccount(
            name,
            "kraken",
            "live",
            settings={**QUICK, **(settings or {})},
            endpoint=double.url,
            credentials=KEY_VARIABLES,
        ),
    )
    enable_trading(ports, name, confirmed_name=name)
    for portfolio, weights in ({"core": "BTC=40,ETH=30,EUR=30"} if portfolios is None else portfolios).items():
        create_portfolio(ports, {"name": portfolio, "account": name, "weights": weights})


def run_live(ports: Ports, portfolio: str = "core") -> RebalanceRecord:
    """Rebalance with everything confirmed that a person may confirm."""
    return rebalance(ports, portfolio, confirmed=frozenset({DenialReason.TURNOVER, DenialReason.PRICE_COLLAR}))


def merged(balances: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """The double's balances by plain currency, as the books keep them: every form of a currency in one sum."""
    sums: dict[str, Decimal] = {}
    for code, amount in balances.items():
        base = code.partition(".")[0].rstrip("0123456789") if "." in code else code
        sums[base] = sums.get(base, Decimal(0)) + amount
    return {code: amount for code, amount in sums.items() if amount}


def assert_one_story(double: KrakenDouble, stored: Stored) -> None:
    """Nothing lost, nothing doubled, no counter exceeded, and all five accounts of what happened agree.

    Expects that no order of ours may still be at the venue.
    """
    assert_nothing_doubled(double, stored)
    at_venue = {order.cl_ord_id: order for order in double.orders if not order.by_hand}
    rows = {row["client_order_id"]: row for row in stored.rows("SELECT * FROM order_intent WHERE NOT dry_run")}
    unsettled = [row["state"] for row in rows.values() if not OrderState(row["state"]).is_terminal]
    assert [state for state in unsettled if state != "PLANNED"] == []
    for client_id, order in at_venue.items():
        row = rows[str(client_id)]
        assert row["venue_order_id"] == order.txid
        assert row["quantity"] == order.volume
        assert row["limit_price"] == order.limit
        expected = "FILLED" if order.vol_exec == order.volume else "PARTIALLY_FILLED" if order.vol_exec else "CANCELED"
        assert row["state"] == expected
    # What rides on a net order, or crossed inside the account, ends by what that brought, and is not at the venue.
    inside = _traded_inside(stored)
    never_taken = [row["state"] for client_id, row in rows.items() if client_id not in at_venue.keys() | inside]
    assert not {"FILLED", "PARTIALLY_FILLED", "CANCELED", "OPEN"} & set(never_taken)
    assert _our_fills(stored) == _their_fills(double)
    assert _ledger_sums(stored) == merged(double.balances())
    _assert_history(double, stored)


def _traded_inside(stored: Stored) -> set[str]:
    """Client ids of orders that were not sent themselves: they rode on a net order, or crossed."""
    rows = stored.rows(
        "SELECT client_order_id FROM order_intent o WHERE netted_into IS NOT NULL OR EXISTS "
        "(SELECT 1 FROM fill WHERE fill.order_intent_id = o.id AND liquidity_side = 'internal')"
    )
    return {row["client_order_id"] for row in rows}


def assert_nothing_doubled(double: KrakenDouble, stored: Stored) -> None:
    """No client id was accepted twice, no order that we did not mean, no rule of the venue broken."""
    ids = [order.cl_ord_id for order in double.orders if not order.by_hand]
    assert len(ids) == len(set(ids)), "an order was accepted twice"
    known = {
        row["client_order_id"] for row in stored.rows("SELECT client_order_id FROM order_intent WHERE NOT dry_run")
    }
    assert set(ids) <= known, "an order that nobody planned"
    assert double.violations == [], f"rules of the venue were broken: {double.violations}"


def _our_fills(stored: Stored) -> dict[str, tuple[Decimal, Decimal]]:
    rows = stored.rows(
        "SELECT fill.trade_id, fill.quantity, fill.price FROM fill "
        "JOIN order_intent ON order_intent.id = order_intent_id "
        "WHERE NOT dry_run AND netted_into IS NULL AND liquidity_side <> 'internal'"
    )
    return {row["trade_id"]: (row["quantity"], row["price"]) for row in rows}


def _their_fills(double: KrakenDouble) -> dict[str, tuple[Decimal, Decimal]]:
    by_hand = {order.txid for order in double.orders if order.by_hand}
    return {trade.id: (trade.volume, trade.price) for trade in double.trades if trade.order_id not in by_hand}


def _ledger_sums(stored: Stored) -> dict[str, Decimal]:
    return {currency: amount for (_, currency), amount in stored.ledger_sums().items()}


def _assert_history(double: KrakenDouble, stored: Stored) -> None:
    """What the history tells of every order is what the journal tells."""
    told: dict[str, Any] = {}
    for row in stored.rows("SELECT orders FROM rebalance_history WHERE NOT dry_run"):
        for order in row["orders"]:
            if order["client_order_id"] is not None:
                assert order["client_order_id"] not in told
                told[order["client_order_id"]] = order
    net_orders = {
        row["client_order_id"]
        for row in stored.rows("SELECT client_order_id FROM order_intent WHERE rebalance_id IS NULL")
    }
    for order in double.orders:
        if order.by_hand or str(order.cl_ord_id) in net_orders:
            continue
        document = told[str(order.cl_ord_id)]
        assert Decimal(document["filled_quantity"]) == order.vol_exec
        assert {fill["trade_id"] for fill in document["fills"]} == {trade.id for trade in order.trades}


def sums_by_kind(stored: Stored) -> dict[tuple[str, Currency], Decimal]:
    """What the ledger has of each kind, by currency."""
    rows = stored.rows("SELECT kind, currency, sum(amount) AS amount FROM ledger_entry GROUP BY 1, 2")
    return {(row["kind"], Currency(row["currency"])): row["amount"] for row in rows}


@dataclass
class KrakenBench:
    """A live account at the double with whatever the double holds, and one clock for the program and the venue."""

    ports: Ports
    double: KrakenDouble
    clock: RunningClock
    stored: Stored

    def open(self, weights: str = "BTC=40,ETH=30,EUR=30", **settings: str) -> None:
        """The account with the portfolio `core`, which owns everything there."""
        open_live_account(self.ports, self.double, portfolios={"core": weights}, settings=settings)

    def run(self) -> RebalanceRecord:
        """Rebalance for real money."""
        return run_live(self.ports)

    def open_shared(self, portfolios: Mapping[str, tuple[str, Mapping[str, str]]], **settings: str) -> None:
        """The account with portfolios that share it: weights, and the units that are their own.

        The venue gets what they own beside the 1,000 EUR that it has, of which the rest is nobody's.
        """
        for currency, amount in _owned(portfolios).items():
            self.double.deposit(currency, amount)
        open_live_account(self.ports, self.double, portfolios={}, settings=settings)
        create_sharing(self.ports, portfolios, account="kraken")

    def run_together(self, triggered_by: TriggeredBy = TriggeredBy.MANUAL) -> dict[str, Outcome]:
        """Rebalance all portfolios in one batch, for real money."""
        names = [row["name"] for row in self.stored.rows("SELECT name FROM portfolio ORDER BY name")]
        return rebalance_together(self.ports, names, triggered_by=triggered_by)

    def assert_one_story_inside(self) -> None:
        """See `assert_one_story` and `netted_story`."""
        self.assert_one_story()
        assert_nothing_lost_inside(self.stored)

    def account(self) -> dict[str, Any]:
        """The account's row."""
        return self.stored.row("SELECT * FROM account")

    def intents(self) -> list[tuple[str, str]]:
        """Market and state of every intent that was meant to be sent, in sequence."""
        rows = self.stored.rows(
            "SELECT symbol, state FROM order_intent WHERE NOT dry_run ORDER BY created_at, sequence"
        )
        return [(row["symbol"], row["state"]) for row in rows]

    def codes(self) -> list[list[str]]:
        """The error codes of every history row, oldest first."""
        return [[error["code"] for error in row["errors"] or []] for row in self.stored.history("core")]

    def taken(self) -> list[str]:
        """Pairs of the orders that the venue took from us, in sequence."""
        return [order.pair for order in self.double.orders if not order.by_hand]

    def sent(self) -> list[str]:
        """Client ids of the AddOrder requests that arrived, in sequence."""
        return [request.parameters["cl_ord_id"] for request in self.double.requests if request.endpoint == "AddOrder"]

    def assert_one_story(self) -> None:
        """See `assert_one_story`; and nothing was sent twice, nothing is under way, nobody holds the account."""
        assert_one_story(self.double, self.stored)
        assert len(self.sent()) == len(set(self.sent()))
        assert self.stored.rows("SELECT id FROM rebalance WHERE status <> 'finished'") == []
        assert self.stored.held_leases() == []


def _owned(portfolios: Mapping[str, tuple[str, Mapping[str, str]]]) -> dict[str, Decimal]:
    """What portfolios own together, by currency."""
    sums: dict[str, Decimal] = {}
    for _, owned in portfolios.values():
        for currency, amount in owned.items():
            sums[currency] = sums.get(currency, Decimal(0)) + Decimal(amount)
    return sums


@contextmanager
def kraken_bench(engine: Engine, stored: Stored, data_dir: Path) -> Iterator[KrakenBench]:
    """The bench on a migrated database without rows, with 1,000 EUR at the venue.

    Expects the double's key in the environment: `KRAKEN_API_KEY` and `KRAKEN_API_SECRET`.
    """
    clock = RunningClock()
    ports = Ports(
        transactions=lambda: PostgresUnitOfWork(engine),
        venues=VenueRegistry(engine, clock, key_file=data_dir / "credentials.key"),
        bar_sources=BarRegistry(clock),
        clock=clock,
        kill_file=KillFile(data_dir),
    )
    with kraken_double(clock=clock, tier="pro", balances={"EUR": "1000"}) as double:
        yield KrakenBench(ports, double, clock, stored)


@dataclass(frozen=True)
class Meanwhile(Fault):
    """The request is sound, but just before the engine takes it something else happens."""

    act: Callable[[], object]

    def on_arrival(self, gate: Gate, now: datetime) -> None:
        self.act()
