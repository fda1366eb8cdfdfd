"""How an order fills on paper: pure arithmetic, so the same order at the same quote always fills alike.

The book is thought of as a touch that holds a little at the quoted price, and behind it a price that worsens in
proportion to the value taken, measured against the value that the market trades in an hour. An order takes the touch
and then up to two slices of the rest, each at the price where the slice ends, rounded against the taker.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from rebalancer_pipelines.domain.market import Market, PriceMark
from rebalancer_pipelines.domain.order import OrderSide
from rebalancer_pipelines.domain.values import EXACT, ZERO, ceil_to, floor_to

_TWO = Decimal(2)


@dataclass(frozen=True, slots=True)
class Liquidity:
    """What a market can take.

    `hour_value` is the value traded in an hour, in quote currency. The touch holds `touch_share` of it at the quoted
    price; beyond the touch, taking a whole hour's value would move the price by the fraction `impact`.
    """

    hour_value: Decimal
    touch_share: Decimal = Decimal("0.001")
    impact: Decimal = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Execution:
    """One trade: `quantity` in base, `price` in quote per base."""

    quantity: Decimal
    price: Decimal


def fill_immediately(
    side: OrderSide, quantity: Decimal, limit_price: Decimal, *, mark: PriceMark, market: Market, liquidity: Liquidity
) -> tuple[Execution, ...]:
    """The trades of an immediate-or-cancel order, best price first: at most `quantity` in all, perhaps nothing.

    No trade is worse than `limit_price`; what does not fit within it is not filled. Quantities stand on the market's
    size grid and prices on its price grid, provided that those of the order do.
    """
    touch = _against_taker(side, mark.ask if side is OrderSide.BUY else mark.bid, market.price_increment)
    room = EXACT.subtract(limit_price, touch) if side is OrderSide.BUY else EXACT.subtract(touch, limit_price)
    hour_value, unit = liquidity.hour_value, market.size_increment
    if room < ZERO or touch <= ZERO or hour_value <= ZERO:
        return ()
    touch_size = floor_to(EXACT.divide(EXACT.multiply(hour_value, liquidity.touch_share), touch), unit)
    # Products first and one division last: what divides evenly stays exact, so that the limit is never overstepped.
    steepness = EXACT.multiply(EXACT.multiply(touch, touch), liquidity.impact)
    fitting = quantity
    if steepness:
        behind_touch = floor_to(EXACT.divide(EXACT.multiply(room, hour_value), steepness), unit)
        fitting = min(quantity, EXACT.add(touch_size, behind_touch))

    def price_behind_touch(size: Decimal) -> Decimal:
        moved = EXACT.divide(EXACT.multiply(size, steepness), hour_value)
        price = EXACT.add(touch, moved) if side is OrderSide.BUY else EXACT.subtract(touch, moved)
        return _against_taker(side, price, market.price_increment)

    at_touch = min(fitting, touch_size)
    rest = EXACT.subtract(fitting, at_touch)
    near = floor_to(EXACT.divide(rest, _TWO), unit)
    slices = (
        Execution(at_touch, touch),
        Execution(near, price_behind_touch(near)),
        Execution(EXACT.subtract(rest, near), price_behind_touch(rest)),
    )
    return tuple(execution for execution in slices if execution.quantity)


def _against_taker(side: OrderSide, price: Decimal, increment: Decimal) -> Decimal:
    return ceil_to(price, increment) if side is OrderSide.BUY else floor_to(price, increment)
