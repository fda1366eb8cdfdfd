"""An order as Kraken's AddOrder takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from rebalancer_pipelines.application.ports import OrderTicket
from rebalancer_pipelines.domain.values import plain

_AMOUNT = re.compile(r"(?=.*[1-9])[0-9]+(\.[0-9]+)?")
"""Digits that are more than zero: no sign, no exponent, no NaN."""


def add_order(ticket: OrderTicket, pair: str) -> dict[str, str]:
    """The parameters of an order that fills at once or is cancelled, its fee taken in quote currency.

    Every number is our own exact text. The deadline makes the matching engine refuse the order when it comes late.
    """
    parameters = {
        "pair": pair,
        "type": ticket.side.value,
        "ordertype": "limit",
        "price": plain(ticket.limit_price),
        "volume": plain(ticket.quantity),
        "timeinforce": "IOC",
        "oflags": "fciq",
        "cl_ord_id": ticket.client_order_id,
        "deadline": _rfc3339(ticket.not_after),
    }
    check_parameters(parameters)
    return parameters


def check_parameters(parameters: Mapping[str, str]) -> None:
    """Raise `AssertionError` for an order that must never leave: ccxt and Kraken would take it for another one."""
    for name in ("price", "volume"):
        if not _AMOUNT.fullmatch(parameters[name]):
            raise AssertionError(f"{name} of an order is {parameters[name]}")
    if "validate" in parameters:
        raise AssertionError("an order is to be sent, not to be checked only")


def _rfc3339(moment: datetime) -> str:
    """To the millisecond, cut off: never later than was meant."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
