"""Settling orders: ask the venue what became of them, and book every fill exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from rebalancer_pipelines.application.freeze import freeze_within
from rebalancer_pipelines.application.lease import LeaseKeeper
from rebalancer_pipelines.application.ports import OrderReference, Ports, UnitOfWork, Venue, VenueOrder
from rebalancer_pipelines.application.rebalance.net_orders import book_net_fills
from rebalancer_pipelines.application.reconcile import list_amounts, look_for_change
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.ledger import fill_entries
from rebalancer_pipelines.domain.order import Order, OrderState, settled_state
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.rebalance import Lease
from rebalancer_pipelines.domain.values import exact_sum

_EMPTY_LOOKUPS = 2
"""So many successful look-ups without the order, late enough, are proof that the venue never took it."""

_LOOKS_BEFORE_CANCEL = 3
"""An immediate order that is still working after this many looks, or after its deadline, is cancelled."""

_FIRST_PAUSE = timedelta(milliseconds=200)
_LONGEST_PAUSE = timedelta(seconds=10)
_GRACE = timedelta(seconds=30)
"""How long after an order's absence could be proof it is still waited for."""


@dataclass(slots=True)
class _Look:
    """What looking has shown so far."""

    working: Counter[UUID] = field(default_factory=Counter[UUID])
    absent: Counter[UUID] = field(default_factory=Counter[UUID])
    canceled: Counter[UUID] = field(default_factory=Counter[UUID])


def settle_orders(
    ports: Ports, account: Account, lease: Lease, venue: Venue, orders: Sequence[Order], *, wait: bool
) -> list[Order]:
    """Look orders up until the venue shows their end, or their absence is proof; returns them as they stand then.

    Absence is proof after two successful empty look-ups later than `not_after` plus the venue's visibility lag, with
    balances and trades that nothing else has changed: by then the venue would have refused the order. A failed look-up
    proves nothing. One that stays unresolved for the account's `review_after` becomes NEEDS_REVIEW, and the account is
    frozen. Without `wait`, only what can be known now is written down.
    """
    settled = {order.id: order for order in orders}
    look = _Look()
    until = _patience(ports, venue, orders) if wait else ports.clock.now()
    pause, looks = _FIRST_PAUSE, 0
    keeper = LeaseKeeper(ports, account, lease)
    # One look also at those that a person has to judge: the venue may have shown their end meanwhile.
    unresolved = [order for order in orders if not order.state.is_terminal]
    while unresolved:
        keeper.keep()
        for order in _look_once(ports, account, lease, venue, unresolved, look):
            settled[order.id] = order
        looks += 1
        unresolved = [o for o in settled.values() if not o.state.is_terminal and o.state is not OrderState.NEEDS_REVIEW]
        if not unresolved or (looks >= _EMPTY_LOOKUPS and ports.clock.now() >= until):
            break
        ports.clock.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
    return [settled[order.id] for order in orders]


def _patience(ports: Ports, venue: Venue, orders: Sequence[Order]) -> datetime:
    """Until when it is worth waiting: the moment at which the absence of the last order is proof, and a little more."""
    now = ports.clock.now()
    last = max((order.not_after or now for order in orders), default=now)
    return max(now, last + venue.visibility_lag) + _GRACE


def _look_once(
    ports: Ports, account: Account, lease: Lease, venue: Venue, orders: Sequence[Order], look: _Look
) -> list[Order]:
    asked_at = ports.clock.now()
    try:
        found = venue.find([_reference(account, order) for order in orders])
    except VenueUnreachableError:
        # Nothing is known, so nothing is concluded; an order that stays so for long goes to a person all the same.
        return [
            _review_when_old(ports, account, lease, order, asked_at, "the venue cannot be asked") for order in orders
        ]
    seen: list[Order] = []
    for order in orders:
        shown = found.get(order.client_order_id)
        if shown is None:
            seen.append(_judge_absence(ports, account, lease, venue, order, asked_at, look))
        else:
            look.absent[order.id] = 0
            seen.append(_adopt(ports, account, lease, venue, order, shown, asked_at, look))
    return seen


def _reference(account: Account, order: Order) -> OrderReference:
    sent_after = (order.not_after - account.settings.not_after) if order.not_after else account.created_at
    return OrderReference(
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        venue_order_id=order.venue_order_id,
        sent_after=sent_after,
    )


def _adopt(
    ports: Ports,
    account: Account,
    lease: Lease,
    venue: Venue,
    order: Order,
    shown: VenueOrder,
    asked_at: datetime,
    look: _Look,
) -> Order:
    """Write down what the venue shows: its id, new fills with their ledger entries, and its end."""
    if shown.contradiction is not None:
        return _send_to_review(ports, account, lease, order, shown.contradiction)
    if shown.fills or shown.closed_as is not None or order.state is not OrderState.OPEN:
        order = _write_down(ports, lease, order, shown)
    if order.state.is_terminal:
        return order
    if shown.awaits_fills:
        return _review_when_old(ports, account, lease, order, asked_at, "the venue has not shown all of its fills")
    return _end_working_order(ports, account, lease, venue, order, asked_at, look)


def _write_down(ports: Ports, lease: Lease, order: Order, shown: VenueOrder) -> Order:
    with ports.transactions() as work:
        work.accounts.fence(lease)
        _book_fills(work, lease, order, shown)
        if shown.closed_as is not None:
            filled = exact_sum(fill.quantity for fill in shown.fills)
            state = settled_state(order.quantity, filled, otherwise=shown.closed_as)
            order = work.orders.move(order, state, venue_order_id=shown.venue_order_id, reason=shown.reason)
        elif order.state not in {OrderState.OPEN, OrderState.CANCELING}:
            order = work.orders.move(order, OrderState.OPEN, venue_order_id=shown.venue_order_id)
        work.commit()
    return order


def _book_fills(work: UnitOfWork, lease: Lease, order: Order, shown: VenueOrder) -> None:
    if order.rebalance_id is None:
        book_net_fills(work, lease.account_id, order, shown.fills)
        return
    new = work.orders.add_fills(order, lease.account_id, shown.fills)
    rebalance = work.rebalances.by_id(order.rebalance_id)
    if rebalance.dry_run or not new:
        return
    work.ledger.append(
        fill_entries(order, shown.fills, account_id=lease.account_id, portfolio_id=rebalance.portfolio_id, fill_ids=new)
    )


def _end_working_order(
    ports: Ports, account: Account, lease: Lease, venue: Venue, order: Order, asked_at: datetime, look: _Look
) -> Order:
    """Cancel an immediate order that is still working; it goes to a person only when that has not ended it."""
    look.working[order.id] += 1
    is_overdue = order.not_after is not None and asked_at > order.not_after
    if not is_overdue and look.working[order.id] < _LOOKS_BEFORE_CANCEL:
        return order
    look.canceled[order.id] += 1
    order = _cancel(ports, account, lease, venue, order)
    if look.canceled[order.id] == 1:
        # However long ago it was sent: whether it ends now is for the next look to see.
        return order
    return _review_when_old(
        ports, account, lease, order, asked_at, "the venue does not end it, although it was told to"
    )


def _cancel(ports: Ports, account: Account, lease: Lease, venue: Venue, order: Order) -> Order:
    """Cancel an order that should not be working any more. That we mean to is written down first."""
    if order.state is not OrderState.CANCELING:
        with ports.transactions() as work:
            work.accounts.fence(lease)
            order = work.orders.move(order, OrderState.CANCELING, reason="still working although it is immediate")
            work.commit()
    try:
        venue.cancel(_reference(account, order))
    except VenueUnreachableError:
        # It may be cancelled or filled by now: the next look says which.
        return order
    return order


def _judge_absence(
    ports: Ports, account: Account, lease: Lease, venue: Venue, order: Order, asked_at: datetime, look: _Look
) -> Order:
    proof_from = order.not_after + venue.visibility_lag if order.not_after else asked_at
    if order.venue_order_id is not None or order.state is OrderState.CANCELING or asked_at <= proof_from:
        # The venue has told its id, or may still show it: that it is not seen today says nothing.
        return _review_when_old(ports, account, lease, order, asked_at, "the venue does not show it")
    look.absent[order.id] += 1
    if look.absent[order.id] < _EMPTY_LOOKUPS:
        return order
    suspicion = _suspicion(ports, account, venue, order)
    if suspicion is not None:
        return _review_when_old(ports, account, lease, order, asked_at, suspicion)
    with ports.transactions() as work:
        work.accounts.fence(lease)
        if order.state is OrderState.SENDING:
            order = work.orders.move(order, OrderState.UNKNOWN, reason="the program stopped while it was being sent")
        order = work.orders.move(
            order, OrderState.NOT_ACCEPTED, reason="the venue does not know the order and its deadline has passed"
        )
        work.commit()
    return order


def _suspicion(ports: Ports, account: Account, venue: Venue, order: Order) -> str | None:
    """Why an absent order may have traded all the same: balances or trades that nothing else explains."""
    try:
        change = look_for_change(ports, account, venue)
    except VenueUnreachableError:
        return "balances and trades cannot be read"
    if change.differences and not change.explanation:
        return f"balances have changed ({list_amounts(change.differences)}), and nothing explains it"
    # Whatever else was traded against the same quote currency, only a trade of the base could be the order's.
    trade = next((m for m in change.explanation if m.trade_id and m.currency == order.base_currency), None)
    return f"the venue's ledger has trade {trade.trade_id}, which no order of ours explains" if trade else None


def _review_when_old(ports: Ports, account: Account, lease: Lease, order: Order, now: datetime, reason: str) -> Order:
    if now <= (order.not_after or now) + account.settings.review_after:
        return order
    return _send_to_review(ports, account, lease, order, reason)


def _send_to_review(ports: Ports, account: Account, lease: Lease, order: Order, reason: str) -> Order:
    """Give an order to a person: nothing trades on the account until it is resolved."""
    with ports.transactions() as work:
        work.accounts.fence(lease)
        if order.state is OrderState.SENDING:
            order = work.orders.move(order, OrderState.UNKNOWN, reason="the program stopped while it was being sent")
        if order.state is not OrderState.NEEDS_REVIEW:
            order = work.orders.move(order, OrderState.NEEDS_REVIEW, reason=reason)
        freeze_within(
            work,
            account,
            f"order {order.client_order_id} ({order.side.value} {order.symbol}) needs a person's look: {reason}",
            ports.clock.now(),
        )
        work.commit()
    return order
