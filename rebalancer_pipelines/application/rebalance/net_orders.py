"""Net orders: what their fills mean to the orders that ride on them."""

from __future__ import annotations

from collections.abc import Sequence
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


def outcome_of_rider(work: UnitOfWork, rider: Order) -> tuple[Order, OrderState, str | None]:
    """How a NETTED order ends: by what it has traded, and with the reason why it was not more."""
    net_order = work.orders.net_order(rider.netted_into) if rider.netted_into else None
    return ended_rider(rider, net_order)


def ended_rider(rider: Order, net_order: Order | None) -> tuple[Order, OrderState, str | None]:
    """The same, with the net order at hand; None when it had no part for the venue.

    Raises `AssertionError` while the net order may still trade.
    """
    otherwise = OrderState.VOID
    reason = "the other portfolios' orders and what was left for the venue took only a part of it"
    if net_order is not None and net_order.state is not OrderState.PLANNED:
        if not net_order.state.is_terminal:
            raise AssertionError(f"order {net_order.client_order_id} may still trade")
        # Where the net order traded without it, the rider is like an order whose rest was given up.
        otherwise = OrderState.CANCELED if net_order.fills else net_order.state
        reason = net_order.reason or reason
    state = settled_state(rider.quantity, rider.filled_quantity, otherwise)
    return rider, state, None if rider.filled_quantity >= rider.quantity else reason
