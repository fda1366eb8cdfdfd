"""Net orders: what their fills mean to the orders that ride on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from rebalancer_pipelines.application.ports import UnitOfWork
from rebalancer_pipelines.domain.ledger import LedgerEntry, fill_entries
from rebalancer_pipelines.domain.netting import split_fill
from rebalancer_pipelines.domain.order import Fill, Order, OrderState, settled_state


def book_net_fills(work: UnitOfWork, account_id: UUID, net_order: Order, fills: Sequence[Fill]) -> None:
    """Store new fills of a net order, and book each of its riders' parts of them."""
    new = work.orders.add_fills(net_order, account_id, fills)
    riders = {rider.id: rider for rider in work.orders.riders(net_order.id)}
    parts: list[tuple[Order, Fill]] = []
    for fill in fills:
        if fill.trade_id not in new:
            continue
        for rider_id, part in split_fill(fill, list(riders.values())).items():
            parts.append((riders[rider_id], part))
            riders[rider_id] = replace(riders[rider_id], fills=(*riders[rider_id].fills, part))
    book_parts(work, account_id, parts)


def book_parts(work: UnitOfWork, account_id: UUID, parts: Sequence[tuple[Order, Fill]]) -> None:
    """Store parts that orders of portfolios have traded and, dry runs aside, book each in its portfolio's book."""
    if not parts:
        return
    fill_ids = work.orders.book_parts(account_id, parts)
    owners = work.rebalances.owners({order.rebalance_id for order, _ in parts if order.rebalance_id})
    entries: list[LedgerEntry] = []
    for (order, part), fill_id in zip(parts, fill_ids, strict=True):
        owner = owners[order.rebalance_id] if order.rebalance_id else None
        if owner is not None and not owner.dry_run:
            entries += fill_entries(
                order,
                [part],
                account_id=account_id,
                portfolio_id=owner.portfolio_id,
                fill_ids={part.trade_id: fill_id},
            )
    work.ledger.append(entries)


def end_net_orders(
    work: UnitOfWork, account_id: UUID, riders: Iterable[Order], reason: str, *, dry_run: bool
) -> Mapping[UUID, Order]:
    """The net orders that these ride on, by id; whatever was never sent of the account's becomes VOID, for this reason.

    What a dry run left half-way is ended, too: no venue will ever show its end.
    """
    unsent = work.orders.unsent_net_orders(account_id)
    work.orders.end_many([(order, OrderState.VOID, reason) for order in unsent])
    ridden = work.orders.by_ids({rider.netted_into for rider in riders if rider.netted_into is not None})
    found = {net_order.id: net_order for net_order in ridden}
    for net_order in ridden:
        if dry_run and not net_order.state.is_terminal:
            end = end_of_simulated(net_order)
            work.orders.end_many([end])
            found[net_order.id] = replace(net_order, state=end[1], reason=end[2])
    return found


def end_of_unsettled(
    order: Order, net_orders: Mapping[UUID, Order], *, dry_run: bool, unsent: tuple[OrderState, str]
) -> tuple[Order, OrderState, str | None] | None:
    """How a portfolio's order ends with its rebalance; None for one that has ended, or whose end the venue will show.

    `net_orders` by id are those that orders ride on, `unsent` is what becomes of an order that never left, and why.
    """
    if order.state is OrderState.NETTED:
        return ended_rider(order, net_orders[order.netted_into] if order.netted_into else None)
    if order.state is OrderState.PLANNED:
        return (order, *unsent)
    return end_of_simulated(order) if dry_run and not order.state.is_terminal else None


def end_of_simulated(order: Order) -> tuple[Order, OrderState, str]:
    """How an order ends that a dry run left half-way: nothing was ever sent."""
    state = OrderState.REJECTED if order.state is OrderState.SENDING else OrderState.CANCELED
    return order, state, "the dry run ended before this order was simulated"


def ended_rider(rider: Order, net_order: Order | None) -> tuple[Order, OrderState, str | None]:
    """How a NETTED order ends: by what it has traded, and with the reason why it was not more.

    `net_order` is None when it had no part for the venue.

    Raises `AssertionError` while the net order may still trade.
    """
    otherwise = OrderState.VOID
    reason = "the other portfolios' orders and what was left for the venue took only a part of it"
    if net_order is not None:
        if not net_order.state.is_terminal:
            raise AssertionError(f"order {net_order.client_order_id} may still trade")
        # Where the net order traded without it, the rider is like an order whose rest was given up.
        otherwise = OrderState.CANCELED if net_order.fills else net_order.state
        reason = net_order.reason or reason
    state = settled_state(rider.quantity, rider.filled_quantity, otherwise)
    return rider, state, None if rider.filled_quantity >= rider.quantity else reason
