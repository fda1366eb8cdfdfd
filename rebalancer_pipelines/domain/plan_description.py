"""The outcome of sizing, put into a plan: orders, weights before and after, and reasons that a person can read."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from rebalancer_pipelines.domain.candidate import Candidate
from rebalancer_pipelines.domain.market import FeeSchedule
from rebalancer_pipelines.domain.order import OrderSide
from rebalancer_pipelines.domain.plan import (
    PlannedOrder,
    RebalancePlan,
    SkippedCurrency,
    SkipReason,
    WeightChange,
    hash_plan,
)
from rebalancer_pipelines.domain.portfolio import Portfolio
from rebalancer_pipelines.domain.sizing import Sizes
from rebalancer_pipelines.domain.valuation import PortfolioValuation, percent_of
from rebalancer_pipelines.domain.values import HUNDRED, ZERO, Currency, plain


def describe_plan(
    portfolio: Portfolio,
    valuation: PortfolioValuation,
    candidates: tuple[Candidate, ...],
    sizes: Sizes,
    fees: FeeSchedule,
) -> RebalancePlan:
    """Turn sizes into the plan. Expects to run in the exact decimal context."""
    quote = valuation.valuation_currency
    traded = [c for c in candidates if c.currency in sizes.units]
    traded.sort(key=lambda c: _place(c, sizes.units[c.currency]))
    orders = tuple(_order(c, sizes.units[c.currency], fees) for c in traded)
    quantities = _quantities_after(valuation, orders)
    weights = _weights(portfolio, valuation, sizes, candidates, quantities[quote])
    skipped = _skipped(portfolio, valuation, candidates, sizes, weights)
    return RebalancePlan(
        valuation_currency=quote,
        value=valuation.value,
        cost=sizes.cost,
        orders=orders,
        skipped=skipped,
        weights=weights,
        quantities_after=quantities,
        plan_hash=hash_plan(quote, valuation.value, orders, skipped, weights),
    )


def _place(candidate: Candidate, units: Decimal) -> tuple[bool, Decimal, Currency]:
    """Sells first, then by value, the largest first."""
    return units > ZERO, -abs(units) * candidate.unit_value, candidate.currency


def _order(candidate: Candidate, units: Decimal, fees: FeeSchedule) -> PlannedOrder:
    side, price = (OrderSide.BUY, candidate.buy_price) if units > ZERO else (OrderSide.SELL, candidate.sell_price)
    market = candidate.market
    quantity = abs(units) * market.size_increment
    notional = quantity * price
    return PlannedOrder(
        symbol=market.symbol,
        base_currency=market.base_currency,
        quote_currency=market.quote_currency,
        side=side,
        quantity=quantity,
        price=price,
        notional=notional,
        fee=notional * fees.taker,
    )


def _quantities_after(valuation: PortfolioValuation, orders: tuple[PlannedOrder, ...]) -> dict[Currency, Decimal]:
    quantities = {p.currency: p.quantity for p in valuation.positions}
    for order in orders:
        if order.side is OrderSide.BUY:
            quantities[order.base_currency] += order.quantity
            quantities[order.quote_currency] -= order.notional + order.fee
        else:
            quantities[order.base_currency] -= order.quantity
            quantities[order.quote_currency] += order.notional - order.fee
    return quantities


def _weights(
    portfolio: Portfolio,
    valuation: PortfolioValuation,
    sizes: Sizes,
    candidates: tuple[Candidate, ...],
    cash_after: Decimal,
) -> tuple[WeightChange, ...]:
    targets = dict(portfolio.weights)
    unit_values = {c.currency: c.unit_value for c in candidates}
    value_after = valuation.value - sizes.cost
    changes: list[WeightChange] = []
    for position in valuation.positions:
        currency = position.currency
        if currency == valuation.valuation_currency:
            worth_after = cash_after
        elif units := sizes.units.get(currency):
            worth_after = position.value + units * unit_values[currency]
        else:
            worth_after = position.value
        target = targets.get(currency, ZERO)
        current = percent_of(position.value, valuation.value)
        after = percent_of(worth_after, value_after)
        changes.append(WeightChange(currency, current, target, current - target, after))
    return tuple(changes)


def _skipped(
    portfolio: Portfolio,
    valuation: PortfolioValuation,
    candidates: tuple[Candidate, ...],
    sizes: Sizes,
    weights: tuple[WeightChange, ...],
) -> tuple[SkippedCurrency, ...]:
    by_currency = {c.currency: c for c in candidates}
    skipped: list[SkippedCurrency] = []
    for weight in weights:
        currency = weight.currency
        if currency in sizes.units:
            continue
        if currency == valuation.valuation_currency:
            code, words = SkipReason.SETTLEMENT, "settles every order: it moves with the others"
        else:
            code = sizes.reasons[currency]
            words = f"drift {weight.drift:+.2f} points: {_CAUSES[code](portfolio, by_currency[currency])}"
        skipped.append(SkippedCurrency(currency, code, words))
    skipped.extend(
        SkippedCurrency(currency, SkipReason.UNMANAGED, f"{plain(units)} held, but no weight names it: left alone")
        for currency, units in valuation.unmanaged
    )
    return tuple(skipped)


def _band_width(portfolio: Portfolio, candidate: Candidate) -> str:
    band = portfolio.policy.band
    return plain(band.allowance(candidate.target)) if band else "0"


_CAUSES: dict[SkipReason, Callable[[Portfolio, Candidate], str]] = {
    SkipReason.ON_TARGET: lambda _, c: (
        f"on target within one increment of {plain(c.market.size_increment)} {c.currency}"
    ),
    SkipReason.WITHIN_BAND: lambda p, c: f"band ±{_band_width(p, c)}, and no currency has left its band",
    SkipReason.BELOW_THRESHOLD: lambda p, _: (
        f"the order would be worth less than the threshold of {plain(p.policy.threshold)} {p.valuation_currency}"
    ),
    SkipReason.BELOW_VENUE_MINIMUM: lambda _, c: f"the order would be below the venue's minimum of {c.market.minimum}",
    SkipReason.LOCKED: lambda _, __: "too little of it is free to sell, the rest is locked",
    SkipReason.NO_CASH: lambda p, _: (
        f"no free {p.valuation_currency} is left for it after larger drifts and the cash reserve"
    ),
    SkipReason.CASH_RESERVE: lambda p, _: (
        f"the rest of its share stays in {p.valuation_currency} as the cash reserve of "
        f"{plain(p.policy.cash_reserve * HUNDRED)} %"
    ),
    SkipReason.ORDER_LIMIT: lambda p, _: f"max_orders {p.policy.max_orders} left no place for it",
    SkipReason.MARKET_NOT_ONLINE: lambda _, c: f"market {c.market.symbol} is {c.market.status.value}",
}
"""What each reason means for one currency, with the figures that decided it."""
