"""Price history as it is collected: which markets are needed, on which days, and what of it is missing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.price_bar import Timeframe

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class NeededMarket:
    """A market that a portfolio's value rests on, at the prices of its account.

    `endpoint`: another address of the venue's API. `since`: the day on which the first book that needs it begins, None
    while it has not.
    """

    price_source: str
    symbol: str
    endpoint: str | None
    since: date | None


@dataclass(frozen=True, slots=True)
class MarketDays:
    """Days of one market of a price source."""

    price_source: str
    symbol: str
    span: DaySpan

    def bars(self, timeframe: Timeframe) -> int:
        """How many bars these days have when none is missing."""
        return self.span.length * (_DAY // timeframe.length)


@dataclass(frozen=True, slots=True)
class BarGap:
    """Missing bars of one market: the one that would open at `first`, that at `last`, and all between: so many."""

    price_source: str
    symbol: str
    timeframe: Timeframe
    first: datetime
    last: datetime
    bars: int


@dataclass(frozen=True, slots=True)
class StoredBars:
    """What storing bars of one market came to.

    `unchanged` were there already; `outranked` were left aside, since an origin of a higher rank had given others.
    """

    price_source: str
    symbol: str
    added: int
    changed: int
    unchanged: int
    outranked: int
