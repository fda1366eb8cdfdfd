"""The bars of the recording: its hours as they are, and the days that they make."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from rebalancer_pipelines.adapters.prices.recorded import MARKETS
from rebalancer_pipelines.adapters.prices.recorded_bars import FIRST_CLOSE, LAST_CLOSE, hours_between
from rebalancer_pipelines.application.ports import BarsRead
from rebalancer_pipelines.domain.daily_bars import days_of
from rebalancer_pipelines.domain.day_span import DaySpan, last_ended_day
from rebalancer_pipelines.domain.price_bar import BarOrigin, PriceBar, Timeframe

PRICE_SOURCE = "recorded"

_DAYS = DaySpan(FIRST_CLOSE.date(), last_ended_day(LAST_CLOSE))
_REMARK = f"the recording covers {_DAYS}, and has no more bars of them than it gives"


class RecordedHistory:
    """A `BarSource` over the vendored recording."""

    @property
    def markets(self) -> Collection[str]:
        """The five recorded markets."""
        return MARKETS

    @property
    def recorded(self) -> DaySpan | None:
        """The recording's days."""
        return _DAYS

    def read(self, symbol: str, timeframe: Timeframe, span: DaySpan, now: datetime) -> BarsRead:
        """The bars of a span. Every one of them ended years ago, whatever `now` is."""
        del now
        market = MARKETS.get(symbol)
        if market is None:
            return BarsRead((), f"it is not recorded; recorded are {', '.join(MARKETS)}")
        hours = [
            PriceBar(
                price_source=PRICE_SOURCE,
                symbol=symbol,
                timeframe=Timeframe.HOUR,
                opened_at=hour.opened_at,
                open=hour.open,
                high=hour.high,
                low=hour.low,
                close=hour.close,
                volume=hour.volume,
                origin=BarOrigin.RECORDING,
            )
            for hour in hours_between(market.base_currency, span.starts_at, span.ends_at)
        ]
        return BarsRead(hours if timeframe is Timeframe.HOUR else days_of(hours), _REMARK)
