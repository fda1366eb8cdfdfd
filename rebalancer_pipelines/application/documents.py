"""The JSON shapes that people and programs read: plans, orders, skipped currencies and history rows.

Decimals are strings in full, times ISO 8601 in UTC. The keys are a promise: other programs rely on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, RebalancerError
from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.order import Fill, Order, OrderState
from rebalancer_pipelines.domain.plan import PlannedOrder, RebalancePlan, SkippedCurrency, SkipReason
from rebalancer_pipelines.domain.rebalance import RebalanceRecord
from rebalancer_pipelines.domain.values import EXACT, Currency, exact_sum, plain

Document = dict[str, Any]

_QUOTIENT_STEP = Decimal("1E-12")
_LEFT_BEHIND = f"ORDER_{OrderState.VOID.value}"


def moment(value: datetime | None) -> str | None:
    """A time in UTC as text."""
    return value.astimezone(UTC).isoformat() if value else None


def number(value: Decimal | None) -> str | None:
    """A decimal in full as text."""
    return plain(value) if value is not None else None


def _readable(price: Decimal | None) -> Decimal | None:
    """A quotient to twelve decimals: the fills beside it hold the exact figures."""
    return EXACT.quantize(price, _QUOTIENT_STEP) if price is not None else None


def plan_document(
    portfolio: str, plan: RebalancePlan, prices: Mapping[str, PriceMark], denials: Sequence[DeniedError] = ()
) -> Document:
    """What `rebalancer plan --json` prints and what a rebalance keeps of its plan.

    `denials` are the limits for which a live run would refuse it.
    """
    marks = [prices[symbol] for symbol in sorted(prices)]
    oldest = min((m.observed_at for m in marks), default=None)
    recorded = min((m.recorded_at for m in marks if m.recorded_at), default=None)
    return {
        "portfolio": portfolio,
        "portfolio_value": plain(plan.value),
        "valuation_currency": plan.valuation_currency,
        "expected_cost": plain(plan.cost),
        "orders": [_planned_order(order) for order in plan.orders],
        "skipped": [skipped_document(skipped) for skipped in plan.skipped],
        "weights": [
            {
                "currency": change.currency,
                "current": plain(change.current),
                "target": plain(change.target),
                "drift": plain(change.drift),
                "after": plain(change.after),
            }
            for change in plan.weights
        ],
        "denials": [error_document(denial) for denial in denials],
        "plan_hash": plan.plan_hash,
        "priced_at": moment(oldest),
        "price_source": ", ".join(sorted({m.source for m in marks})),
        "recorded_at": moment(recorded),
    }


def skipped_document(skipped: SkippedCurrency) -> Document:
    """A currency left alone, and why."""
    return {"currency": skipped.currency, "code": skipped.code.value, "reason": skipped.reason}


def order_document(order: Order) -> Document:
    """An order with its fills. `fee` is the sum in `fee_currency`; a venue takes all fees of an order in one."""
    fees = order.fees
    fee_currency = min(fees, default=order.quote_currency)
    return {
        "client_order_id": order.client_order_id,
        "venue_order_id": order.venue_order_id,
        "state": order.state.value,
        "side": order.side.value,
        "market": order.symbol,
        "quantity": plain(order.quantity),
        "filled_quantity": plain(order.filled_quantity),
        "price": plain(order.price),
        "limit_price": plain(order.limit_price),
        "average_price": number(_readable(order.average_price)),
        "notional": plain(order.filled_notional),
        "fee": plain(exact_sum(fees.values())),
        "fee_currency": fee_currency,
        "reason": order.reason,
        "fills": [_fill(fill) for fill in order.fills],
    }


def left_alone_document(skipped: Mapping[str, Any], valuation_currency: Currency) -> Document:
    """A skipped currency in the list of a rebalance's orders: the same keys, state SKIPPED, and the reason."""
    return {
        "client_order_id": None,
        "venue_order_id": None,
        "state": "SKIPPED",
        "side": None,
        "market": f"{skipped['currency']}/{valuation_currency}",
        "quantity": "0",
        "filled_quantity": "0",
        "price": None,
        "limit_price": None,
        "average_price": None,
        "notional": "0",
        "fee": "0",
        "fee_currency": valuation_currency,
        "reason": f"{skipped['code']}: {skipped['reason']}",
        "fills": [],
    }


def orders_of_record(plan: Mapping[str, Any] | None, orders: Sequence[Order]) -> list[Document]:
    """The `orders` of a history row: every order, then every currency that was left alone with its reason.

    The valuation currency is not listed: it settles every order.
    """
    documents = [order_document(order) for order in orders]
    if plan is not None:
        documents.extend(
            left_alone_document(skipped, plan["valuation_currency"])
            for skipped in plan["skipped"]
            if skipped["code"] != SkipReason.SETTLEMENT
        )
    return documents


def telling_errors(errors: Sequence[Mapping[str, Any]] | None) -> Sequence[Mapping[str, Any]]:
    """The errors without those of orders that were left behind when their rebalance ended: why, another one says."""
    return [error for error in errors or () if error["code"] != _LEFT_BEHIND] or errors or ()


def error_document(error: BaseException) -> Document:
    """An error as history keeps it: a code to count by, and one line for a person."""
    if isinstance(error, DeniedError):
        return {"code": error.reason.value, "message": error.message}
    if isinstance(error, RebalancerError):
        return {"code": type(error).__name__.removesuffix("Error"), "message": str(error)}
    if not isinstance(error, Exception):
        return {"code": DenialReason.INTERRUPTED.value, "message": "the run was stopped from outside"}
    # An unforeseen error's text may hold anything, also a connection string: history names its type only.
    return {"code": "UNEXPECTED", "message": f"{type(error).__name__}; the run's log has the details"}


def history_document(portfolio: str, record: RebalanceRecord) -> Document:
    """A `rebalance_history` row under the table's own keys, with the portfolio's name."""
    return {
        "id": str(record.id),
        "portfolio": portfolio,
        "portfolio_id": str(record.portfolio_id),
        "executed_at": moment(record.executed_at),
        "scheduled_for": moment(record.scheduled_for),
        "success": record.success,
        "dry_run": record.dry_run,
        "portfolio_value": number(record.portfolio_value),
        "orders_planned": record.orders_planned,
        "orders_executed": record.orders_executed,
        "orders_failed": record.orders_failed,
        "total_value_traded": plain(record.total_value_traded),
        "fees_paid": plain(record.fees_paid),
        "value_crossed": plain(record.value_crossed),
        "fees_saved": plain(record.fees_saved),
        "orders": record.orders,
        "errors": record.errors,
        "triggered_by": record.triggered_by.value,
        "duration_ms": record.duration_ms,
        "price_source": record.price_source,
        "plan_hash": record.plan_hash,
        "dagster_run_id": record.dagster_run_id,
    }


def _planned_order(order: PlannedOrder) -> Document:
    return {
        "side": order.side.value,
        "market": order.symbol,
        "quantity": plain(order.quantity),
        "price": plain(order.price),
        "notional": plain(order.notional),
        "fee": plain(order.fee),
    }


def _fill(fill: Fill) -> Document:
    return {
        "trade_id": fill.trade_id,
        "quantity": plain(fill.quantity),
        "price": plain(fill.price),
        "fee": plain(fill.fee),
        "fee_currency": fill.fee_currency,
        "liquidity_side": fill.liquidity_side.value,
        "executed_at": moment(fill.executed_at),
    }
