"""Netting: portfolios that share an account trade with each other first, and send only what is left to the venue.

What crosses inside the account changes hands at the mid and pays neither spread nor fee. All of it is pure: quantities
on the market's grid, shared out in proportion, to the last unit.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from rebalancer_pipelines.domain.order import Fill, LiquiditySide, Order, OrderSide
from rebalancer_pipelines.domain.values import EXACT, ZERO, exact_sum, floor_to

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class NettedMarket:
    """One market of an account. `crossed` is what each order trades with the others, on both sides the same sum.

    `left` is what remains of the orders of one `side` for the venue; both are empty and None when nothing does.
    """

    crossed: Mapping[UUID, Decimal]
    side: OrderSide | None
    left: Mapping[UUID, Decimal]


def net(orders: Sequence[Order], increment: Decimal) -> NettedMarket:
    """Net the orders of one market, whose quantities are multiples of `increment`.

    The smaller side crosses whole; the larger side shares in it by quantity and has the rest left.
    """
    of_side = {side: {o.id: o.quantity for o in orders if o.side is side} for side in OrderSide}
    bought, sold = exact_sum(of_side[OrderSide.BUY].values()), exact_sum(of_side[OrderSide.SELL].values())
    if bought == sold:
        return NettedMarket({**of_side[OrderSide.BUY], **of_side[OrderSide.SELL]}, None, {})
    side = OrderSide.BUY if bought > sold else OrderSide.SELL
    larger = of_side[side]
    (smaller,) = (of_side[other] for other in OrderSide if other is not side)
    shares = share_out(exact_sum(smaller.values()), larger, increment)
    left = {key: EXACT.subtract(quantity, shares[key]) for key, quantity in larger.items()}
    return NettedMarket(
        crossed={key: quantity for key, quantity in {**smaller, **shares}.items() if quantity},
        side=side,
        left={key: quantity for key, quantity in left.items() if quantity},
    )


@dataclass(frozen=True, slots=True)
class Crossing:
    """An order's part in a crossing: so many units at the mid, which cost or bring `notional` in quote currency."""

    order: Order
    quantity: Decimal
    mid: Decimal

    @property
    def notional(self) -> Decimal:
        """Quantity × mid."""
        return EXACT.multiply(self.quantity, self.mid)


def within_cash(
    crossings: Sequence[Crossing],
    cash: Mapping[UUID, Decimal],
    increments: Mapping[str, Decimal],
) -> list[Crossing]:
    """The crossings that every buyer can pay, from its cash and from what it sells in them at the same moment.

    `cash` is what each rebalance may spend, `increments` each market's grid. A buyer that is short buys less of
    everything by the same fraction, and its sellers sell less: that may make one of them short, so it goes on until
    nobody is. Both sides of every market stay equal.
    """
    kept = {crossing.order.id: crossing.quantity for crossing in crossings}
    while True:
        fractions = _fractions_affordable(crossings, kept, cash)
        if not fractions:
            return [replace(c, quantity=kept[c.order.id]) for c in crossings if kept[c.order.id]]
        cut: dict[str, Decimal] = {}
        for crossing in crossings:
            order = crossing.order
            fraction = fractions.get(_owner(order))
            if order.side is OrderSide.BUY and fraction is not None:
                less = floor_to(EXACT.multiply(kept[order.id], fraction), increments[order.symbol])
                cut[order.symbol] = EXACT.add(cut.get(order.symbol, ZERO), EXACT.subtract(kept[order.id], less))
                kept[order.id] = less
        for symbol, quantity in cut.items():
            sellers = {
                c.order.id: kept[c.order.id]
                for c in crossings
                if c.order.symbol == symbol and c.order.side is OrderSide.SELL
            }
            for key, less in share_out(quantity, sellers, increments[symbol]).items():
                kept[key] = EXACT.subtract(kept[key], less)


def _fractions_affordable(
    crossings: Sequence[Crossing], kept: Mapping[UUID, Decimal], cash: Mapping[UUID, Decimal]
) -> dict[UUID, Decimal]:
    """For every rebalance that cannot pay what it would buy: the fraction of it that it can."""
    spent: dict[UUID, Decimal] = {}
    brought: dict[UUID, Decimal] = {}
    for crossing in crossings:
        owner = _owner(crossing.order)
        worth = EXACT.multiply(kept[crossing.order.id], crossing.mid)
        flows = spent if crossing.order.side is OrderSide.BUY else brought
        flows[owner] = EXACT.add(flows.get(owner, ZERO), worth)
    fractions: dict[UUID, Decimal] = {}
    for owner, outlay in spent.items():
        purse = EXACT.add(max(cash.get(owner, ZERO), ZERO), brought.get(owner, ZERO))
        if outlay > purse:
            fractions[owner] = EXACT.divide(purse, outlay)
    return fractions


def _owner(order: Order) -> UUID:
    if order.rebalance_id is None:
        raise AssertionError("a net order crosses with nobody")
    return order.rebalance_id


def split_fill(fill: Fill, riders: Sequence[Order]) -> dict[UUID, Fill]:
    """A net order's fill as fills of the orders that ride on it, by what each waits for: quantity, money and fee.

    Every amount is shared out to its last digit; an order whose share is nothing gets no fill. What they wait for must
    sum to no less than the fill.
    """
    names = {order.id: order.client_order_id for order in riders}
    waiting = {order.id: _waits_for(order) for order in riders}
    grid = min(_unit(quantity) for quantity in (fill.quantity, *waiting.values()))
    quantities = {key: q for key, q in share_out(fill.quantity, waiting, grid).items() if q}
    notionals = share_out(fill.notional, quantities, _unit(fill.notional))
    fees = share_out(fill.fee, quantities, _unit(fill.fee))
    return {
        key: replace(
            fill,
            trade_id=f"{fill.trade_id}:{names[key]}",
            quantity=quantity,
            notional=notionals[key],
            fee=fees[key],
        )
        for key, quantity in quantities.items()
    }


def _waits_for(rider: Order) -> Decimal:
    """What of its part in the net order has not traded yet."""
    traded = exact_sum(fill.quantity for fill in rider.fills if fill.liquidity_side is not LiquiditySide.INTERNAL)
    return EXACT.subtract(rider.netted_quantity or ZERO, traded)


def share_out(amount: Decimal, weights: Mapping[_Key, Decimal], unit: Decimal) -> dict[_Key, Decimal]:
    """Divide `amount`, a multiple of `unit`, in proportion to the weights, to the last unit.

    Everybody gets the whole units of its proportion; the units that are left go to the largest remainders, to the
    first of equal ones. A weight that is a multiple of the unit is never exceeded while the weights sum to no less
    than the amount.
    """
    total = exact_sum(weights.values())
    if not total:
        return dict.fromkeys(weights, ZERO)
    sign = -1 if amount < ZERO else 1
    units = int(EXACT.divide(EXACT.abs(amount), unit))
    # Whole numbers from here on: nothing is ever rounded.
    scale = _unit(total)
    parts = {key: int(EXACT.divide(weight, scale)) for key, weight in weights.items()}
    whole = int(EXACT.divide(total, scale))
    shares = {key: divmod(units * part, whole) for key, part in parts.items()}
    missing = units - sum(quotient for quotient, _ in shares.values())
    by_remainder = sorted(shares, key=lambda key: -shares[key][1])
    extra = set(by_remainder[:missing])
    return {
        key: EXACT.multiply(unit, Decimal(sign * (quotient + (key in extra)))) for key, (quotient, _) in shares.items()
    }


def _unit(number: Decimal) -> Decimal:
    """One in the last digit of a number as it is written."""
    exponent = number.as_tuple().exponent
    return Decimal(1).scaleb(min(exponent, 0)) if isinstance(exponent, int) else Decimal(1)
