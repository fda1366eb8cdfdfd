"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import datetime, timedelta


class ManualClock:
    """Implements `Clock`; sleeping passes the time at once."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def sleep(self, duration: timedelta) -> None:
        self.time += duration
