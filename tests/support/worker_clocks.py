"""Clocks that several processes share: what one of them waits for has passed for all."""

from __future__ import annotations

import fcntl
import mmap
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_MICROSECOND = timedelta(microseconds=1)
_SIZE = 8


class SkippingClock:
    """Real time, in which sleeping takes none; implements `Clock`.

    What was skipped so far stands in a file, so that the program, whoever takes over from it, and the venue agree.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._open()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._skipped

    def sleep(self, duration: timedelta) -> None:
        self.pass_time(max(duration, timedelta(0)))

    def pass_time(self, duration: timedelta) -> None:
        with self._threads, self.file.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._memory[:_SIZE] = ((self._skipped + duration) // _MICROSECOND).to_bytes(_SIZE, "little")

    @property
    def _skipped(self) -> timedelta:
        return int.from_bytes(self._memory[:_SIZE], "little") * _MICROSECOND

    def _open(self) -> None:
        with self.file.open("a+b") as file:
            file.truncate(_SIZE)
            self._memory = mmap.mmap(file.fileno(), _SIZE)
        self._threads = threading.Lock()

    def __getstate__(self) -> Path:
        return self.file

    def __setstate__(self, file: Path) -> None:
        self.file = file
        self._open()


class FastClock:
    """Time that runs so many times as fast, for processes that are at work together; implements `Clock`.

    Where two of them run at once, skipping what one waits for would let the other's deadlines pass.
    """

    def __init__(self, speed: int) -> None:
        self._speed = speed
        self._origin = datetime.now(UTC)

    def now(self) -> datetime:
        return self._origin + (datetime.now(UTC) - self._origin) * self._speed

    def sleep(self, duration: timedelta) -> None:
        time.sleep(max(duration, timedelta(0)) / timedelta(seconds=self._speed))


SharedClock = SkippingClock | FastClock
