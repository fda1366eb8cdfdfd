"""Spans of whole days, in UTC: what price history and portfolio history are collected and rebuilt over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from rebalancer_pipelines.domain.errors import InvalidInputError

FIRST_DAY = date(2010, 1, 1)
"""Before it no market has traded anything that this program trades."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DaySpan:
    """From the start of the `first` day to the end of the `last`. A span is never empty."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise InvalidInputError("from", self.first.isoformat(), f"lies after {self.last}; exchange the two days")

    @property
    def starts_at(self) -> datetime:
        """The first moment of it."""
        return start_of(self.first)

    @property
    def ends_at(self) -> datetime:
        """The first moment after it."""
        return start_of(self.last) + _DAY

    @property
    def length(self) -> int:
        """How many days."""
        return (self.last - self.first).days + 1

    def days(self) -> Iterator[date]:
        """Each day, the first one first."""
        return (self.first + timedelta(days=number) for number in range(self.length))

    def within(self, other: DaySpan) -> DaySpan | None:
        """What of it lies in the other one; None when nothing does."""
        first, last = max(self.first, other.first), min(self.last, other.last)
        return DaySpan(first, last) if first <= last else None

    def since(self, day: date) -> DaySpan | None:
        """What of it is left from that day on; None when nothing is."""
        return DaySpan(max(self.first, day), self.last) if day <= self.last else None

    def check_ended(self, now: datetime) -> None:
        """Raise `InvalidInputError` unless all its days are over: what a day was like is known at its end."""
        if self.first < FIRST_DAY:
            raise InvalidInputError(
                "from", self.first.isoformat(), f"lies before every market; use {FIRST_DAY} or later"
            )
        today = now.astimezone(UTC).date()
        if self.last > today:
            raise InvalidInputError(
                "to", self.last.isoformat(), f"lies in the future; the last day that has ended is {last_ended_day(now)}"
            )
        if self.last == today:
            raise InvalidInputError(
                "to", self.last.isoformat(), f"has not ended (UTC); the last day that has is {last_ended_day(now)}"
            )

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"


def start_of(day: date) -> datetime:
    """Midnight in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def last_ended_day(now: datetime) -> date:
    """Yesterday, in UTC."""
    return now.astimezone(UTC).date() - _DAY


def parse_day(text: str, *, field: str) -> date:
    """Read a day such as 2018-10-01. Raises `InvalidInputError` naming `field`."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    # Python reads 20181001 and 2018-W40-1 as well; one way to write a day is enough.
    if day is None or day.isoformat() != text:
        raise InvalidInputError(field, text, "is not a day; write it like 2018-10-01")
    return day
