"""The plan of a rebalance: orders, and for every currency that gets none, the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.order import OrderSide
from rebalancer_pipelines.domain.valuation import market_symbol
from rebalancer_pipelines.domain.values import EXACT, Currency, exact_sum, plain


class SkipReason(StrEnum):
    """Why a currency gets no order."""

    ON_TARGET = "ON_TARGET"
    WITHIN_BAND = "WITHIN_BAND"
    BELOW_THRESHOLD = "BELOW_THRESHOLD"
    BELOW_VENUE_MINIMUM = "BELOW_VENUE_MINIMUM"
    LOCKED = "LOCKED"
    NO_CASH = "NO_CASH"
    CASH_RESERVE = "CASH_RESERVE"
    ORDER_LIMIT = "ORDER_LIMIT"
    MARKET_NOT_ONLINE = "MARKET_NOT_ONLINE"
    SETTLEMENT = "SETTLEMENT"
    UNMANAGED = "UNMANAGED"


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """One order to send. `price` is the bid (sells) or ask (buys) it expects, on the market's price grid.

    `notional` = quantity × price and `fee` (the taker fee expected) are in the market's quote currency.
    """

    symbol: str
    base_currency: Currency
    quote_currency: Currency
    side: OrderSide
    quantity: Decimal
    price: Decimal
    notional: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class SkippedCurrency:
    """A currency left alone, and why in words with the figures."""

    currency: Currency
    code: SkipReason
    reason: str


@dataclass(frozen=True, slots=True)
class WeightChange:
    """A currency's weight before and after, and its target, in percent; `drift` = current - target, in points."""

    currency: Currency
    current: Decimal
    target: Decimal
    drift: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True)
class RebalancePlan:
    """What a rebalance would do. Pure function of its inputs, as `plan_hash` shows.

    `value` is the portfolio's value before, `cost` what the orders are expected to lose to spread and fees, both in
    valuation currency; `quantities_after` are the managed units if every order fills as expected, so that
    value after + cost = value before, to the last digit.
    """

    valuation_currency: Currency
    value: Decimal
    cost: Decimal
    orders: tuple[PlannedOrder, ...]
    skipped: tuple[SkippedCurrency, ...]
    weights: tuple[WeightChange, ...]
    quantities_after: Mapping[Currency, Decimal]
    plan_hash: str

    @property
    def value_after(self) -> Decimal:
        """Expected value when every order fills as planned."""
        return EXACT.subtract(self.value, self.cost)


def hash_plan(
    valuation_currency: Currency,
    value: Decimal,
    orders: tuple[PlannedOrder, ...],
    skipped: tuple[SkippedCurrency, ...],
    weights: tuple[WeightChange, ...],
) -> str:
    """SHA-256 over the plan's canonical text: equal inputs give equal hashes on every machine."""
    lines = [f"{valuation_currency} {plain(value)}"]
    lines.extend(f"{o.side} {o.symbol} {plain(o.quantity)} {plain(o.price)} {plain(o.fee)}" for o in orders)
    lines.extend(f"{s.currency} {s.code}" for s in skipped)
    lines.extend(f"{w.currency} {plain(w.current)} {plain(w.target)}" for w in weights)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def plan_conserves_value(plan: RebalancePlan, prices: Mapping[str, PriceMark]) -> Decimal:
    """Value before - value after at mid - cost: zero for every sound plan, to the last digit."""
    after = exact_sum(
        units
        if currency == plan.valuation_currency
        else EXACT.multiply(units, prices[market_symbol(currency, plan.valuation_currency)].mid)
        for currency, units in plan.quantities_after.items()
    )
    return EXACT.subtract(EXACT.subtract(plan.value, after), plan.cost)
