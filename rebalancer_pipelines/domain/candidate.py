"""Currencies that may get an order, with every rule that binds the order counted in whole size increments."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from rebalancer_pipelines.domain.market import FeeSchedule, Market, PriceMark
from rebalancer_pipelines.domain.portfolio import Holding
from rebalancer_pipelines.domain.values import HUNDRED, ONE, ZERO, Currency, ceil_to, floor_to


@dataclass(slots=True, eq=False)
class Candidate:
    """One currency that may be traded. A *unit* is one size increment of its market; money is valuation currency.

    `value` is what is held, `share` and `buy_share` the fractions of the portfolio's value that it is sold down to and
    bought up to (the second leaves room for the cash reserve). A unit is worth `unit_value` at mid, a sale brings
    `unit_proceeds` after its fee, a purchase takes `unit_outlay` with its fee. `free_units` may be sold. An order below
    `threshold_units` is not worth its while, one below `venue_units_to_sell` or `venue_units_to_buy` is not accepted.
    """

    currency: Currency
    market: Market
    target: Decimal
    value: Decimal
    share: Decimal
    buy_share: Decimal
    free_units: Decimal
    sell_price: Decimal
    buy_price: Decimal
    unit_value: Decimal
    unit_proceeds: Decimal
    unit_outlay: Decimal
    threshold_units: Decimal
    venue_units_to_sell: Decimal
    venue_units_to_buy: Decimal


def candidate(
    market: Market,
    mark: PriceMark,
    holding: Holding,
    *,
    value: Decimal,
    target: Decimal,
    buy_scale: Decimal,
    threshold: Decimal,
    fees: FeeSchedule,
) -> Candidate:
    """Count the rules of one market in units. `target` is in percent; `buy_scale` shrinks what is bought.

    Expects to run in the exact decimal context.
    """
    unit = market.size_increment
    sell_price = floor_to(mark.bid, market.price_increment)
    buy_price = ceil_to(mark.ask, market.price_increment)
    unit_value = mark.mid * unit
    share = target / HUNDRED
    return Candidate(
        currency=market.base_currency,
        market=market,
        target=target,
        value=value,
        share=share,
        buy_share=share * buy_scale,
        free_units=holding.free // unit if holding.free > ZERO else ZERO,
        sell_price=sell_price,
        buy_price=buy_price,
        unit_value=unit_value,
        unit_proceeds=unit * sell_price * (ONE - fees.taker),
        unit_outlay=unit * buy_price * (ONE + fees.taker),
        threshold_units=_ceil_div(threshold, unit_value),
        venue_units_to_sell=_venue_minimum(market, sell_price),
        venue_units_to_buy=_venue_minimum(market, buy_price),
    )


def _venue_minimum(market: Market, price: Decimal) -> Decimal:
    """Fewest units that the venue takes at `price`; one at least. Nothing can be sent at a price of 0."""
    if not price:
        return Decimal("Infinity")
    by_amount = _ceil_div(market.min_amount, market.size_increment)
    by_notional = _ceil_div(market.min_notional, market.size_increment * price)
    return max(ONE, by_amount, by_notional)


def _ceil_div(number: Decimal, divisor: Decimal) -> Decimal:
    quotient, rest = divmod(number, divisor)
    return quotient + ONE if rest else quotient
