"""Kraken's own bars: the newest 720 of a market, without a key."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from rebalancer_pipelines.adapters.venues.ccxt.kraken.public_api import PublicApi
from rebalancer_pipelines.application.ports import BarsRead, Clock
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.price_bar import BarOrigin, PriceBar, Timeframe

PRICE_SOURCE = "live"

_OFFERED = 720
"""So many entries Kraken gives at most, the unfinished one among them, however far back it is asked for."""

_WORDS = {Timeframe.HOUR: "hours", Timeframe.DAY: "days"}


class KrakenHistory:
    """A `BarSource` over Kraken's public API; the arguments are those of `PublicApi`."""

    def __init__(
        self,
        clock: Clock,
        *,
        endpoint: str | None = None,
        timeout: timedelta = timedelta(seconds=8),
        spacing: timedelta = timedelta(seconds=1),
    ) -> None:
        self._public = PublicApi(clock, endpoint=endpoint, timeout=timeout, spacing=spacing)

    @property
    def markets(self) -> Collection[str]:
        """None: Kraken has hundreds, and only those that portfolios need are collected."""
        return ()

    @property
    def recorded(self) -> DaySpan | None:
        """None: its prices are those of their own time."""
        return None

    def read(self, symbol: str, timeframe: Timeframe, span: DaySpan, now: datetime) -> BarsRead:
        """The finished bars of a span, by one request; none when they are all older than what Kraken offers.

        Raises `VenueUnreachableError`.
        """
        oldest = _start_of_bar(now, timeframe) - (_OFFERED - 1) * timeframe.length
        remark = "kraken has no bars of them"
        if span.starts_at < oldest:
            remark = (
                f"kraken offers its newest {_OFFERED} {_WORDS[timeframe]} only, from {oldest:%Y-%m-%d} on; "
                "older ones: 'rebalancer bars import FOLDER --prices live'"
            )
        if span.ends_at <= oldest:
            return BarsRead((), remark)
        listing = self._public.names().listings.get(symbol)
        if listing is None:
            return BarsRead((), f"kraken has no such market as {symbol}")
        entries = self._public.bars(listing, timeframe.length, since=span.starts_at)
        bars = [
            PriceBar(
                price_source=PRICE_SOURCE,
                symbol=symbol,
                timeframe=timeframe,
                opened_at=entry.opened_at,
                open=entry.open,
                high=entry.high,
                low=entry.low,
                close=entry.close,
                volume=entry.volume,
                origin=BarOrigin.VENUE,
            )
            for entry in entries
            if span.starts_at <= entry.opened_at < span.ends_at and entry.opened_at + timeframe.length <= now
        ]
        return BarsRead(bars, remark)


def _start_of_bar(moment: datetime, timeframe: Timeframe) -> datetime:
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour if timeframe is Timeframe.HOUR else hour.replace(hour=0)
