"""Closing a rebalance: its history row, the portfolio's times and the lease, all in one transaction."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from rebalancer_pipelines.application.documents import error_document, orders_of_record
from rebalancer_pipelines.application.notify import tell_of_record
from rebalancer_pipelines.application.ports import Ports, UnitOfWork
from rebalancer_pipelines.domain.calendar import next_due
from rebalancer_pipelines.domain.errors import DenialReason
from rebalancer_pipelines.domain.order import Order, OrderState
from rebalancer_pipelines.domain.portfolio import Portfolio
from rebalancer_pipelines.domain.rebalance import Rebalance, RebalanceRecord
from rebalancer_pipelines.domain.values import EXACT, ZERO, exact_sum

_TRADED = frozenset({OrderState.FILLED, OrderState.PARTIALLY_FILLED})


def close_rebalance(ports: Ports, rebalance: Rebalance, error: BaseException | None = None) -> RebalanceRecord:
    """Write the history row, move `last_rebalanced_at` and `next_rebalance_at`, and give the account back.

    Orders that were never sent become VOID. Closing twice returns the first record.
    """
    now = ports.clock.now()
    with ports.transactions() as work:
        if not work.rebalances.finish(rebalance.id, now):
            record = work.history.get(rebalance.id)
            if record is None:
                raise AssertionError(f"rebalance {rebalance.id} is finished without a history row")
            return record
        for order in work.orders.of_rebalance(rebalance.id):
            _abandon(work, order, rebalance)
        portfolio = work.portfolios.by_id(rebalance.portfolio_id)
        record = _record(work, work.rebalances.by_id(rebalance.id), portfolio, error, now)
        store_record(work, portfolio, record)
        work.accounts.release_lease(rebalance.lease)
        work.commit()
    note_errors(ports, portfolio, record)
    return record


def store_record(work: UnitOfWork, portfolio: Portfolio, record: RebalanceRecord) -> None:
    """Store a history row, tell of it, and move the portfolio's times with it.

    A dry run rebalances nothing, so only a live success moves `last_rebalanced_at`. Every attempt moves a due time
    that has come; one still ahead stays where the interval put it.
    """
    work.history.add(record)
    tell_of_record(work, portfolio, record)
    done = record.success and not record.dry_run
    upcoming = portfolio.next_rebalance_at
    if upcoming is None or upcoming <= record.executed_at:
        upcoming = next_due(
            portfolio.interval, anchor=portfolio.anchor_at, after=record.executed_at, zone=portfolio.time_zone
        )
    work.portfolios.mark_rebalanced(portfolio.id, record.executed_at if done else None, upcoming)


def note_errors(ports: Ports, portfolio: Portfolio, record: RebalanceRecord) -> None:
    """Put what went wrong where people look first."""
    for error in record.errors or []:
        ports.cache.note_error(record.executed_at, f"{portfolio.name}: {error['code']}: {error['message']}")


def _abandon(work: UnitOfWork, order: Order, rebalance: Rebalance) -> None:
    if order.state is OrderState.PLANNED:
        work.orders.move(order, OrderState.VOID, reason="the rebalance ended before this order was sent")
    elif rebalance.dry_run and order.state is OrderState.SENDING:
        work.orders.move(order, OrderState.REJECTED, reason="the dry run ended before this order was simulated")


def _record(
    work: UnitOfWork, rebalance: Rebalance, portfolio: Portfolio, error: BaseException | None, now: datetime
) -> RebalanceRecord:
    orders = list(work.orders.of_rebalance(rebalance.id))
    errors = [error_document(error)] if error is not None else []
    errors.extend(_order_errors(orders))
    executed = [order for order in orders if order.fills]
    failed = [order for order in orders if order.state not in _TRADED]
    return RebalanceRecord(
        id=rebalance.id,
        portfolio_id=portfolio.id,
        executed_at=now,
        scheduled_for=rebalance.scheduled_for,
        success=not errors and not failed,
        dry_run=rebalance.dry_run,
        portfolio_value=rebalance.portfolio_value,
        orders_planned=len(orders),
        orders_executed=len(executed),
        orders_failed=len(failed),
        total_value_traded=exact_sum(order.filled_notional for order in orders),
        fees_paid=_fees(orders, portfolio),
        orders=orders_of_record(work.rebalances.plan_document(rebalance.id), orders),
        errors=errors or None,
        triggered_by=rebalance.triggered_by,
        duration_ms=max(0, int((now - rebalance.started_at).total_seconds() * 1000)),
        price_source=work.accounts.by_id(rebalance.account_id).price_source,
        plan_hash=rebalance.plan_hash,
        dagster_run_id=rebalance.dagster_run_id,
    )


def _order_errors(orders: list[Order]) -> list[dict[str, Any]]:
    return [
        {
            "code": _code(order),
            "message": f"{order.side.value} {order.symbol}: {order.reason or 'no reason was given'}",
        }
        for order in orders
        if order.state not in _TRADED
    ]


def _code(order: Order) -> str:
    """What to count an unfilled order by: the limit that denied it, or where it stands."""
    denied_by = (order.reason or "").partition(":")[0]
    if order.state is OrderState.DENIED and denied_by in set(DenialReason):
        return denied_by
    return f"ORDER_{order.state.value}"


def _fees(orders: list[Order], portfolio: Portfolio) -> Decimal:
    """Fees in valuation currency; one taken in units of a market's base counts at that order's average price."""
    paid = ZERO
    for order in orders:
        for currency, fee in order.fees.items():
            price = order.average_price if currency != portfolio.valuation_currency else None
            paid = EXACT.add(paid, EXACT.multiply(fee, price) if price is not None else fee)
    return paid
