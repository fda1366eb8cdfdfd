from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.adapters.prices.recorded import MARKETS, RecordedPrices
from rebalancer_pipelines.adapters.prices.recorded_bars import FIRST_CLOSE, LAST_CLOSE, bar_opened_at
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.values import Currency, is_multiple
from tests.support.manual_clock import ManualClock
from tests.support.recording import vendored_lines

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def prices_at(moment: datetime, *, spread: str = "0.001") -> RecordedPrices:
    return RecordedPrices(ManualClock(NOW), lambda _: moment, spread=Decimal(spread))


def test_every_bar_of_the_file_is_found_exactly_as_written() -> None:
    lines = vendored_lines()
    assert len(lines) == 87_532
    for base, opened_at, *_, close, volume in [*lines[::97], lines[0], lines[-1]]:
        bar = bar_opened_at(Currency(base), datetime.fromisoformat(opened_at))
        assert bar is not None
        assert (str(bar.close), str(bar.volume)) == (close, volume)
        assert bar.closed_at == datetime.fromisoformat(opened_at) + HOUR


def test_the_limits_are_those_of_the_file() -> None:
    opened = {datetime.fromisoformat(line[1]) for line in vendored_lines()}
    assert (min(opened) + HOUR, max(opened) + HOUR) == (FIRST_CLOSE, LAST_CLOSE)


def test_quotes_the_hour_that_has_just_ended_around_its_close() -> None:
    # The bar of 00:00 closes at 3699.305; half a spread is 0.05 % of it, and Kraken's tick is 0.1.
    mark = prices_at(at("2017-10-01T01:00")).quotes(["BTC/EUR"])["BTC/EUR"]
    assert (mark.bid, mark.ask) == (Decimal("3697.4"), Decimal("3701.2"))
    assert (mark.source, mark.observed_at, mark.recorded_at) == ("recorded", NOW, at("2017-10-01T01:00"))


@pytest.mark.parametrize("moment", ["2017-10-01T01:00", "2017-10-01T01:00:00.000001", "2017-10-01T01:59:59.999999"])
def test_never_looks_ahead(moment: str) -> None:
    """The bar of 01:00 is known from 02:00 on, and not a microsecond earlier."""
    mark = prices_at(at(moment)).quotes(["BTC/EUR"])["BTC/EUR"]
    assert mark.recorded_at == at("2017-10-01T01:00")


def test_a_gap_is_a_missing_price() -> None:
    """BTC has no bars of 11:00 and 12:00 on 7 January 2019; ETH lacks that of 13:00, too."""
    seen = {
        hour: set(prices_at(at(f"2019-01-07T{hour}:30")).quotes(["BTC/EUR", "ETH/EUR"]))
        for hour in (11, 12, 13, 14, 15)
    }
    assert seen == {
        11: {"BTC/EUR", "ETH/EUR"},
        12: set(),
        13: set(),
        14: {"BTC/EUR"},
        15: {"BTC/EUR", "ETH/EUR"},
    }


def test_markets_that_are_not_recorded_are_absent() -> None:
    assert set(prices_at(at("2018-10-01T00:00")).quotes(["BTC/EUR", "SOL/EUR", "BTC/USD"])) == {"BTC/EUR"}


def test_all_markets_have_a_price_where_the_demo_starts() -> None:
    prices = prices_at(at("2018-10-01T00:00"))
    assert set(prices.quotes(list(prices.markets()))) == set(MARKETS)


def test_the_last_hour_lasts_an_hour_and_then_the_recording_has_ended() -> None:
    assert prices_at(LAST_CLOSE + HOUR - timedelta(microseconds=1)).quotes(["BTC/EUR"])
    with pytest.raises(VenueUnreachableError, match="ended at 2019-10-01 00:00 UTC"):
        prices_at(LAST_CLOSE + HOUR).quotes(["BTC/EUR"])
    with pytest.raises(VenueUnreachableError, match="ended"):
        prices_at(datetime.max.replace(tzinfo=UTC)).quotes(["BTC/EUR"])


def test_before_the_first_close_there_is_no_price() -> None:
    with pytest.raises(VenueUnreachableError, match="no prices before 2017-10-01 01:00 UTC"):
        prices_at(FIRST_CLOSE - timedelta(microseconds=1)).quotes(["BTC/EUR"])


def test_without_a_spread_one_tick_is_left() -> None:
    moment = next(
        datetime.fromisoformat(opened_at) + HOUR
        for base, opened_at, *_, close, _ in vendored_lines()
        if base == "LTC" and is_multiple(Decimal(close), Decimal("0.01"))
    )
    mark = prices_at(moment, spread="0").quotes(["LTC/EUR"])["LTC/EUR"]
    assert mark.ask - mark.bid == Decimal("0.01")


def test_tells_what_was_traded_in_the_hour_that_a_quote_shows() -> None:
    prices = prices_at(at("2017-10-01T01:20"))
    mark = prices.quotes(["BTC/EUR"])["BTC/EUR"]
    assert prices.traded_value(mark) == Decimal("1461.131227") * Decimal("3699.305")


@given(
    st.integers(0, int((LAST_CLOSE - FIRST_CLOSE) / timedelta(minutes=1))), st.sampled_from(sorted(MARKETS)), st.data()
)
def test_every_quote_is_sound(minutes: int, symbol: str, data: st.DataObject) -> None:
    moment = FIRST_CLOSE + timedelta(minutes=minutes)
    spread = data.draw(st.sampled_from(["0", "0.001", "0.01"]))
    marks = prices_at(moment, spread=spread).quotes([symbol])
    bar = bar_opened_at(MARKETS[symbol].base_currency, moment.replace(minute=0) - HOUR)
    assert bool(marks) == (bar is not None)
    if bar is not None:
        mark, tick = marks[symbol], MARKETS[symbol].price_increment
        assert 0 < mark.bid < mark.ask
        assert mark.bid <= bar.close <= mark.ask
        assert mark.ask - mark.bid <= bar.close * Decimal(spread) + 2 * tick
        assert is_multiple(mark.bid, tick)
        assert is_multiple(mark.ask, tick)
        assert mark.recorded_at is not None
        assert mark.recorded_at <= moment
