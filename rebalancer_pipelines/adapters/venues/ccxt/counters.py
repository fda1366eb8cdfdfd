"""A venue's rate counters: every call adds to them, time takes away, and too much of them is refused.

All of it is exact: what is reckoned here a little too low would be a call too many there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil

from rebalancer_pipelines.domain.values import EXACT, ZERO

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class CounterLimit:
    """How high a counter may stand, and what a second takes away from it."""

    maximum: Decimal
    decay_per_second: Decimal


@dataclass(frozen=True, slots=True)
class Counter:
    """What was counted at a moment; `counted_at` None: nothing ever was."""

    points: Decimal = ZERO
    counted_at: datetime | None = None

    def at(self, now: datetime, limit: CounterLimit) -> Counter:
        """The counter as it stands now. A clock that was set back takes nothing away."""
        if self.counted_at is None or now <= self.counted_at:
            return Counter(self.points, now)
        seconds = Decimal((now - self.counted_at) // _MICROSECOND).scaleb(-6, EXACT)
        faded = EXACT.multiply(seconds, limit.decay_per_second)
        return Counter(max(ZERO, EXACT.subtract(self.points, faded)), now)

    def plus(self, points: Decimal) -> Counter:
        """The counter after a call that costs so much."""
        return Counter(EXACT.add(self.points, points), self.counted_at)

    def wait_for(self, points: Decimal, limit: CounterLimit) -> timedelta:
        """How long a call of this cost has to wait so as not to exceed the limit, rounded up to the millisecond.

        Raises `ValueError` for a cost that no waiting makes room for.
        """
        if points > limit.maximum:
            raise ValueError(f"a call that costs {points} never fits below {limit.maximum}")
        excess = EXACT.subtract(EXACT.add(self.points, points), limit.maximum)
        if points <= ZERO or excess <= ZERO:
            return timedelta(0)
        return timedelta(milliseconds=ceil(Fraction(excess) * 1000 / Fraction(limit.decay_per_second)))
