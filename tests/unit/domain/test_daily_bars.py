"""Days made of hours."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.domain.daily_bars import days_of
from rebalancer_pipelines.domain.price_bar import PriceBar, Timeframe
from tests.support.bars import NEW_YEAR, a_bar

_PRICES = st.decimals("0.000000000000000001", "99999999999999999999", places=18)


def an_hour(number: int, **changes: object) -> PriceBar:
    """The hour that starts so many hours after New Year."""
    bar = a_bar(hour=number, timeframe=Timeframe.HOUR)
    return replace(bar, **changes)  # type: ignore[arg-type]


@st.composite
def hours(draw: st.DrawFn) -> list[PriceBar]:
    """Hours of three days, some of them missing."""
    present = draw(st.sets(st.integers(0, 71)))
    found: list[PriceBar] = []
    for number in sorted(present):
        low, first, last, high = sorted(draw(st.lists(_PRICES, min_size=4, max_size=4)))
        opening, close = draw(st.permutations([first, last]))
        volume = draw(st.none() | st.decimals(0, "99999999999999999999", places=18))
        found.append(an_hour(number, open=opening, high=high, low=low, close=close, volume=volume))
    return found


@given(hours())
def test_a_day_spans_its_hours(given_hours: list[PriceBar]) -> None:
    days = {bar.opened_at: bar for bar in days_of(given_hours)}
    for number in range(3):
        midnight = NEW_YEAR + timedelta(days=number)
        of_day = [hour for hour in given_hours if midnight <= hour.opened_at < midnight + timedelta(days=1)]
        day = days.pop(midnight, None)
        if not of_day or of_day[-1].opened_at != midnight + timedelta(hours=23):
            assert day is None
            continue
        assert day is not None
        assert day.timeframe is Timeframe.DAY
        assert (day.open, day.close) == (of_day[0].open, of_day[-1].close)
        assert (day.low, day.high) == (min(h.low for h in of_day), max(h.high for h in of_day))
        assert day.low <= min(day.open, day.close) <= max(day.open, day.close) <= day.high
        volumes = [hour.volume for hour in of_day]
        if None in volumes:
            assert day.volume is None
        else:
            assert day.volume == exactly_summed(volumes)
    assert days == {}


def exactly_summed(volumes: list[Decimal | None]) -> Decimal:
    """By whole numbers, whatever a decimal context would round."""
    return Decimal(sum(int(volume.scaleb(18)) for volume in volumes if volume is not None)).scaleb(-18)


def test_without_its_last_hour_a_day_is_a_gap() -> None:
    whole = [an_hour(number) for number in range(48)]
    assert [bar.opened_at for bar in days_of(whole)] == [NEW_YEAR, NEW_YEAR + timedelta(days=1)]
    assert [bar.opened_at for bar in days_of(whole[:23] + whole[24:])] == [NEW_YEAR + timedelta(days=1)]
    assert [bar.opened_at for bar in days_of(whole[:-1])] == [NEW_YEAR]


def test_other_hours_may_be_missing() -> None:
    (day,) = days_of([an_hour(5, open=Decimal(40_000)), an_hour(23, close=Decimal(50_000))])
    assert (day.opened_at, day.open, day.close, day.volume) == (NEW_YEAR, 40_000, 50_000, 25)
