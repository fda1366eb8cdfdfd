"""The bars of the recording, as the file has them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from rebalancer_pipelines.adapters.prices.recorded import MARKETS
from rebalancer_pipelines.adapters.prices.recorded_history import RecordedHistory
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.price_bar import BarOrigin, PriceBar, Timeframe
from tests.support.recording import vendored_lines

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ALL = DaySpan(date(2017, 10, 1), date(2019, 9, 30))
HISTORY = RecordedHistory()


def read(symbol: str, timeframe: Timeframe, span: DaySpan = ALL) -> list[PriceBar]:
    return list(HISTORY.read(symbol, timeframe, span, NOW).bars)


def test_every_hour_is_the_files() -> None:
    lines = [line for line in vendored_lines() if line[0] == "LTC"]
    hours = read("LTC/EUR", Timeframe.HOUR)
    assert len(hours) == len(lines)
    for bar, (_, opened_at, *numbers) in zip(hours, lines, strict=True):
        assert bar.opened_at == datetime.fromisoformat(opened_at)
        assert [str(n) for n in (bar.open, bar.high, bar.low, bar.close, bar.volume)] == numbers
    assert {(bar.origin, bar.price_source, bar.timeframe) for bar in hours} == {
        (BarOrigin.RECORDING, "recorded", Timeframe.HOUR)
    }


@pytest.mark.parametrize("symbol", sorted(MARKETS))
def test_every_day_is_there(symbol: str) -> None:
    """Hours are missing on some days, but never the last one, so no day is."""
    assert [bar.opened_at.date() for bar in read(symbol, Timeframe.DAY)] == list(ALL.days())
    assert HISTORY.recorded == ALL


def test_a_day_closes_with_its_last_hour() -> None:
    (day,) = read("BTC/EUR", Timeframe.DAY, DaySpan(date(2017, 10, 1), date(2017, 10, 1)))
    hours = read("BTC/EUR", Timeframe.HOUR, DaySpan(date(2017, 10, 1), date(2017, 10, 1)))
    assert len(hours) == 24
    assert (day.open, day.close) == (Decimal("3699.051"), hours[-1].close)
    assert hours[-1].opened_at == day.opened_at + timedelta(hours=23)


def test_outside_of_the_recording_there_is_nothing() -> None:
    assert read("BTC/EUR", Timeframe.DAY, DaySpan(date(2019, 10, 1), date(2026, 1, 1))) == []
    assert read("BTC/EUR", Timeframe.DAY, DaySpan(date(2017, 9, 1), date(2017, 10, 1)))[0].opened_at.day == 1


def test_a_market_that_is_not_recorded_is_said_to_be_none() -> None:
    found = HISTORY.read("SOL/EUR", Timeframe.DAY, ALL, NOW)
    assert list(found.bars) == []
    assert "it is not recorded; recorded are BTC/EUR, " in (found.remark or "")
