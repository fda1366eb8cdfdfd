"""Orders and trades as Kraken reports them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from rebalancer_pipelines.adapters.venues.ccxt.kraken.reply import (
    MalformedReplyError,
    amount,
    moment,
    rows,
    table,
    text,
    texts,
)
from rebalancer_pipelines.adapters.venues.ccxt.one_line import one_line
from rebalancer_pipelines.domain.order import OrderSide, OrderState

_ENDS: Mapping[str, OrderState | None] = {
    "pending": None,
    "open": None,
    "closed": OrderState.FILLED,
    "canceled": OrderState.CANCELED,
    "expired": OrderState.EXPIRED,
}
"""What a status says of the part of an order that did not trade; None while it may still do so."""


@dataclass(frozen=True, slots=True)
class OrderReport:
    """An order. `pair` is one of the pair's names, not always its id.

    `executed` and `quantity` are in base currency. `cost` and `fee` are in quote currency, even when the fee was taken
    in base, and cut off after some digits: they prove something, but nothing is booked from them.
    """

    order_id: str
    client_order_id: str | None
    pair: str
    side: OrderSide
    quantity: Decimal
    executed: Decimal
    cost: Decimal
    fee: Decimal
    ended_as: OrderState | None
    reason: str | None
    opened_at: datetime
    trade_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TradeReport:
    """One execution: quantity in base, price in quote currency per base. `is_maker`: the order was resting."""

    trade_id: str
    order_id: str
    pair: str
    side: OrderSide
    quantity: Decimal
    price: Decimal
    is_maker: bool
    executed_at: datetime


def read_orders(entries: Mapping[str, Any]) -> list[OrderReport]:
    """Orders by their ids. Raises `MalformedReplyError`."""
    return [_order(order_id, row) for order_id, row in rows(entries).items()]


def read_trades(entries: Mapping[str, Any]) -> list[TradeReport]:
    """Trades by their ids. Raises `MalformedReplyError`."""
    return [
        TradeReport(
            trade_id=trade_id,
            order_id=text(row, "ordertxid"),
            pair=text(row, "pair"),
            side=_side(row),
            quantity=amount(row, "vol"),
            price=amount(row, "price"),
            is_maker=row.get("maker") is True,
            executed_at=moment(row, "time"),
        )
        for trade_id, row in rows(entries).items()
    ]


def _order(order_id: str, row: Mapping[str, Any]) -> OrderReport:
    description = table(row, "descr")
    status = text(row, "status")
    if status not in _ENDS:
        raise MalformedReplyError(f"status {one_line(status, longest=20)} is unknown")
    client_order_id, reason = row.get("cl_ord_id"), row.get("reason")
    return OrderReport(
        order_id=order_id,
        client_order_id=client_order_id if isinstance(client_order_id, str) and client_order_id else None,
        pair=text(description, "pair"),
        side=_side(description),
        quantity=amount(row, "vol"),
        executed=amount(row, "vol_exec"),
        cost=amount(row, "cost"),
        fee=amount(row, "fee"),
        ended_as=_ENDS[status],
        reason=one_line(reason) if isinstance(reason, str) and reason else None,
        opened_at=moment(row, "opentm"),
        trade_ids=_distinct(texts(row, "trades")),
    )


def _side(row: Mapping[str, Any]) -> OrderSide:
    try:
        return OrderSide(text(row, "type"))
    except ValueError:
        raise MalformedReplyError("type is neither buy nor sell") from None


def _distinct(ids: Sequence[str]) -> tuple[str, ...]:
    """Kraken may list a trade twice while the order still trades."""
    return tuple(dict.fromkeys(ids))
