"""Price bars for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from rebalancer_pipelines.domain.price_bar import BarOrigin, PriceBar, Timeframe

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def a_bar(
    symbol: str = "BTC/EUR",
    *,
    day: int = 1,
    hour: int = 0,
    close: str = "64000",
    volume: str | None = "12.5",
    timeframe: Timeframe = Timeframe.DAY,
    origin: BarOrigin = BarOrigin.VENUE,
    price_source: str = "live",
) -> PriceBar:
    """A bar of a day of January 2026 that moved around its close."""
    last = Decimal(close)
    return PriceBar(
        price_source=price_source,
        symbol=symbol,
        timeframe=timeframe,
        opened_at=NEW_YEAR + timedelta(days=day - 1, hours=hour),
        open=last,
        high=last + 1,
        low=last * Decimal("0.5"),
        close=last,
        volume=None if volume is None else Decimal(volume),
        origin=origin,
    )
