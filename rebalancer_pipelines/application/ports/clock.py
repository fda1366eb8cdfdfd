"""Time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Time, so that tests can hold it."""

    def now(self) -> datetime:
        """The present, aware and in UTC."""
        ...

    def sleep(self, duration: timedelta) -> None:
        """Wait."""
        ...
