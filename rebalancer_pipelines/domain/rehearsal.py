"""The rehearsal: a year of the recorded market, over which the planner shows what it would have done."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from rebalancer_pipelines.domain.calendar import next_due
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.portfolio import Portfolio

REHEARSED_YEAR = DaySpan(date(2017, 10, 1), date(2018, 9, 30))
"""The recording plays from the day after; no rehearsal reaches into what it shows as the present."""

_FIRST_PRICES = datetime(2017, 10, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def due_times(portfolio: Portfolio, *, after: datetime | None) -> Iterator[datetime]:
    """When a portfolio is due in that year, later than `after`, in its own rhythm and time zone.

    Counted from the first moment at which the recording has prices, so that the first attempt is made there.
    """
    due = after if after is not None else _FIRST_PRICES - _MICROSECOND
    while (
        due := next_due(portfolio.interval, anchor=_FIRST_PRICES, after=due, zone=portfolio.time_zone)
    ) < REHEARSED_YEAR.ends_at:
        yield due
