"""The truth as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.support.kraken_double.records import LedgerLine, Order, RequestRecord, Trade, Violation


def journal_document(
    *,
    orders: Sequence[Order],
    trades: Sequence[Trade],
    ledger: Sequence[LedgerLine],
    balances: Mapping[str, Decimal],
    requests: Sequence[RequestRecord],
    violations: Sequence[Violation],
) -> dict[str, Any]:
    """Amounts are text, moments ISO 8601; orders name their trades by id."""
    return {
        "orders": [_order(order) for order in orders],
        "trades": [_plain(asdict(trade)) for trade in trades],
        "ledger": [_plain(asdict(line)) for line in ledger],
        "balances": _plain(dict(balances)),
        "requests": [_plain(asdict(request)) for request in requests],
        "violations": [_plain(asdict(violation)) for violation in violations],
    }


def _order(order: Order) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(order).items() if name != "trades"}
    fields |= {"vol_exec": order.vol_exec, "cost": order.cost, "fee": order.fee}
    return _plain(fields) | {"trades": [trade.id for trade in order.trades]}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
