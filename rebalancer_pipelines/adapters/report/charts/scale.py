"""Where values and days stand on a chart, and which of them are written at its axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil, floor, log10

_DAY_STEPS = (1, 2, 7, 14)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120)
_LABEL_WIDTH = 62.0
_MOST_SINGLE_DAYS = 75


@dataclass(frozen=True, slots=True)
class ValueScale:
    """Values from `low` to `high`, drawn from `bottom` up to `top`; `step` between the values that are written."""

    low: float
    high: float
    step: float
    bottom: float
    top: float

    @classmethod
    def around(
        cls,
        values: Sequence[float],
        *,
        bottom: float,
        top: float,
        lines: int = 5,
        with_zero: bool = False,
        least_step: float = 0.0,
    ) -> ValueScale:
        """Round bounds around values, with about so many `lines`, no closer than `least_step`."""
        known = [*values, 0.0] if with_zero or not values else list(values)
        low, high = min(known), max(known)
        if low == high:
            low, high = (low - abs(low) / 10, high + abs(high) / 10) if low else (0.0, 1.0)
        step = max(least_step, _round_step((high - low) / lines))
        return cls(floor(low / step) * step, ceil(high / step) * step, step, bottom, top)

    def at(self, value: float) -> float:
        """The height of a value; one beyond the bounds stands at the edge."""
        value = min(max(value, self.low), self.high)
        return self.bottom - (value - self.low) / (self.high - self.low) * (self.bottom - self.top)

    @property
    def ticks(self) -> Sequence[float]:
        """The values that are written."""
        count = round((self.high - self.low) / self.step)
        return [self.low + number * self.step for number in range(count + 1)]

    def write(self, value: float, unit: str = "") -> str:
        """A value as it stands at the axis."""
        largest = max(abs(self.low), abs(self.high))
        if abs(value) < self.step / 1000:
            return f"0{unit}"
        divisor, suffix = next(
            ((size, letter) for size, letter in ((1e9, "bn"), (1e6, "m"), (1e3, "k")) if largest >= size * 10), (1, "")
        )
        decimals = max(0, -floor(log10(self.step / divisor) + 1e-9))
        if round(self.step / divisor, decimals) != self.step / divisor:
            decimals += 1
        written = f"{abs(value) / divisor:,.{decimals}f}"
        sign = "−" if value < 0 and float(written.replace(",", "")) else ""
        return f"{sign}{written}{suffix}{unit}"


@dataclass(frozen=True, slots=True)
class DayScale:
    """Days from `first` to `last`, drawn from `left` to `right`."""

    first: date
    last: date
    left: float
    right: float

    def fraction(self, day: date, hours: float = 0.0) -> float:
        """How far into the span a moment is; one day alone stands in the middle."""
        length = (self.last - self.first).days
        return ((day - self.first).days + hours / 24) / length if length else 0.5

    def at(self, day: date, hours: float = 0.0) -> float:
        """The place of a moment of a day."""
        return self.left + self.fraction(day, hours) * (self.right - self.left)

    def ticks(self) -> Sequence[tuple[float, str]]:
        """Places and words of the days that are written, as close as the words allow."""
        most = max(2, int((self.right - self.left) / _LABEL_WIDTH))
        length = (self.last - self.first).days + 1
        for step in _DAY_STEPS:
            if length <= _MOST_SINGLE_DAYS and length / step <= most:
                days = [self.first + timedelta(days=n) for n in range(0, length, step)]
                return [(self.at(day), f"{day.day} {day:%b}") for day in days]
        months = (self.last.year - self.first.year) * 12 + self.last.month - self.first.month + 1
        step = next((step for step in _MONTH_STEPS if months / step <= most), _MONTH_STEPS[-1])
        starts = [day for day in _month_starts(self.first, self.last) if (day.year * 12 + day.month - 1) % step == 0]
        return [
            (self.at(day), f"{day:%b ’%y}" if number == 0 or day.month == 1 else f"{day:%b}")
            for number, day in enumerate(starts)
        ]


def _month_starts(first: date, last: date) -> Iterator[date]:
    year, month = (first.year, first.month) if first.day == 1 else divmod(first.year * 12 + first.month, 12)
    if first.day != 1:
        month += 1
    day = date(year, month, 1)
    while day <= last:
        yield day
        day = (day + timedelta(days=32)).replace(day=1)


def _round_step(step: float) -> float:
    """The next of 1, 2, 2.5 and 5 times a power of ten."""
    size = 10 ** floor(log10(step))
    return next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= step * 0.999)
