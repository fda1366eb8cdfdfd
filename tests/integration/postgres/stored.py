"""What tests put into the database, and a look at who waits there for whom."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, text

from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from rebalancer_pipelines.domain.calendar import RebalanceInterval
from rebalancer_pipelines.domain.ledger import LedgerEntry, LedgerEntryKind
from rebalancer_pipelines.domain.order import Fill, LiquiditySide, Order, OrderSide, OrderState
from rebalancer_pipelines.domain.portfolio import Account, Portfolio, RebalancePolicy
from rebalancer_pipelines.domain.rebalance import Lease, Rebalance, TriggeredBy
from rebalancer_pipelines.domain.values import Currency
from rebalancer_pipelines.domain.weights import TargetWeights

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
BTC = Currency("BTC")
EUR = Currency("EUR")
MINUTE = timedelta(minutes=1)
ALREADY_OVER = timedelta(minutes=-1)
"""A duration that makes a lease end before it begins, so that no test has to wait for an end."""

Transactions = Callable[[], PostgresUnitOfWork]


def an_account(transactions: Transactions, name: str = "main", **details: Any) -> Account:
    with transactions() as work:
        account = work.accounts.add(name, "paper", "recorded", NOON, **details)
        work.commit()
    return account


def a_portfolio(account: Account, name: str = "long-term", **changes: Any) -> Portfolio:
    portfolio = Portfolio(
        id=uuid4(),
        name=name,
        description="",
        account_id=account.id,
        valuation_currency=EUR,
        weights=TargetWeights.parse("BTC=60,EUR=40"),
        policy=RebalancePolicy(),
        interval=RebalanceInterval.WEEKLY,
        time_zone=ZoneInfo("UTC"),
        enabled=True,
        anchor_at=NOON,
        last_rebalanced_at=None,
        next_rebalance_at=NOON,
        created_at=NOON,
        updated_at=NOON,
    )
    return replace(portfolio, **changes)


def a_stored_portfolio(transactions: Transactions, account: Account | None = None, **changes: Any) -> Portfolio:
    portfolio = a_portfolio(account or an_account(transactions), **changes)
    with transactions() as work:
        work.portfolios.add(portfolio)
        work.commit()
    return portfolio


def a_lease(transactions: Transactions, account_id: UUID, duration: timedelta = MINUTE) -> Lease:
    with transactions() as work:
        lease = work.accounts.take_lease(account_id, duration)
        work.commit()
    assert lease is not None
    return lease


def a_rebalance(transactions: Transactions, portfolio: Portfolio | None = None, **changes: Any) -> Rebalance:
    portfolio = portfolio or a_stored_portfolio(transactions)
    request: dict[str, Any] = {
        "portfolio": portfolio,
        "lease": Lease(portfolio.account_id, 1),
        "dry_run": False,
        "triggered_by": TriggeredBy.SCHEDULER,
        "dagster_run_id": str(uuid4()),
        "scheduled_for": None,
        "now": NOON,
    }
    with transactions() as work:
        rebalance = work.rebalances.start(**{**request, **changes})
        work.commit()
    return rebalance


NEVER_LEFT = frozenset({OrderState.PLANNED, OrderState.DENIED, OrderState.VOID, OrderState.NETTED})
"""Of these an order was never sent itself, so it has no deadline."""


def an_order(rebalance: Rebalance, sequence: int = 0, **changes: Any) -> Order:
    order_id = uuid4()
    order = Order(
        id=order_id,
        rebalance_id=rebalance.id,
        sequence=sequence,
        client_order_id=str(order_id),
        symbol="BTC/EUR",
        base_currency=BTC,
        quote_currency=EUR,
        side=OrderSide.BUY,
        quantity=Decimal("0.5"),
        price=Decimal("100.1"),
        limit_price=Decimal("101.1"),
        state=OrderState.PLANNED,
    )
    changed = replace(order, **changes)
    return changed if changed.state in NEVER_LEFT else replace(changed, not_after=changed.not_after or NOON)


def a_stored_order(transactions: Transactions, rebalance: Rebalance | None = None, **changes: Any) -> Order:
    order = an_order(rebalance or a_rebalance(transactions), **changes)
    with transactions() as work:
        work.orders.add([order])
        work.commit()
    return order


def a_fill(trade_id: str = "T1", quantity: str = "0.1", **changes: Any) -> Fill:
    fill = Fill(
        trade_id=trade_id,
        quantity=Decimal(quantity),
        price=Decimal("100.1"),
        # As a venue that keeps three digits would round it.
        notional=(Decimal(quantity) * Decimal("100.1")).quantize(Decimal("0.001")),
        fee=Decimal("0.02"),
        fee_currency=EUR,
        liquidity_side=LiquiditySide.TAKER,
        executed_at=NOON,
    )
    return replace(fill, **changes)


def an_entry(account_id: UUID, portfolio_id: UUID | None = None, amount: str = "1", **changes: Any) -> LedgerEntry:
    entry = LedgerEntry(
        account_id=account_id,
        portfolio_id=portfolio_id,
        kind=LedgerEntryKind.DEPOSIT,
        currency=EUR,
        amount=Decimal(amount),
        cause="test",
        occurred_at=NOON,
    )
    return replace(entry, **changes)


def wait_until_blocked(engine: Engine, sessions: int = 1) -> None:
    """Return once that many sessions of the database wait for a lock which another one holds."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 20
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        while connection.execute(waiting).scalar_one() < sessions:
            assert time.monotonic() < deadline, "nobody waits for a lock"
