"""Backfilling: the prices of a span of days, and what portfolios were worth on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rebalancer_pipelines.application.portfolio_history.build import (
    build_days,
    check_closes,
    chosen_portfolios,
    months_of,
)
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.price_history.collect import BarCollection, collect_bars
from rebalancer_pipelines.domain.daily_value import BuiltDay, MissingCloses
from rebalancer_pipelines.domain.day_span import DaySpan

Progress = Callable[[str, int, int], None]
"""Told of which step how many of how many parts are done."""

PRICES = "Prices, by market"
VALUES = "Values, by day"


@dataclass(frozen=True, slots=True)
class Backfill:
    """What backfilling came to: the bars that were collected, and the days of books that were built."""

    bars: BarCollection
    days: tuple[BuiltDay, ...]

    @property
    def books(self) -> int:
        """How many days of books there are in the span."""
        return sum(day.books for day in self.days)

    @property
    def changed(self) -> int:
        """How many of them were not right before."""
        return sum(day.changed for day in self.days)

    @property
    def missing(self) -> list[MissingCloses]:
        """Those that have no value, for want of a close."""
        return [one for day in self.days for one in day.missing]


def _unheard(step: str, done: int, total: int) -> None:
    del step, done, total


def backfill(ports: Ports, span: DaySpan, portfolio: str | None, *, progress: Progress = _unheard) -> Backfill:
    """Collect the daily bars of a span, then value the named portfolio, or all of them, on its days.

    One that was stopped goes on when it is called again, and one that is called again changes nothing. Raises
    `InvalidInputError` for days that have not ended, for an unknown portfolio, and for a span without prices.
    """
    span.check_ended(ports.clock.now())
    portfolio_ids = chosen_portfolios(ports, portfolio)
    bars = collect_bars(ports, span, progress=lambda done, total: progress(PRICES, done, total))
    check_closes(ports, portfolio_ids, span)
    built: list[BuiltDay] = []
    for month, days in zip(months_of(span), build_days(ports, portfolio_ids, span), strict=True):
        built += days
        progress(VALUES, DaySpan(span.first, month.last).length, span.length)
    return Backfill(bars, tuple(built))
