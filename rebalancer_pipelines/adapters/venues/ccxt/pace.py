"""A pace for requests that need no key: a few at once, then one after the other."""

from __future__ import annotations

from datetime import datetime, timedelta

from rebalancer_pipelines.application.ports import Clock


class Pace:
    """Lets `burst` requests pass at once and one more for every `spacing` that has passed since."""

    def __init__(self, clock: Clock, *, spacing: timedelta, burst: int) -> None:
        self._clock = clock
        self._spacing = spacing
        self._burst = burst
        self._free_at: datetime | None = None
        """When the whole burst is there again."""
        self.time_waited = timedelta(0)
        """How long requests have waited so far."""

    def wait(self, requests: int = 1) -> None:
        """Wait until so many requests may leave, and count them."""
        now = self._clock.now()
        longest = self._spacing * self._burst
        # A clock that was set back must not make anybody wait for what it says has not been yet.
        free_at = now if self._free_at is None else min(max(self._free_at, now), now + longest)
        self._free_at = free_at + self._spacing * requests
        wait = self._free_at - now - longest
        if wait > timedelta(0):
            self._clock.sleep(wait)
            self.time_waited += wait
