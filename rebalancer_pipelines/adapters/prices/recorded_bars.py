"""The vendored recording: hourly bars of five markets in EUR, exactly as the file has them."""

from __future__ import annotations

import gzip
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files

from rebalancer_pipelines.domain.values import Currency

BAR_LENGTH = timedelta(hours=1)
FIRST_CLOSE = datetime(2017, 10, 1, 1, tzinfo=UTC)
"""When the first bars close: before it the recording knows no price."""
LAST_CLOSE = datetime(2019, 10, 1, tzinfo=UTC)
"""When the last bars close."""

_FILE = "recorded_market_1h_eur.csv.gz"


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour of one market: its closing price in EUR and the volume traded, in units of the base currency."""

    closed_at: datetime
    close: Decimal
    volume: Decimal


def bar_opened_at(base: Currency, opened_at: datetime) -> Bar | None:
    """The bar of the hour that starts at `opened_at`; None where the recording has a gap."""
    key = _key(base, opened_at)
    lines = _lines()
    place = bisect_left(lines, key)
    if place == len(lines) or not lines[place].startswith(key):
        return None
    *_, close, volume = lines[place].split(",")
    return Bar(closed_at=opened_at + BAR_LENGTH, close=Decimal(close), volume=Decimal(volume))


@dataclass(frozen=True, slots=True)
class Hour:
    """One whole line of the recording."""

    opened_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


def hours_between(base: Currency, start: datetime, end: datetime) -> list[Hour]:
    """The hours of one market that start at or after `start` and before `end`, by time."""
    lines = _lines()
    first, last = (bisect_left(lines, _key(base, moment)) for moment in (start, end))
    return [_hour(line) for line in lines[first:last]]


def _key(base: Currency, opened_at: datetime) -> str:
    """How the line of an hour begins."""
    return f"{base},{opened_at.astimezone(UTC):%Y-%m-%dT%H:%M}Z,"


def _hour(line: str) -> Hour:
    _, opened_at, *numbers = line.split(",")
    return Hour(datetime.fromisoformat(opened_at), *map(Decimal, numbers))


@cache
def _lines() -> list[str]:
    """The file's lines in order of base and hour, read once per process; numbers stay text until they are asked for."""
    packed = (files("rebalancer_pipelines.adapters.prices") / "recording" / _FILE).read_bytes()
    return sorted(gzip.decompress(packed).decode("ascii").splitlines()[1:])
