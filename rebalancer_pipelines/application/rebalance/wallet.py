"""What a portfolio can spend while its orders run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from rebalancer_pipelines.domain.market import FeeSchedule, Market
from rebalancer_pipelines.domain.order import Order, OrderSide
from rebalancer_pipelines.domain.rebalance import WeighedPosition
from rebalancer_pipelines.domain.values import EXACT, ONE, ZERO, Currency, exact_sum, floor_to


class Wallet:
    """A portfolio's units: what has settled, and what orders that are on their way may still cost at the most.

    `reserve` is the cash that a plan leaves. Prices that move before a fill may take of it, that is what it is for; an
    order that has to be cut may not.
    """

    def __init__(self, positions: Sequence[WeighedPosition], fees: FeeSchedule, *, reserve: Decimal = ZERO) -> None:
        self.quantities = {p.currency: p.quantity for p in positions}
        self._locked = {p.currency: EXACT.subtract(p.quantity, p.free) for p in positions}
        self._reserve = reserve
        self._with_fee = EXACT.add(ONE, fees.taker)
        self._pending: dict[UUID, tuple[Currency, Decimal]] = {}
        self._booked: set[str] = set()

    def send(self, order: Order) -> None:
        """Keep back what an order may cost until it is settled."""
        if order.side is OrderSide.BUY:
            self.keep_back(order, order.quantity)

    def settle(self, order: Order) -> None:
        """Book what an order has really moved, each fill once; nothing more of it is on its way."""
        self._pending.pop(order.id, None)
        bought = order.side is OrderSide.BUY
        for fill in order.fills:
            if fill.trade_id in self._booked:
                continue
            self._booked.add(fill.trade_id)
            self._move(order.base_currency, fill.quantity if bought else EXACT.minus(fill.quantity))
            self._move(order.quote_currency, EXACT.minus(fill.notional) if bought else fill.notional)
            self._move(fill.fee_currency, EXACT.minus(fill.fee))

    def covers(self, order: Order) -> bool:
        """Whether an order can be paid even if all of it fills at its limit."""
        if order.side is OrderSide.SELL:
            return True
        return self._outlay(order.quantity, order.limit_price) <= self.spendable(order.quote_currency)

    def fit(self, order: Order, market: Market) -> Order | None:
        """The order as it can be paid: None when that would fall below the venue's minimum.

        A buy must be covered even when all of it fills at its limit, so the limit gives way first and the quantity only
        when the price that the plan expects is too dear: nothing is ever paid with another portfolio's money.
        """
        if order.side is OrderSide.SELL:
            return order
        cash = self.spendable(order.quote_currency)
        quantity = order.quantity
        if self._outlay(quantity, order.price) > cash:
            left = max(EXACT.subtract(cash, self._reserve), ZERO)
            quantity = floor_to(EXACT.divide(left, EXACT.multiply(order.price, self._with_fee)), market.size_increment)
            if not market.takes(quantity, order.price):
                return None
        dearest = floor_to(EXACT.divide(cash, EXACT.multiply(quantity, self._with_fee)), market.price_increment)
        return replace(order, quantity=quantity, limit_price=max(order.price, min(order.limit_price, dearest)))

    def part_of(self, order: Order, wanted: Decimal, market: Market) -> Decimal:
        """How much of a buy can be paid even if it fills at its limit, at most what is `wanted` of it.

        For a part in a net order, whose limit is that of all who ride on it.
        """
        if self._outlay(wanted, order.limit_price) <= self.spendable(order.quote_currency):
            return wanted
        left = max(EXACT.subtract(self.spendable(order.quote_currency), self._reserve), ZERO)
        price = EXACT.multiply(order.limit_price, self._with_fee)
        return min(wanted, floor_to(EXACT.divide(left, price), market.size_increment))

    def keep_back(self, order: Order, quantity: Decimal) -> None:
        """Keep back what a part of a buy may cost until it is settled."""
        self._pending[order.id] = (order.quote_currency, self._outlay(quantity, order.limit_price))

    def _outlay(self, quantity: Decimal, price: Decimal) -> Decimal:
        return EXACT.multiply(EXACT.multiply(quantity, price), self._with_fee)

    def spendable(self, currency: Currency) -> Decimal:
        """What is free and not kept back for orders on their way."""
        kept_back = exact_sum(amount for quote, amount in self._pending.values() if quote == currency)
        held = EXACT.subtract(self.quantities.get(currency, ZERO), self._locked.get(currency, ZERO))
        return EXACT.subtract(held, kept_back)

    def _move(self, currency: Currency, amount: Decimal) -> None:
        self.quantities[currency] = EXACT.add(self.quantities.get(currency, ZERO), amount)
