"""Closing a rebalance: its history row, the portfolio's times and the lease, all in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from rebalancer_pipelines.application.documents import error_document, orders_of_record
from rebalancer_pipelines.application.notify import tell_of_record, tell_paused
from rebalancer_pipelines.application.ports import Ports, UnitOfWork
from rebalancer_pipelines.application.rebalance.net_orders import end_net_orders, end_of_unsettled
from rebalancer_pipelines.domain.errors import DenialReason
from rebalancer_pipelines.domain.market import FeeSchedule
from rebalancer_pipelines.domain.order import LiquiditySide, Order, OrderState
from rebalancer_pipelines.domain.portfolio import Account, Portfolio
from rebalancer_pipelines.domain.rebalance import Rebalance, RebalanceRecord, RebalanceTimes, TriggeredBy
from rebalancer_pipelines.domain.values import EXACT, ZERO, exact_sum

_TRADED = frozenset({OrderState.FILLED, OrderState.PARTIALLY_FILLED})
_BY_ITSELF = frozenset({TriggeredBy.SCHEDULER, TriggeredBy.SENSOR})

NEVER_SENT = "the rebalance ended before this order was sent"

FAILURES_THAT_PAUSE = 5
"""So many attempts that failed one after the other keep everything that runs by itself from a portfolio."""


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
        _abandon(work, rebalance, work.orders.of_rebalance(rebalance.id))
        portfolio = work.portfolios.by_id(rebalance.portfolio_id)
        record = record_of(
            work.rebalances.by_id(rebalance.id),
            portfolio,
            work.orders.of_rebalance(rebalance.id),
            work.rebalances.plan_document(rebalance.id),
            error,
            price_source=work.accounts.by_id(rebalance.account_id).price_source,
            now=now,
        )
        store_record(work, portfolio, record)
        work.accounts.release_lease(rebalance.lease)
        work.commit()
    note_errors(ports, portfolio, record)
    return record


def store_record(work: UnitOfWork, portfolio: Portfolio, record: RebalanceRecord) -> None:
    """Store one attempt's row; see `store_records`."""
    store_records(work, [(portfolio, record)])


def store_records(work: UnitOfWork, attempts: Sequence[tuple[Portfolio, RebalanceRecord]]) -> None:
    """Store history rows, tell of them, and move the portfolios' times, claims and counts of failures with them.

    A dry run rebalances nothing, so only a live success moves `last_rebalanced_at`. The due time moves on only with an
    attempt that answers it: a dry run by hand leaves what had come meanwhile to those who were to rebalance then. The
    portfolios count as they are stored now: one that was rescheduled during its attempt keeps the new due time, one
    that was deleted leaves no row.
    """
    stored = {portfolio.id: portfolio for portfolio in work.portfolios.by_ids([p.id for p, _ in attempts])}
    attempts = [(stored[portfolio.id], record) for portfolio, record in attempts if portfolio.id in stored]
    if not attempts:
        return
    work.history.add([record for _, record in attempts])
    work.portfolios.mark_rebalanced([_times(portfolio, record) for portfolio, record in attempts])
    for portfolio, record in attempts:
        tell_of_record(work, portfolio, record)
        count_failures(work, portfolio, record)


def _times(portfolio: Portfolio, record: RebalanceRecord) -> RebalanceTimes:
    until = _answered_until(record)
    done = record.success and not record.dry_run
    # The clock of the machine that claimed a due time may be ahead of this one's.
    upcoming = None if until is None else portfolio.due_after(max(until, _began_at(record)))
    return RebalanceTimes(portfolio.id, record.executed_at if done else None, upcoming, until)


def _answered_until(record: RebalanceRecord) -> datetime | None:
    """Up to which due time an attempt answers the portfolio's claims.

    An attempt for a due time answers it however it ended. Any other answers what was due when it began, if it went
    through and moved money.
    """
    if record.scheduled_for is not None:
        return record.scheduled_for
    return _began_at(record) if record.success and not record.dry_run else None


def _began_at(record: RebalanceRecord) -> datetime:
    return record.executed_at - timedelta(milliseconds=record.duration_ms)


def count_failures(work: UnitOfWork, portfolio: Portfolio, record: RebalanceRecord) -> None:
    """Pause a portfolio that has failed too often in a row by itself; a success forgives what was before it.

    Orders that came to too little for the venue are no failure: nothing is wrong that pausing would stop.
    """
    if record.success:
        if portfolio.failures_in_a_row:
            work.portfolios.forgive_failures(portfolio.id)
        return
    if record.triggered_by not in _BY_ITSELF or portfolio.paused_at is not None or _is_dust(record):
        return
    count = work.portfolios.count_failure(portfolio.id)
    if count >= FAILURES_THAT_PAUSE:
        newest = (record.errors or [{"code": "UNEXPECTED", "message": "no reason was given"}])[0]
        reason = f"{count} attempts in a row failed; the last: {newest['code']}: {newest['message']}"
        work.portfolios.pause(portfolio.id, reason, record.executed_at)
        tell_paused(work, portfolio, reason, record.executed_at)
        work.activity.add("portfolio.paused", portfolio.name, {"reason": reason}, record.executed_at)


def _is_dust(record: RebalanceRecord) -> bool:
    errors = record.errors or []
    return bool(errors) and all(error["code"] == DenialReason.DUST_SKIPPED for error in errors)


def record_refusals(
    ports: Ports, account: Account, refused: Sequence[tuple[Portfolio, Rebalance]], error: BaseException
) -> list[tuple[Portfolio, RebalanceRecord]]:
    """Attempts that never held their account leave rows all the same; their rebalances were never opened."""
    now = ports.clock.now()
    attempts = [
        (portfolio, record_of(rebalance, portfolio, [], None, error, price_source=account.price_source, now=now))
        for portfolio, rebalance in refused
    ]
    with ports.transactions() as work:
        store_records(work, attempts)
        work.commit()
    for portfolio, record in attempts:
        note_errors(ports, portfolio, record)
    return attempts


def note_errors(ports: Ports, portfolio: Portfolio, record: RebalanceRecord) -> None:
    """Put what went wrong where people look first."""
    for error in record.errors or []:
        ports.cache.note_error(record.executed_at, f"{portfolio.name}: {error['code']}: {error['message']}")


def _abandon(work: UnitOfWork, rebalance: Rebalance, orders: Sequence[Order]) -> None:
    net_orders = end_net_orders(work, rebalance.account_id, orders, NEVER_SENT, dry_run=rebalance.dry_run)
    unsent = (OrderState.VOID, NEVER_SENT)
    ends = [end_of_unsettled(order, net_orders, dry_run=rebalance.dry_run, unsent=unsent) for order in orders]
    work.orders.end_many([end for end in ends if end is not None])


def record_of(
    rebalance: Rebalance,
    portfolio: Portfolio,
    orders: Sequence[Order],
    plan_document: Mapping[str, Any] | None,
    error: BaseException | None,
    *,
    price_source: str,
    now: datetime,
    fees: FeeSchedule | None = None,
) -> RebalanceRecord:
    """What stays of an attempt. `fees` None: what crossing has saved is not known any more."""
    errors = [error_document(error)] if error is not None else []
    errors.extend(_order_errors(orders))
    executed = [order for order in orders if order.fills]
    failed = [order for order in orders if order.state not in _TRADED]
    crossed = exact_sum(
        fill.notional for order in orders for fill in order.fills if fill.liquidity_side is LiquiditySide.INTERNAL
    )
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
        orders=orders_of_record(plan_document, orders),
        errors=errors or None,
        triggered_by=rebalance.triggered_by,
        duration_ms=max(0, int((now - rebalance.started_at).total_seconds() * 1000)),
        price_source=price_source,
        plan_hash=rebalance.plan_hash,
        dagster_run_id=rebalance.dagster_run_id,
        value_crossed=crossed,
        fees_saved=EXACT.multiply(crossed, fees.taker) if fees else ZERO,
    )


def _order_errors(orders: Sequence[Order]) -> list[dict[str, Any]]:
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


def _fees(orders: Sequence[Order], portfolio: Portfolio) -> Decimal:
    """Fees in valuation currency; one taken in units of a market's base counts at that order's average price."""
    paid = ZERO
    for order in orders:
        for currency, fee in order.fees.items():
            price = order.average_price if currency != portfolio.valuation_currency else None
            paid = EXACT.add(paid, EXACT.multiply(fee, price) if price is not None else fee)
    return paid
