"""How the paper venue fills an order: at bid or ask, worsened by a slippage that grows with size."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from rebalancer_pipelines.domain.market import Market, PriceMark
from rebalancer_pipelines.domain.order import OrderSide
from rebalancer_pipelines.domain.values import EXACT, ZERO, ceil_to, floor_to

_IMPACT_OF_A_WHOLE_HOUR = Decimal("0.05")
"""An order as large as all that was traded in the hour moves the price by 5 %; smaller ones in proportion."""

_DEPTH = Decimal(1_000_000)
"""What stands in for the hour's traded value, in quote currency, where it is not known."""


@dataclass(frozen=True, slots=True)
class PaperFill:
    """How much fills, and at which average price. A quantity of 0 fills nothing."""

    quantity: Decimal
    price: Decimal


def fill(
    market: Market,
    mark: PriceMark,
    side: OrderSide,
    quantity: Decimal,
    limit_price: Decimal,
    traded_value: Decimal | None,
) -> PaperFill:
    """Fill an order that takes liquidity, as far as its limit allows.

    The price is rounded against the taker to the market's grid. Where slippage would carry the whole order beyond its
    limit, the part fills that stays within it.
    """
    touch = mark.ask if side is OrderSide.BUY else mark.bid
    room = EXACT.subtract(limit_price, touch) if side is OrderSide.BUY else EXACT.subtract(touch, limit_price)
    if room < ZERO:
        return PaperFill(ZERO, touch)
    depth = traded_value if traded_value else _DEPTH
    # price = touch × (1 ± impact × quantity × touch / depth): linear in quantity, so the limit solves for it.
    slope = EXACT.divide(EXACT.multiply(_IMPACT_OF_A_WHOLE_HOUR, EXACT.multiply(touch, touch)), depth)
    price = _worsened(market, side, touch, EXACT.multiply(slope, quantity))
    if _within(side, price, limit_price):
        return PaperFill(quantity, price)
    fitting = floor_to(EXACT.divide(room, slope), market.size_increment) if slope else ZERO
    fitting = min(fitting, quantity)
    price = _worsened(market, side, touch, EXACT.multiply(slope, fitting))
    # Rounding against the taker may step over the limit by one increment: then the limit itself is the price.
    return PaperFill(fitting, price if _within(side, price, limit_price) else limit_price)


def _worsened(market: Market, side: OrderSide, touch: Decimal, by: Decimal) -> Decimal:
    if side is OrderSide.BUY:
        return ceil_to(EXACT.add(touch, by), market.price_increment)
    return floor_to(max(ZERO, EXACT.subtract(touch, by)), market.price_increment)


def _within(side: OrderSide, price: Decimal, limit_price: Decimal) -> bool:
    return price <= limit_price if side is OrderSide.BUY else price >= limit_price
