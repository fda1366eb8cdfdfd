"""The exchange itself: accepts orders, matches them, books trades. It knows nothing of HTTP, keys or faults."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tests.support.kraken_double.amounts import EXACT, ZERO, product, rounded_up
from tests.support.kraken_double.book import Book, Execution
from tests.support.kraken_double.counters import TRADING, DecayingCounter, Tier, cancel_cost
from tests.support.kraken_double.errors import (
    INSUFFICIENT_FUNDS,
    NO_PRICE,
    ORDER_RATE,
    UNKNOWN_ORDER,
    RefusedError,
    invalid,
)
from tests.support.kraken_double.identifiers import Identifiers
from tests.support.kraken_double.ledger import Ledger, Movement
from tests.support.kraken_double.listings import MAKER_PERCENT, TAKER_PERCENT, Listings, PairRules
from tests.support.kraken_double.order_entry import OrderEntry, read_entry
from tests.support.kraken_double.records import Order, Side, Trade

USER_REQUESTED = "User requested"


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is to happen to one further order instead of the usual; volumes are in base currency.

    `fill_at_most` limits what it trades on acceptance. `stay_open` leaves the rest open although the order is IOC.
    `fills_on_cancel` is traded when CancelOrder arrives, before the cancellation: a lost race.
    """

    fill_at_most: Decimal | None = None
    stay_open: bool = False
    fills_on_cancel: Decimal = ZERO


class Exchange:
    """One account at one exchange. Fees are in percent of cost; makers are the orders that rested in the book."""

    def __init__(self, listings: Listings, identifiers: Identifiers, tier: Tier) -> None:
        self.listings = listings
        self.ledger = Ledger(listings, identifiers)
        self.books: dict[str, Book] = {}
        self.orders: list[Order] = []
        self.trades: list[Trade] = []
        self.treatments: deque[Treatment] = deque()
        self.taker_percent = TAKER_PERCENT
        self.maker_percent = MAKER_PERCENT
        self._open: dict[str, Order] = {}
        self._identifiers = identifiers
        self._tier: Tier = tier
        self._counters: dict[str, DecayingCounter] = {}

    # Orders.

    def add_order(
        self, parameters: Mapping[str, str], *, arrived_at: datetime, now: datetime
    ) -> tuple[OrderEntry, Order | None]:
        """Take an AddOrder request. None stands for an order that was only to be validated.

        Raises `RefusedError`, in the sequence of `read_entry` and then: no price, client id of an open order, funds,
        trading counter.
        """
        entry = read_entry(parameters, self.listings, arrived_at=arrived_at, now=now)
        book = self.books.get(entry.rules.id)
        if book is None or not book.quoted:
            raise RefusedError(NO_PRICE)
        if entry.validate_only:
            return entry, None
        if entry.cl_ord_id is not None and any(order.cl_ord_id == entry.cl_ord_id for order in self.open_orders()):
            raise invalid("cl_ord_id")
        treatment = self.treatments[0] if self.treatments else Treatment()
        tradable = entry.volume if treatment.fill_at_most is None else min(entry.volume, treatment.fill_at_most)
        executions = book.match(entry.side, tradable, entry.limit)
        self._check_funds(entry, executions)
        if not self._counter(entry.rules.id).add(1, now):
            raise RefusedError(ORDER_RATE)
        if self.treatments:
            self.treatments.popleft()
        order = self._accept(entry, treatment, now)
        book.consume(entry.side, executions)
        self._trade(order, executions, maker=False, now=now)
        if order.remaining and (entry.time_in_force == "IOC" or entry.order_type == "market"):
            self._settle(order, now, may_stay_open=treatment.stay_open)
        else:
            self._settle(order, now, may_stay_open=True)
        return entry, order

    def cancel(self, orders: Sequence[Order], now: datetime) -> int:
        """Cancel those that are still open and return how many. Raises `RefusedError` when none is."""
        for order in orders:
            if order.status == "open" and not self._counter(order.pair).add(cancel_cost(now - order.accepted_at), now):
                raise RefusedError(ORDER_RATE)
            if order.status == "open" and order.fills_on_cancel:
                self.fill(order, order.fills_on_cancel, now)
        still_open = [order for order in orders if order.status == "open"]
        if not still_open:
            raise RefusedError(UNKNOWN_ORDER)
        for order in still_open:
            self.close(order, now, reason=USER_REQUESTED)
        return len(still_open)

    def close(self, order: Order, now: datetime, *, reason: str | None) -> None:
        order.status, order.closed_at, order.reason = "canceled", now, reason
        del self._open[order.txid]

    def open_orders(self) -> list[Order]:
        return list(self._open.values())

    def fill(self, order: Order, volume: Decimal, now: datetime) -> None:
        """Trade up to `volume` of an open order at its limit, as the maker."""
        price = order.limit if order.limit is not None else self._touch(order)
        fitting = min(volume, order.remaining)
        if order.status == "open" and fitting > ZERO:
            self._trade(order, [Execution(price, fitting)], maker=True, now=now)
            self._settle(order, now, may_stay_open=True)

    def fill_resting(self, pair: str, now: datetime) -> None:
        """Let a book that has moved trade with the orders that rest on its pair."""
        book = self.books[pair]
        for order in self.open_orders():
            if order.pair == pair and order.limit is not None:
                executions = book.match(order.side, order.remaining, order.limit)
                book.consume(order.side, executions)
                self.fill(order, sum((execution.volume for execution in executions), ZERO), now)

    def trade_outside(self, pair: str, side: Side, volume: Decimal, price: Decimal, now: datetime) -> Order:
        """A trade that a person made by hand at this price, without client id."""
        order = Order(
            txid=self._identifiers.next("O"),
            pair=pair,
            side=side,
            order_type="limit",
            volume=volume,
            limit=price,
            time_in_force="GTC",
            accepted_at=now,
            by_hand=True,
        )
        self._keep(order)
        self._trade(order, [Execution(price, volume)], maker=False, now=now)
        self._settle(order, now, may_stay_open=False)
        return order

    # Money.

    def holds(self) -> dict[str, Decimal]:
        """What open orders reserve, by Kraken's asset id."""
        held: dict[str, Decimal] = {}
        for order in self.open_orders():
            rules = self.listings.rules(order.pair)
            price = order.limit if order.limit is not None else self._touch(order)
            needed = self._needed(rules, order.side, order.remaining, price, fee_in_base=order.fee_in_base)
            reserved = rounded_up(needed.amount, self.listings.decimals(needed.asset))
            held[needed.asset] = EXACT.add(held.get(needed.asset, ZERO), reserved)
        return held

    def fee_rate(self, *, maker: bool) -> Decimal:
        """As a fraction of cost."""
        return (self.maker_percent if maker else self.taker_percent).scaleb(-2)

    # How.

    def _check_funds(self, entry: OrderEntry, executions: Sequence[Execution]) -> None:
        """What is needed at the limit, and what the lines of the trades will take when their rounding is added up."""
        limit = entry.limit
        needed = [] if limit is None else [self._needed_by(entry, limit)]
        lines: dict[str, Decimal] = {}
        for execution in executions:
            for movement in self._movements(entry.rules, entry.side, execution, entry.fee_in_base, maker=False):
                booked = self.ledger.as_booked(movement)
                lines[booked.asset] = lines.get(booked.asset, ZERO) + booked.amount - booked.fee
        needed.extend(Movement(asset, -change) for asset, change in lines.items() if change < ZERO)
        held = self.holds()
        if any(self.ledger.balance(n.asset) - held.get(n.asset, ZERO) < n.amount for n in needed):
            raise RefusedError(INSUFFICIENT_FUNDS)

    def _needed_by(self, entry: OrderEntry, price: Decimal) -> Movement:
        return self._needed(entry.rules, entry.side, entry.volume, price, fee_in_base=entry.fee_in_base)

    def _needed(self, rules: PairRules, side: Side, volume: Decimal, price: Decimal, *, fee_in_base: bool) -> Movement:
        with_fee = EXACT.add(Decimal(1), self.fee_rate(maker=False))
        if side == "sell":
            return Movement(rules.base, product(volume, with_fee) if fee_in_base else volume)
        cost = product(volume, price)
        return Movement(rules.quote, cost if fee_in_base else product(cost, with_fee))

    def _accept(self, entry: OrderEntry, treatment: Treatment, now: datetime) -> Order:
        order = Order(
            txid=self._identifiers.next("O"),
            pair=entry.rules.id,
            side=entry.side,
            order_type=entry.order_type,
            volume=entry.volume,
            limit=entry.limit,
            time_in_force=entry.time_in_force,
            accepted_at=now,
            cl_ord_id=entry.cl_ord_id,
            userref=entry.userref,
            deadline=entry.deadline,
            fee_in_base=entry.fee_in_base,
            fills_on_cancel=treatment.fills_on_cancel,
        )
        self._keep(order)
        return order

    def _keep(self, order: Order) -> None:
        self.orders.append(order)
        self._open[order.txid] = order

    def _trade(self, order: Order, executions: Sequence[Execution], *, maker: bool, now: datetime) -> None:
        rules = self.listings.rules(order.pair)
        for execution in executions:
            trade_id = self._identifiers.next("T")
            movements = self._movements(rules, order.side, execution, order.fee_in_base, maker=maker)
            lines = self.ledger.write(movements, refid=trade_id, kind="trade", subtype="tradespot", now=now)
            cost = product(execution.price, execution.volume)
            trade = Trade(
                id=trade_id,
                number=len(self.trades) + 1,
                order_id=order.txid,
                pair=order.pair,
                side=order.side,
                order_type=order.order_type,
                price=execution.price,
                volume=execution.volume,
                cost=cost,
                fee=product(cost, self.fee_rate(maker=maker)),
                maker=maker,
                executed_at=now,
                ledger_ids=tuple(line.id for line in lines),
                nth_of_order=len(order.trades) + 1,
            )
            order.trades.append(trade)
            self.trades.append(trade)

    def _movements(
        self, rules: PairRules, side: Side, execution: Execution, fee_in_base: bool, *, maker: bool
    ) -> tuple[Movement, Movement]:
        cost = product(execution.price, execution.volume)
        rate = self.fee_rate(maker=maker)
        sign = Decimal(1) if side == "buy" else Decimal(-1)
        base_fee, quote_fee = (product(execution.volume, rate), ZERO) if fee_in_base else (ZERO, product(cost, rate))
        base = Movement(rules.base, product(sign, execution.volume), base_fee)
        quote = Movement(rules.quote, product(-sign, cost), quote_fee)
        # What is given up is written first, as in Kraken's own ledger exports.
        return (quote, base) if side == "buy" else (base, quote)

    def _settle(self, order: Order, now: datetime, *, may_stay_open: bool) -> None:
        """Close what is filled, and cancel the rest unless it may stay open."""
        if not order.remaining:
            order.status, order.closed_at = "closed", now
            del self._open[order.txid]
        elif not may_stay_open:
            self.close(order, now, reason=None)

    def _counter(self, pair: str) -> DecayingCounter:
        return self._counters.setdefault(pair, DecayingCounter(TRADING[self._tier]))

    def _touch(self, order: Order) -> Decimal:
        """The price at which a market order that was left open would trade."""
        executions = self.books[order.pair].match(order.side, order.remaining, None)
        return executions[0].price if executions else ZERO
