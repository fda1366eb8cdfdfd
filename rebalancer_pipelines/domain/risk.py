"""Risk limits: what is refused before anything is sent, each refusal with its value, limit, setting and remedy.

They are the last line of defence: a plan that is right in itself may still rest on a wrong price, a wrong weight or a
stolen key. Every function is pure and judges figures that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Context, Decimal

from rebalancer_pipelines.domain.account_settings import AccountSettings
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.market import FeeSchedule, PriceMark
from rebalancer_pipelines.domain.order import OrderSide
from rebalancer_pipelines.domain.plan import RebalancePlan
from rebalancer_pipelines.domain.values import EXACT, HUNDRED, ONE, ZERO, exact_sum, plain

CONFIRMABLE = frozenset({DenialReason.TURNOVER, DenialReason.PRICE_COLLAR})
"""Limits that a person may waive for one run, by name."""

MAX_CLOCK_SKEW = timedelta(seconds=2)
"""A deadline by our clock means little at a venue whose clock is further away than this."""

FAILURES_IN_A_ROW = 3
"""So many failed live runs, one after the other, open the circuit."""

ORDERS_PER_MINUTE = 60
"""One a second, counted over a minute, so that a plan's orders may still leave together."""

_DAY = timedelta(days=1)
_TWO = Decimal(2)
_FOR_READING = Context(prec=40)


def cash_reserve(settings: AccountSettings, fees: FeeSchedule) -> Decimal:
    """Least fraction of the value that stays in cash: the account's reserve, or twice what trading everything costs."""
    if settings.cash_reserve == ZERO:
        return ZERO
    return max(settings.cash_reserve, EXACT.multiply(_TWO, fees.taker))


def plan_denials(
    plan: RebalancePlan, settings: AccountSettings, fees: FeeSchedule, *, sent_today: Decimal
) -> list[DeniedError]:
    """Every limit that a plan would break. `sent_today`: notional of the last 24 hours' orders, in its currency."""
    found = (
        _order_count(plan, settings),
        _turnover(plan, settings),
        _order_notional(plan, settings),
        _daily_notional(plan, settings, sent_today),
        _cash_left(plan, settings, fees),
    )
    return [denial for denial in found if denial is not None]


def price_jumps(
    marks: Mapping[str, PriceMark], previous: Mapping[str, PriceMark], settings: AccountSettings
) -> list[DeniedError]:
    """Mids that are too far from those of the last run to be believed without a person's word.

    The limit holds for a day and grows with the square root of the days in between, as the spread of a random walk
    does: a portfolio that is looked at once a month would otherwise ask for confirmation nearly every time.
    """
    limit = settings.max_price_jump
    if limit is None:
        return []
    denials: list[DeniedError] = []
    for symbol, mark in sorted(marks.items()):
        last = previous.get(symbol)
        if last is None:
            continue
        days = max(ONE, Decimal((mark.observed_at - last.observed_at) // timedelta(seconds=1)) / Decimal(86_400))
        allowed = _FOR_READING.multiply(limit, _FOR_READING.sqrt(days))
        jump = _ratio(abs(EXACT.subtract(mark.mid, last.mid)), last.mid)
        if jump > allowed:
            denials.append(
                DeniedError(
                    DenialReason.PRICE_COLLAR,
                    f"mid of {symbol} is {plain(mark.mid)}, {_percent(jump)} from {plain(last.mid)} at the last run "
                    f"({last.observed_at:%Y-%m-%d %H:%M} UTC), limit {_percent(allowed)} (setting max_price_jump); "
                    "look at the market, then run again with --confirm PRICE_COLLAR",
                )
            )
    return denials


def collar_denial(
    symbol: str, side: OrderSide, limit_price: Decimal, mark: PriceMark, settings: AccountSettings
) -> DeniedError | None:
    """Whether an order's limit would let it trade too far from the mid of now."""
    margin = EXACT.multiply(mark.mid, settings.price_collar)
    beyond = EXACT.subtract(limit_price, mark.mid) if side is OrderSide.BUY else EXACT.subtract(mark.mid, limit_price)
    if beyond <= margin:
        return None
    return DeniedError(
        DenialReason.PRICE_COLLAR,
        f"limit {plain(limit_price)} to {side.value} {symbol} is {_percent(_ratio(beyond, mark.mid))} from mid "
        f"{plain(mark.mid)}, limit {_percent(settings.price_collar)} (setting price_collar); the market has moved, "
        "run again to plan at its new price",
    )


def drawdown_denial(
    value: Decimal,
    highest: tuple[datetime, Decimal] | None,
    flows: Decimal,
    settings: AccountSettings,
    currency: str,
) -> DeniedError | None:
    """Whether the value has fallen too far within a day.

    `highest` is the highest value seen in that time, `flows` what came in since (negative: went out), so that a
    withdrawal is no loss.
    """
    limit = settings.max_drawdown
    if limit is None or highest is None:
        return None
    moment, peak = highest
    expected = EXACT.add(peak, flows)
    if expected <= ZERO:
        return None
    loss = _ratio(EXACT.subtract(expected, value), expected)
    if loss <= limit:
        return None
    return DeniedError(
        DenialReason.DRAWDOWN_HALT,
        f"value is {_money(value)} {currency}, {_percent(loss)} below the {_money(expected)} of "
        f"{moment:%Y-%m-%d %H:%M} UTC, limit {_percent(limit)} (setting max_drawdown); the account is halted until you "
        "have looked and resume it",
    )


def skew_denial(skew: timedelta) -> DeniedError | None:
    """Whether our clock and the venue's are too far apart for deadlines to hold."""
    if abs(skew) <= MAX_CLOCK_SKEW:
        return None
    way = "behind" if skew > timedelta(0) else "ahead of"
    return DeniedError(
        DenialReason.CLOCK_SKEW,
        f"this machine's clock is at least {abs(skew).total_seconds():.1f} s {way} the venue's, limit "
        f"{MAX_CLOCK_SKEW.total_seconds():.0f} s; synchronise it (NTP) and run again",
    )


def rate_denial(sent_in_last_minute: int) -> DeniedError | None:
    """Whether one more order would be more than one a second."""
    if sent_in_last_minute < ORDERS_PER_MINUTE:
        return None
    return DeniedError(
        DenialReason.ORDER_RATE,
        f"{sent_in_last_minute} orders were sent in the last minute, limit {ORDERS_PER_MINUTE}; run again in a minute",
    )


def _order_count(plan: RebalancePlan, settings: AccountSettings) -> DeniedError | None:
    limit, count = settings.max_orders_per_run, len(plan.orders)
    if limit is None or count <= limit:
        return None
    return DeniedError(
        DenialReason.ORDER_RATE,
        f"the plan has {count} orders, limit {limit} (setting max_orders_per_run); raise it, or give the portfolio "
        f"--max-orders {limit} so that the largest drifts go first",
    )


def _turnover(plan: RebalancePlan, settings: AccountSettings) -> DeniedError | None:
    limit = settings.max_turnover
    turnover = _ratio(exact_sum(order.notional for order in plan.orders), EXACT.multiply(_TWO, plan.value))
    if limit is None or turnover <= limit:
        return None
    return DeniedError(
        DenialReason.TURNOVER,
        f"the plan turns over {_percent(turnover)} of the value, limit {_percent(limit)} (setting max_turnover); "
        "if that is meant, as for a first run from cash, run again with --confirm TURNOVER",
    )


def _order_notional(plan: RebalancePlan, settings: AccountSettings) -> DeniedError | None:
    limit = settings.max_order_notional
    largest = max(plan.orders, key=lambda order: order.notional, default=None)
    if limit is None or largest is None or largest.notional <= limit:
        return None
    return DeniedError(
        DenialReason.MAX_NOTIONAL,
        f"{largest.side.value} {largest.symbol} is worth {_money(largest.notional)} {largest.quote_currency}, limit "
        f"{_money(limit)} an order (setting max_order_notional); raise it if such an order is meant",
    )


def _daily_notional(plan: RebalancePlan, settings: AccountSettings, sent_today: Decimal) -> DeniedError | None:
    limit = settings.max_daily_notional
    planned = exact_sum(order.notional for order in plan.orders)
    if limit is None or not planned or EXACT.add(sent_today, planned) <= limit:
        return None
    return DeniedError(
        DenialReason.MAX_NOTIONAL,
        f"the plan's {_money(planned)} {plan.valuation_currency} after {_money(sent_today)} within 24 hours, limit "
        f"{_money(limit)} a day (setting max_daily_notional); run again later, or raise it",
    )


def _cash_left(plan: RebalancePlan, settings: AccountSettings, fees: FeeSchedule) -> DeniedError | None:
    if not any(order.side is OrderSide.BUY for order in plan.orders):
        return None
    least = EXACT.multiply(cash_reserve(settings, fees), plan.value_after)
    left = plan.quantities_after[plan.valuation_currency]
    if left >= least:
        return None
    return DeniedError(
        DenialReason.CASH_RESERVE,
        f"the plan leaves {_money(left)} {plan.valuation_currency} in cash, least {_money(least)} "
        "(setting cash_reserve, or twice the fees); lower the targets or the reserve",
    )


def _ratio(part: Decimal, whole: Decimal) -> Decimal:
    return _FOR_READING.divide(part, whole) if whole else ZERO


def _percent(fraction: Decimal) -> str:
    return f"{EXACT.multiply(fraction, HUNDRED):.2f} %"


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"
