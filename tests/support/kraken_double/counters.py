"""Kraken's two rate counters: each call adds to them, time takes away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from tests.support.kraken_double.amounts import ZERO

Tier = Literal["starter", "intermediate", "pro"]

REST_COSTS = {"Ledgers": 2, "TradesHistory": 2, "AddOrder": 0, "CancelOrder": 0}
"""What a private call adds to its key's counter; all others add 1."""

_CANCEL_COSTS = ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1))
"""Points for cancelling an order younger than so many seconds."""


@dataclass(frozen=True, slots=True)
class Allowance:
    limit: int
    decay_per_second: Decimal


REST = {
    "starter": Allowance(15, Decimal("0.33")),
    "intermediate": Allowance(20, Decimal("0.5")),
    "pro": Allowance(20, Decimal(1)),
}
TRADING = {
    "starter": Allowance(60, Decimal(1)),
    "intermediate": Allowance(125, Decimal("2.34")),
    "pro": Allowance(180, Decimal("3.75")),
}


class DecayingCounter:
    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._value = ZERO
        self._at: datetime | None = None

    def value(self, now: datetime) -> Decimal:
        """A clock that was set back takes nothing away."""
        if self._at is None or now <= self._at:
            return self._value
        seconds = Decimal((now - self._at) // timedelta(microseconds=1)).scaleb(-6)
        return max(ZERO, self._value - seconds * self._allowance.decay_per_second)

    def add(self, points: int, now: datetime) -> bool:
        """Count a call; False, and nothing is counted, when it would exceed the limit."""
        value = self.value(now) + points
        if points and value > self._allowance.limit:
            return False
        self._value, self._at = value, now
        return True


def cancel_cost(age: timedelta) -> int:
    return next((points for seconds, points in _CANCEL_COSTS if age < timedelta(seconds=seconds)), 0)
