"""Kraken's bars through the real ccxt, over HTTP, against the double of Kraken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from rebalancer_pipelines.adapters.prices.kraken_history import KrakenHistory
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.price_bar import BarOrigin, PriceBar, Timeframe
from tests.support.kraken_double import KrakenDouble, LoseResponse, kraken_double
from tests.support.manual_clock import ManualClock

DAY = timedelta(days=1)
TODAY = datetime(2026, 3, 2, tzinfo=UTC)
"""Kraken's clock and ours stand at noon of it."""
A_WEEK = DaySpan(date(2026, 2, 23), date(2026, 3, 1))


@pytest.fixture
def kraken(clock: ManualClock) -> Iterator[KrakenDouble]:
    with kraken_double(clock=clock) as double:
        yield double


@pytest.fixture
def history(kraken: KrakenDouble, clock: ManualClock) -> KrakenHistory:
    return KrakenHistory(clock, endpoint=kraken.url, timeout=timedelta(seconds=5), spacing=timedelta(0))


def read(history: KrakenHistory, clock: ManualClock, span: DaySpan, timeframe: Timeframe = Timeframe.DAY) -> Any:
    return history.read("BTC/EUR", timeframe, span, clock.now())


def test_bars_are_what_kraken_wrote(kraken: KrakenDouble, history: KrakenHistory, clock: ManualClock) -> None:
    kraken.draw("BTC/EUR", 1440, TODAY - 2 * DAY, ["61000.1", "61234.5", "60000"])
    kraken.draw("PEPE/EUR", 1440, TODAY - 1 * DAY, ["0.000007123"])
    bars = read(history, clock, A_WEEK).bars
    assert bars[-1] == PriceBar(
        price_source="live",
        symbol="BTC/EUR",
        timeframe=Timeframe.DAY,
        opened_at=TODAY - DAY,
        open=Decimal("61000.1"),
        high=Decimal("61234.5"),
        low=Decimal("61000.1"),
        close=Decimal("61234.5"),
        volume=Decimal("12.34567890"),
        origin=BarOrigin.VENUE,
    )
    (tiny,) = history.read("PEPE/EUR", Timeframe.DAY, A_WEEK, clock.now()).bars
    assert str(tiny.close) == "0.000007123"


@pytest.mark.parametrize(("timeframe", "minutes"), [(Timeframe.DAY, 1440), (Timeframe.HOUR, 60)])
def test_the_bar_under_way_is_never_told(
    kraken: KrakenDouble, history: KrakenHistory, clock: ManualClock, timeframe: Timeframe, minutes: int
) -> None:
    begun = TODAY if timeframe is Timeframe.DAY else clock.now()
    kraken.draw("BTC/EUR", minutes, begun - timeframe.length, ["61000", "62000"])
    whole = DaySpan(A_WEEK.first, TODAY.date())
    assert [bar.opened_at for bar in read(history, clock, whole, timeframe).bars] == [begun - timeframe.length]


def test_a_bar_that_has_not_ended_by_our_clock_is_left_out(
    kraken: KrakenDouble, history: KrakenHistory, clock: ManualClock
) -> None:
    """Kraken may be seconds ahead of us at midnight."""
    kraken.draw("BTC/EUR", 1440, TODAY - DAY, ["61000"])
    before_midnight = TODAY - timedelta(seconds=2)
    assert history.read("BTC/EUR", Timeframe.DAY, A_WEEK, before_midnight).bars == []


def test_two_years_are_one_request_and_end_where_kraken_ends(
    kraken: KrakenDouble, history: KrakenHistory, clock: ManualClock
) -> None:
    kraken.draw("BTC/EUR", 1440, TODAY - 1000 * DAY, range(50_000, 51_000))
    found = read(history, clock, DaySpan((TODAY - 1000 * DAY).date(), A_WEEK.last))
    assert kraken.count("OHLC") == 1
    assert [bar.opened_at for bar in found.bars] == [TODAY - number * DAY for number in range(719, 0, -1)]
    assert "newest 720 days only, from 2024-03-13 on" in found.remark


def test_what_kraken_no_longer_offers_is_not_asked_for(
    kraken: KrakenDouble, history: KrakenHistory, clock: ManualClock
) -> None:
    found = read(history, clock, DaySpan(date(2018, 1, 1), date(2018, 1, 31)))
    assert (list(found.bars), kraken.requests) == ([], [])
    assert "rebalancer bars import" in found.remark


def test_a_missing_bar_stays_missing(kraken: KrakenDouble, history: KrakenHistory, clock: ManualClock) -> None:
    kraken.draw("BTC/EUR", 1440, TODAY - 3 * DAY, ["61000", "62000", "63000"])
    del kraken.charts["XXBTZEUR", 1440][int((TODAY - 2 * DAY).timestamp())]
    assert [bar.opened_at for bar in read(history, clock, A_WEEK).bars] == [TODAY - 3 * DAY, TODAY - DAY]


def test_before_its_first_trade_a_market_has_no_bar(
    kraken: KrakenDouble, history: KrakenHistory, clock: ManualClock
) -> None:
    kraken.draw("BTC/EUR", 1440, TODAY - 2 * DAY, ["61000", "62000"])
    unpriced = int((TODAY - 3 * DAY).timestamp())
    kraken.charts["XXBTZEUR", 1440][unpriced] = [unpriced, "0.0", "0.0", "0.0", "0.0", "0.0", "0.00000000", 0]
    assert len(read(history, clock, A_WEEK).bars) == 2


def test_a_market_that_kraken_does_not_list_is_not_asked_for(
    kraken: KrakenDouble, history: KrakenHistory, clock: ManualClock
) -> None:
    found = history.read("NOPE/EUR", Timeframe.DAY, A_WEEK, clock.now())
    assert (list(found.bars), found.remark) == ([], "kraken has no such market as NOPE/EUR")
    assert kraken.count("OHLC") == 0


def _row(**changes: Any) -> list[Any]:
    opened_at = int((TODAY - DAY).timestamp())
    row = {
        "time": opened_at, "open": "5", "high": "9", "low": "4", "close": "6", "vwap": "5", "volume": "1", "count": 1,
        **changes,
    }  # fmt: skip
    return list(row.values())


@pytest.mark.parametrize(
    "rows",
    [
        [_row(high="5")],
        [_row(low="5.5")],
        [_row(low="0")],
        [_row(close="-6")],
        [_row(close="NaN")],
        [_row(close=None)],
        [_row(volume="-1")],
        [_row(time="yesterday")],
        [_row(time=_row()[0] + 1)],
        [_row()[:5]],
        ["bar"],
        [_row(), _row()],
    ],
)
def test_bars_that_cannot_be_are_one_line(
    kraken: KrakenDouble, history: KrakenHistory, clock: ManualClock, rows: list[Any]
) -> None:
    last = _row(time=int(TODAY.timestamp()))
    kraken.answer("OHLC", 200, _json({"XXBTZEUR": [*rows, last], "last": 0}))
    with pytest.raises(VenueUnreachableError, match=r"^kraken's bars of BTC/EUR cannot be read: ") as caught:
        read(history, clock, A_WEEK)
    assert "\n" not in str(caught.value)


def _json(result: Any) -> str:
    return json.dumps({"error": [], "result": result})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (502, "<html>"),
        (429, "slow down"),
        (200, ""),
        (200, "{}"),
        (200, '{"error":[],"result":{}}'),
        (200, '{"error":[],"result":{"last":1}}'),
        (200, '{"error":[],"result":{"XXBTZEUR":[],"last":1}}'),
        (200, '{"error":[],"result":{"XETHZEUR":[[1,"1","1","1","1","1","1",1]],"last":1}}'),
        (200, '{"error":["EGeneral:Too many requests"]}'),
        (200, '{"error":["EQuery:Unknown asset pair"]}'),
    ],
)
def test_an_answer_that_is_none_is_one_line_and_asked_for_once(
    kraken: KrakenDouble, history: KrakenHistory, clock: ManualClock, status: int, body: str
) -> None:
    kraken.answer("OHLC", status, body)
    with pytest.raises(VenueUnreachableError, match="kraken's bars of BTC/EUR cannot be read") as caught:
        read(history, clock, A_WEEK)
    assert "\n" not in str(caught.value)
    assert kraken.count("OHLC") == 1


def test_a_broken_connection_is_one_line(kraken: KrakenDouble, history: KrakenHistory, clock: ManualClock) -> None:
    kraken.inject("OHLC", LoseResponse())
    with pytest.raises(VenueUnreachableError, match="the connection broke; try again"):
        read(history, clock, A_WEEK)
