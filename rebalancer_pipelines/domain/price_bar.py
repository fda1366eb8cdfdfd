"""Price bars: what a market did in an hour or a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from rebalancer_pipelines.domain.errors import InvalidInputError


class Timeframe(StrEnum):
    """How long a bar is; bars start at full hours and at midnight, in UTC."""

    HOUR = "1h"
    DAY = "1d"

    @property
    def length(self) -> timedelta:
        """From a bar's start to its end."""
        return timedelta(hours=1) if self is Timeframe.HOUR else timedelta(days=1)


class BarOrigin(StrEnum):
    """Where a bar was read.

    The vendored RECORDING; a VENUE's own bars, or its TRADES; a FILE of the user's; OBSERVED: the mids that rebalances
    have seen, where nobody offers bars.
    """

    RECORDING = "recording"
    VENUE = "venue"
    TRADES = "trades"
    FILE = "file"
    OBSERVED = "observed"

    @property
    def rank(self) -> int:
        """Which of two bars of the same time stands: a lower one never takes the place of a higher.

        So what is stored does not depend on the order in which sources were read.
        """
        return _RANKS[self]


_RANKS = {
    BarOrigin.OBSERVED: 0,
    BarOrigin.FILE: 1,
    BarOrigin.TRADES: 2,
    BarOrigin.RECORDING: 3,
    BarOrigin.VENUE: 3,
}


@dataclass(frozen=True, slots=True)
class PriceBar:
    """One bar of one market of a price source, unique by the first four; prices in quote currency per unit of base.

    `volume` is in units of the base currency; None when the origin does not tell.
    """

    price_source: str
    symbol: str
    timeframe: Timeframe
    opened_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None
    origin: BarOrigin


def parse_timeframe(text: str) -> Timeframe:
    """Read `1d` or `1h`. Raises `InvalidInputError`."""
    if text not in set(Timeframe):
        raise InvalidInputError("timeframe", text, f"is unknown; use {' or '.join(Timeframe)}")
    return Timeframe(text)
