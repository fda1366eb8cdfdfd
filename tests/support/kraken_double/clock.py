"""Time as the double sees it. Tests pass a clock that stands still until it is moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware, in UTC."""
        ...


class SystemClock:
    """The system's clock, shifted by `offset`: Kraken's time need not be ours."""

    def __init__(self, offset: timedelta = timedelta(0)) -> None:
        self._offset = offset

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset


def unix(moment: datetime) -> float:
    """Seconds since 1970 with Kraken's fractions."""
    return round(moment.timestamp(), 6)
