"""Sending orders: one side after the other, each order once, and what came of it written down.

Orders of one side leave one after the other and are settled together, as long as the money covers each of them at its
limit whatever becomes of the others. One whose fate is unclear is settled before anything else leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from rebalancer_pipelines.application.ports import (
    Accepted,
    Acknowledgement,
    OrderTicket,
    Ports,
    Rejected,
    Unclear,
    Venue,
    Withheld,
)
from rebalancer_pipelines.application.rebalance.clearance import clearance_for
from rebalancer_pipelines.application.rebalance.quotes import Quotes
from rebalancer_pipelines.application.rebalance.settle import settle_orders
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.market import Market, MarketStatus
from rebalancer_pipelines.domain.order import Order, OrderState
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.rebalance import Lease
from rebalancer_pipelines.domain.risk import rate_denial, skew_denial

_MINUTE = timedelta(minutes=1)


class Purse(Protocol):
    """The money that orders are paid with."""

    def covers(self, order: Order) -> bool:
        """Whether an order can be paid even if all of it fills at its limit."""
        ...

    def fit(self, order: Order, market: Market) -> Order | None:
        """The order as it can be paid: None when that would fall below the venue's minimum."""
        ...

    def send(self, order: Order) -> None:
        """Keep back what an order may cost until it is settled."""
        ...

    def settle(self, order: Order) -> None:
        """Book what an order has really moved."""
        ...


class OrderRun:
    """Orders of one account under one lease. `denial` is set by what keeps every further order from leaving."""

    def __init__(
        self,
        ports: Ports,
        account: Account,
        lease: Lease,
        desk: Venue,
        purse: Purse,
        quotes: Quotes,
        *,
        dry_run: bool,
    ) -> None:
        """Begin with a look at the clock: a deadline by one that is far off means little."""
        self.denial: DeniedError | None = None
        self._ports = ports
        self._account = account
        self._lease = lease
        self._desk = desk
        self._purse = purse
        self._quotes = quotes
        self._dry_run = dry_run
        self._on_their_way: list[Order] = []
        self._ended: dict[UUID, Order] = {}
        self._skew = timedelta(0)
        if not dry_run:
            self._skew = desk.clock_skew()
            self.denial = skew_denial(self._skew)
        self._markets = desk.markets()

    @property
    def ended(self) -> Mapping[UUID, Order]:
        """Every order so far as it ended, by its id; one that has not is as far as it could be settled."""
        return self._ended

    def send(self, orders: Sequence[Order]) -> None:
        """Send orders of one side and settle them all."""
        for place, order in enumerate(orders):
            self._take_up(order, self._markets.get(order.symbol), [later.symbol for later in orders[place + 1 :]])
        self._settle()

    def _take_up(self, order: Order, market: Market | None, still_to_come: list[str]) -> None:
        if (reason := self.stopped_by()) is not None:
            self._end(self._give_up(order, OrderState.VOID, reason))
            return
        if market is None:
            gone = DeniedError(
                DenialReason.PAIR_HALTED, f"market {order.symbol} is no longer listed; change the weights"
            )
            self._end(self._give_up(order, OrderState.DENIED, str(gone)))
            return
        if not self._purse.covers(order):
            # What is on its way may cost less than its limit: only then is this one cut.
            self._settle()
        denial = self._denial_of(order, market, still_to_come)
        fitting = self._purse.fit(order, market)
        if denial is None and fitting is None:
            denial = DeniedError(
                DenialReason.DUST_SKIPPED,
                f"the sells before it brought too little to pay for it above the venue's minimum of {market.minimum}",
            )
        if denial is not None or fitting is None:
            self._end(self._give_up(order, OrderState.DENIED, str(denial)))
            return
        self._send(order, fitting)

    def look_at_switches(self) -> None:
        """Set `denial` when a switch that stops orders has been thrown since the last one left."""
        if self._dry_run or self.denial is not None:
            return
        try:
            clearance_for(self._ports, self._lease)()
        except DeniedError as denied:
            self.denial = denied

    def stopped_by(self) -> str | None:
        """Why no further order leaves, if none does."""
        unresolved = next((o for o in self._ended.values() if not o.state.is_terminal), None)
        if unresolved is not None:
            return f"order {unresolved.client_order_id} before it is {unresolved.state.value}"
        return str(self.denial) if self.denial is not None else None

    def _denial_of(self, order: Order, market: Market, still_to_come: list[str]) -> DeniedError | None:
        if market.status is not MarketStatus.ONLINE:
            return DeniedError(
                DenialReason.PAIR_HALTED, f"market {market.symbol} is {market.status.value}; wait until it is online"
            )
        return self._rate_denial() or self._quotes.denial_of(order, still_to_come)

    def _rate_denial(self) -> DeniedError | None:
        account = self._account
        if self._dry_run or account.settings.max_orders_per_run is None:
            return None
        with self._ports.transactions() as work:
            return rate_denial(work.orders.count_sent(account.id, self._ports.clock.now() - _MINUTE))

    def _give_up(self, order: Order, state: OrderState, reason: str) -> Order:
        with self._ports.transactions() as work:
            work.accounts.fence(self._lease)
            order = work.orders.move(order, state, reason=reason)
            work.commit()
        return order

    def _send(self, planned: Order, fitting: Order) -> None:
        """Make the intent durable as it will be sent, send it once, and write down what came of it."""
        settings = self._account.settings
        not_after = self._ports.clock.now() + self._skew + settings.not_after
        with self._ports.transactions() as work:
            work.accounts.renew_lease(self._lease, settings.lease)
            order = work.orders.move(
                planned,
                OrderState.SENDING,
                quantity=fitting.quantity,
                limit_price=fitting.limit_price,
                not_after=not_after,
            )
            work.commit()
        ticket = OrderTicket(
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            limit_price=order.limit_price,
            not_after=not_after,
            expected_price=order.price,
        )
        self._record(order, self._desk.submit(ticket, clearance_for(self._ports, self._lease)))

    def _record(self, order: Order, answer: Acknowledgement) -> None:
        with self._ports.transactions() as work:
            work.accounts.fence(self._lease)
            if isinstance(answer, Accepted) and work.orders.has_venue_order(order, answer.venue_order_id):
                answer = Unclear("the venue answered with the id of another order")
            match answer:
                case Rejected(reason):
                    order = work.orders.move(order, OrderState.REJECTED, reason=reason)
                case Withheld(denial):
                    order = work.orders.move(order, OrderState.REJECTED, reason=str(denial))
                    self.denial = denial
                case Accepted(venue_order_id):
                    order = work.orders.move(order, OrderState.OPEN, venue_order_id=venue_order_id)
                case Unclear(reason):
                    order = work.orders.move(order, OrderState.UNKNOWN, reason=reason)
            work.commit()
        if order.state.is_terminal:
            self._end(order)
            return
        self._purse.send(order)
        self._on_their_way.append(order)
        if order.state is OrderState.UNKNOWN:
            self._settle()

    def _settle(self) -> None:
        if not self._on_their_way:
            return
        settled = settle_orders(self._ports, self._account, self._lease, self._desk, self._on_their_way, wait=True)
        self._on_their_way = []
        for order in settled:
            if order.state.is_terminal:
                self._purse.settle(order)
            self._end(order)

    def _end(self, order: Order) -> None:
        self._ended[order.id] = order
