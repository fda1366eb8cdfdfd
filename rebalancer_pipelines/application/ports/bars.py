"""Where price bars are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.price_bar import PriceBar, Timeframe


@dataclass(frozen=True, slots=True)
class BarsRead:
    """The bars that a source has of what was asked for, and why there are no more, where it knows."""

    bars: Sequence[PriceBar]
    remark: str | None = None


class BarSource(Protocol):
    """One source of the bars of a price source: a recording, or a venue."""

    @property
    def markets(self) -> Collection[str]:
        """Markets that are collected whether or not a portfolio needs them."""
        ...

    @property
    def recorded(self) -> DaySpan | None:
        """The days of a recording; None where prices are those of their own time.

        Accounts trade at recorded prices on other days than these, which it has no bars of: they are known only from
        what rebalances have seen.
        """
        ...

    def read(self, symbol: str, timeframe: Timeframe, span: DaySpan, now: datetime) -> BarsRead:
        """The bars of a market that lie in the span and have ended by `now`, by time; a missing one is absent.

        Raises `VenueUnreachableError` when the source itself cannot be read.
        """
        ...


class BarSources(Protocol):
    """The sources of bars that this program knows."""

    @property
    def always(self) -> Collection[str]:
        """Price sources whose bars are collected whether or not there is an account at their prices."""
        ...

    def of(self, price_source: str, endpoint: str | None = None) -> BarSource:
        """The source of a price source's bars, at another address of the venue's API where one is given.

        Raises `InvalidInputError` when it is unknown.
        """
        ...


class BarFiles(Protocol):
    """Bars in files of the user's."""

    def read(self, progress: Callable[[int, int], None]) -> Sequence[PriceBar]:
        """All of them, no two of the same market and time. `progress` is told how many files of how many were read.

        Raises `InvalidInputError` naming file, line, field, value and remedy.
        """
        ...
