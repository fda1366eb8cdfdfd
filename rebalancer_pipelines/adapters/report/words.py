"""Figures and days in words, for the eye."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby

from rebalancer_pipelines.domain.statistics import RunMode
from rebalancer_pipelines.domain.values import HUNDRED

UNKNOWN = "–"
MODES = {RunMode.LIVE: "live", RunMode.DRY_RUN: "dry run", RunMode.BACKFILL: "rehearsed"}


def money(amount: Decimal | None, currency: str | None = None) -> str:
    """An amount to the cent, with its currency where it stands alone."""
    if amount is None:
        return UNKNOWN
    written = _signed(f"{amount:,.2f}")
    return f"{written} {currency}" if currency else written


def percent(fraction: Decimal | None, *, signed: bool = False) -> str:
    """A fraction as a percentage."""
    return UNKNOWN if fraction is None else points(fraction * HUNDRED, signed=signed, unit="\u00a0%")


def points(number: Decimal | None, *, signed: bool = False, unit: str = "") -> str:
    """A number of percent or percentage points."""
    if number is None:
        return UNKNOWN
    return _signed(f"{number:+,.2f}" if signed else f"{number:,.2f}") + unit


def whole(number: int) -> str:
    """A count."""
    return f"{number:,}"


def day(moment: date) -> str:
    """A day, in full."""
    return f"{moment.day} {moment:%b %Y}"


def minute(moment: datetime) -> str:
    """A time in UTC, to the minute."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def days(listed: Sequence[date]) -> str:
    """Days in order, those in a row as a range."""
    runs: list[str] = []
    for _, run in groupby(enumerate(listed), key=lambda item: item[1] - item[0] * timedelta(days=1)):
        row = [found for _, found in run]
        runs.append(day(row[0]) if len(row) == 1 else f"{day(row[0])} – {day(row[-1])}")
    return ", ".join(runs)


def counted(number: int, noun: str) -> str:
    """`1 day`, `2 days`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _signed(written: str) -> str:
    """With a true minus; what rounds to nothing has no sign."""
    if not written.strip("+-0.,"):
        return written.lstrip("+-")
    return written.replace("-", "−")
