"""Currencies that may get an order, with every rule that binds the order counted in whole size increments."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from rebalancer_pipelines.domain.market import FeeSchedule, Market, PriceMark
from rebalancer_pipelines.domain.portfolio import Holding
from rebalancer_pipelines.domain.values import HUNDRED, ONE, ZERO, Currency, ceil_to, floor_to

_NEVER = Decimal("Infinity")


@dataclass(slots=True, eq=False)
class Candidate:
    """One currency that may be traded. A *unit* is one size increment of its market; money is valuation currency.

    `value` is what is held, `share` the fraction of the portfolio's value that it should be; buys stop short of it by
    `reserve_share`, which leaves room for the cash reserve. A unit is worth `unit_value` at mid, a sale brings
    `unit_proceeds` after its fee, a purchase takes `unit_outlay` with its fee. `free_units` may be sold. An order below
    `threshold_units` is not worth its while, one below `venue_units_to_sell` or `venue_units_to_buy` is not accepted.
    """

    currency: Currency
    market: Market
    target: Decimal
    value: Decimal
    share: Decimal
    reserve_share: Decimal
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
    reserved: Decimal,
    threshold: Decimal,
    fees: FeeSchedule,
) -> Candidate:
    """Count the rules of one market in units. `target` is in percent, `reserved` the fraction of it not to be bought.

    Expects to run in the exact decimal context.
    """
    unit = market.size_increment
    amount_units = max(ONE, _ceil_div(market.min_amount, unit))
    sell_price = floor_to(mark.bid, market.price_increment)
    buy_price = ceil_to(mark.ask, market.price_increment)
    unit_value = mark.mid * unit
    sell_notional, buy_notional = unit * sell_price, unit * buy_price
    share = target / HUNDRED
    return Candidate(
        currency=market.base_currency,
        market=market,
        target=target,
        value=value,
        share=share,
        reserve_share=share * reserved,
        free_units=holding.free // unit if holding.free > ZERO else ZERO,
        sell_price=sell_price,
        buy_price=buy_price,
        unit_value=unit_value,
        unit_proceeds=sell_notional * (ONE - fees.taker),
        unit_outlay=buy_notional * (ONE + fees.taker),
        threshold_units=_ceil_div(threshold, unit_value),
        # Nothing can be sold at a price that the grid rounds down to 0.
        venue_units_to_sell=max(amount_units, _ceil_div(market.min_notional, sell_notional)) if sell_price else _NEVER,
        venue_units_to_buy=max(amount_units, _ceil_div(market.min_notional, buy_notional)),
    )


def _ceil_div(number: Decimal, divisor: Decimal) -> Decimal:
    quotient, rest = divmod(number, divisor)
    return quotient + ONE if rest else quotient
