"""Kraken's bars (OHLC) as it writes them, taken apart."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, cast

from rebalancer_pipelines.adapters.venues.ccxt.kraken.reply import MalformedReplyError, amount, moment
from rebalancer_pipelines.domain.values import ZERO

_FIELDS = ("time", "open", "high", "low", "close", "vwap", "volume", "count")
_SINCE = "last"
"""The key beside the pair's: from when on to ask next time."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One bar: prices in quote currency, `volume` in base currency."""

    opened_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


def read_entries(result: Mapping[str, Any], names: Collection[str], length: timedelta) -> Sequence[Entry]:
    """The finished bars of the pair that goes by one of `names`, by time.

    The last one of the list is always the one under way, and is left out; so are those before a market's first trade,
    which have no price. Raises `MalformedReplyError`.
    """
    pairs = [name for name in result if name != _SINCE]
    stranger = next((name for name in pairs if name not in names), None)
    if stranger is not None or len(pairs) != 1:
        raise MalformedReplyError(f"it tells of {stranger or 'nothing'}, which nobody asked for")
    listed = result[pairs[0]]
    if not isinstance(listed, list) or not listed:
        raise MalformedReplyError("it has no list of bars")
    entries = [_entry(row, length) for row in cast("list[Any]", listed)]
    for before, after in pairwise(entries):
        if before.opened_at >= after.opened_at:
            raise MalformedReplyError(f"the bar of {after.opened_at:%Y-%m-%d %H:%M} is out of order")
    return [entry for entry in entries[:-1] if entry.close]


def _entry(row: Any, length: timedelta) -> Entry:
    if not isinstance(row, list) or len(cast("list[Any]", row)) < len(_FIELDS):
        raise MalformedReplyError("a bar is no list of eight")
    fields: dict[str, Any] = dict(zip(_FIELDS, cast("list[Any]", row), strict=False))
    entry = Entry(
        opened_at=moment(fields, "time"),
        open=amount(fields, "open"),
        high=amount(fields, "high"),
        low=amount(fields, "low"),
        close=amount(fields, "close"),
        volume=amount(fields, "volume"),
    )
    if entry.opened_at.timestamp() % length.total_seconds():
        raise MalformedReplyError(f"a bar opens at {entry.opened_at:%Y-%m-%d %H:%M:%S}")
    is_unpriced = not any((entry.open, entry.high, entry.low, entry.close, entry.volume))
    if (
        not is_unpriced
        and not ZERO < entry.low <= min(entry.open, entry.close) <= max(entry.open, entry.close) <= entry.high
    ):
        raise MalformedReplyError(f"the prices of the bar of {entry.opened_at:%Y-%m-%d %H:%M} contradict each other")
    return entry
