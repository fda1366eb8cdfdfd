"""The rehearsal: a year of the recorded market, over which the planner shows what it would have done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from rebalancer_pipelines.domain.calendar import next_due
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.order import Order
from rebalancer_pipelines.domain.portfolio import Portfolio
from rebalancer_pipelines.domain.rebalance import Rebalance, RebalanceRecord, WeighedPosition

REHEARSED_YEAR = DaySpan(date(2017, 10, 1), date(2018, 9, 30))
"""The recording plays from the day after on: no rehearsal reaches into what it shows as the present."""

_FIRST_PRICES = datetime(2017, 10, 1, 1, tzinfo=UTC)
_BEFORE = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class RehearsedRebalance:
    """One attempt of a rehearsal with its record; what it did not come to is empty. `plan` is the document people see.

    All its times are of the recording, and none passes while it is made.
    """

    rebalance: Rebalance
    record: RebalanceRecord
    marks: Sequence[PriceMark] = ()
    before: Sequence[WeighedPosition] = ()
    after: Sequence[WeighedPosition] = ()
    plan: Mapping[str, Any] | None = None
    orders: Sequence[Order] = ()


def due_times(portfolio: Portfolio, *, after: datetime | None) -> Iterator[datetime]:
    """When a portfolio is due in that year, later than `after`, in its own rhythm and time zone.

    They are counted from the first moment at which the recording has prices, which is the first of them.
    """
    due = after if after is not None else _FIRST_PRICES - _BEFORE
    while True:
        due = next_due(portfolio.interval, anchor=_FIRST_PRICES, after=due, zone=portfolio.time_zone)
        if due >= REHEARSED_YEAR.ends_at:
            return
        yield due
