"""The recorded market at any of its moments, with the paper venue's fees: what rehearsals go by."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rebalancer_pipelines.adapters.prices.recorded import MARKETS, RecordedPrices
from rebalancer_pipelines.adapters.venues.paper.venue import FEES
from rebalancer_pipelines.domain.market import FeeSchedule, Market, PriceMark


class RecordedMarket:
    """Implements `ports.RecordedMarket`: every moment of the recording is quoted as though it were now."""

    def markets(self) -> Mapping[str, Market]:
        """The five recorded markets, all in EUR."""
        return MARKETS

    def fees(self) -> FeeSchedule:
        """The paper venue's."""
        return FEES

    def quotes(self, symbols: Collection[str], moment: datetime) -> Mapping[str, PriceMark]:
        """Quotes as an account on the recorded market sees them at that moment."""
        return RecordedPrices(_StoppedClock(moment), lambda now: now).quotes(symbols)


@dataclass(frozen=True, slots=True)
class _StoppedClock:
    moment: datetime

    def now(self) -> datetime:
        return self.moment

    def sleep(self, duration: timedelta) -> None:
        raise AssertionError(f"nothing waits {duration} for a recording")
