"""Real time, in which sleeping takes none."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class RunningClock:
    """Implements `Clock`: what a program waits for has passed at once, for everybody who shares the clock.

    A test may also let time pass (`pass_time`), or set it back.
    """

    def __init__(self) -> None:
        self._skipped = timedelta(0)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._skipped

    def sleep(self, duration: timedelta) -> None:
        self.pass_time(max(duration, timedelta(0)))

    def pass_time(self, duration: timedelta) -> None:
        with self._lock:
            self._skipped += duration
