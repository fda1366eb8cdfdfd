"""Orders and trades at the paper venue, as rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects.postgresql import distinct_on

from rebalancer_pipelines.adapters.postgres.tables import PaperOrderRow, PaperTradeRow
from rebalancer_pipelines.application.ports import OrderTicket, VenueOrder
from rebalancer_pipelines.domain.market import Market
from rebalancer_pipelines.domain.order import Fill, LiquiditySide, OrderState, settled_state
from rebalancer_pipelines.domain.values import EXACT, Currency, exact_sum

_CLOSED_AS = {
    "closed": OrderState.FILLED,
    "canceled": OrderState.CANCELED,
    "expired": OrderState.EXPIRED,
}
"""Kraken's words for an order that trades no more; an open one has none."""


def has_open_order(connection: Connection, account_id: UUID, client_order_id: str) -> bool:
    """Whether the id is taken: venues keep client ids unique among open orders only."""
    query = select(PaperOrderRow.id).where(
        PaperOrderRow.account_id == account_id,
        PaperOrderRow.client_order_id == client_order_id,
        PaperOrderRow.status == "open",
    )
    return connection.execute(query).first() is not None


def store_order(
    connection: Connection,
    account_id: UUID,
    ticket: OrderTicket,
    market: Market,
    *,
    filled_quantity: Decimal,
    now: datetime,
) -> UUID:
    """Write an order that has traded what it could: closed when that is all of it, else canceled with the reason."""
    filled = filled_quantity == ticket.quantity
    return connection.execute(
        insert(PaperOrderRow)
        .values(
            account_id=account_id,
            client_order_id=ticket.client_order_id,
            symbol=ticket.symbol,
            base_currency=market.base_currency,
            quote_currency=market.quote_currency,
            side=ticket.side.value,
            quantity=ticket.quantity,
            limit_price=ticket.limit_price,
            filled_quantity=filled_quantity,
            status="closed" if filled else "canceled",
            reason=None if filled else "the rest would have cost more than the limit price allows",
            created_at=now,
        )
        .returning(PaperOrderRow.id)
    ).scalar_one()


def trade_id_of(order_id: UUID, number: int) -> str:
    """Name of an order's trade, unique at the venue; `number` counts from 1."""
    return f"{order_id}-{number}"


def store_trades(connection: Connection, order_id: UUID, fills: Sequence[Fill]) -> None:
    """Write the trades of an order."""
    if fills:
        connection.execute(
            insert(PaperTradeRow),
            [
                {
                    "trade_id": fill.trade_id,
                    "order_id": order_id,
                    "quantity": fill.quantity,
                    "price": fill.price,
                    "fee": fill.fee,
                    "fee_currency": fill.fee_currency,
                    "executed_at": fill.executed_at,
                }
                for fill in fills
            ],
        )


def cancel_order(connection: Connection, account_id: UUID, client_order_id: str) -> None:
    """Close the order with that client id; nothing happens when it is closed or was never there."""
    connection.execute(
        update(PaperOrderRow)
        .where(
            PaperOrderRow.account_id == account_id,
            PaperOrderRow.client_order_id == client_order_id,
            PaperOrderRow.status == "open",
        )
        .values(status="canceled", reason="User requested")
    )


def newest_orders(connection: Connection, account_id: UUID, client_order_ids: Collection[str]) -> dict[str, VenueOrder]:
    """The newest order of each client id, with its trades in their sequence."""
    orders = connection.execute(
        select(
            PaperOrderRow.id,
            PaperOrderRow.client_order_id,
            PaperOrderRow.quantity,
            PaperOrderRow.status,
            PaperOrderRow.reason,
        )
        .ext(distinct_on(PaperOrderRow.client_order_id))
        .where(PaperOrderRow.account_id == account_id, PaperOrderRow.client_order_id.in_(client_order_ids))
        .order_by(PaperOrderRow.client_order_id, PaperOrderRow.created_at.desc(), PaperOrderRow.id.desc())
    ).all()
    fills_of = _fills(connection, [order.id for order in orders])
    found: dict[str, VenueOrder] = {}
    for order in orders:
        fills, closed_as = fills_of[order.id], _CLOSED_AS.get(order.status)
        found[order.client_order_id] = VenueOrder(
            venue_order_id=str(order.id),
            client_order_id=order.client_order_id,
            fills=fills,
            closed_as=closed_as and settled_state(order.quantity, exact_sum(f.quantity for f in fills), closed_as),
            reason=order.reason,
        )
    return found


def _fills(connection: Connection, order_ids: Sequence[UUID]) -> Mapping[UUID, tuple[Fill, ...]]:
    rows = connection.execute(
        select(
            PaperTradeRow.order_id,
            PaperTradeRow.trade_id,
            PaperTradeRow.quantity,
            PaperTradeRow.price,
            PaperTradeRow.fee,
            PaperTradeRow.fee_currency,
            PaperTradeRow.executed_at,
        )
        .where(PaperTradeRow.order_id.in_(order_ids))
        .order_by(PaperTradeRow.id)
    )
    fills: dict[UUID, tuple[Fill, ...]] = defaultdict(tuple)
    for row in rows:
        fills[row.order_id] += (
            Fill(
                trade_id=row.trade_id,
                quantity=row.quantity,
                price=row.price,
                notional=EXACT.multiply(row.quantity, row.price),
                fee=row.fee,
                fee_currency=Currency(row.fee_currency),
                # No order rests here, so every trade took liquidity.
                liquidity_side=LiquiditySide.TAKER,
                executed_at=row.executed_at,
            ),
        )
    return fills
