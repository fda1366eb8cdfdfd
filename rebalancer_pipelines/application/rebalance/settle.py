"""Settling one order: ask the venue what became of it, and book every fill exactly once."""

from __future__ import annotations

from datetime import timedelta

from rebalancer_pipelines.application.ports import Ports, UnitOfWork, Venue, VenueOrder
from rebalancer_pipelines.domain.ledger import fill_entries
from rebalancer_pipelines.domain.order import Order, OrderState, settled_state
from rebalancer_pipelines.domain.rebalance import Lease
from rebalancer_pipelines.domain.values import exact_sum

_EMPTY_LOOKUPS = 2
_PAUSE = timedelta(seconds=1)
_ATTEMPTS = 60


def resolve_order(ports: Ports, venue: Venue, lease: Lease, order: Order) -> Order:
    """Look an order up until the venue shows its end, or its absence is proof.

    Absence is proof after two successful empty look-ups later than `not_after` plus the venue's visibility lag: by
    then the venue would have refused the order. A failed look-up raises `VenueUnreachableError` and proves nothing.
    An order that the venue keeps open is returned as OPEN.
    """
    empty = 0
    for _ in range(_ATTEMPTS):
        asked_at = ports.clock.now()
        found = venue.find(order.client_order_id)
        if found is not None:
            order = _adopt(ports, lease, order, found)
            if order.state.is_terminal:
                return order
            empty = 0
        elif order.not_after is None or asked_at > order.not_after + venue.visibility_lag:
            empty += 1
            if empty >= _EMPTY_LOOKUPS:
                return _not_accepted(ports, lease, order)
            continue
        ports.clock.sleep(_PAUSE)
    return order


def _adopt(ports: Ports, lease: Lease, order: Order, found: VenueOrder) -> Order:
    """Write down what the venue shows: its id, new fills with their ledger entries, and its end."""
    with ports.transactions() as work:
        work.accounts.fence(lease)
        _book_fills(work, lease, order, found)
        if found.closed_as is not None:
            filled = exact_sum(fill.quantity for fill in found.fills)
            state = settled_state(order.quantity, filled, otherwise=found.closed_as)
            order = work.orders.move(order, state, venue_order_id=found.venue_order_id, reason=found.reason)
        elif order.state is not OrderState.OPEN:
            order = work.orders.move(order, OrderState.OPEN, venue_order_id=found.venue_order_id)
        work.commit()
    return order


def _book_fills(work: UnitOfWork, lease: Lease, order: Order, found: VenueOrder) -> None:
    new = work.orders.add_fills(order, lease.account_id, found.fills)
    rebalance = work.rebalances.by_id(order.rebalance_id)
    if rebalance.dry_run or not new:
        return
    work.ledger.append(
        fill_entries(order, found.fills, account_id=lease.account_id, portfolio_id=rebalance.portfolio_id, fill_ids=new)
    )


def _not_accepted(ports: Ports, lease: Lease, order: Order) -> Order:
    with ports.transactions() as work:
        work.accounts.fence(lease)
        if order.state is OrderState.SENDING:
            order = work.orders.move(order, OrderState.UNKNOWN, reason="the program stopped while it was being sent")
        order = work.orders.move(
            order, OrderState.NOT_ACCEPTED, reason="the venue does not know the order and its deadline has passed"
        )
        work.commit()
    return order
