from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.adapters.prices.recorded_clock import RecordedClock

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
SHOWN = datetime(2018, 10, 1, tzinfo=UTC)


def test_plays_at_its_speed() -> None:
    clock = RecordedClock(SHOWN, START, Decimal(60))
    assert clock.moment(START) == SHOWN
    assert clock.moment(START + timedelta(minutes=1)) == SHOWN + timedelta(hours=1)


def test_keeps_microseconds_that_a_float_would_lose() -> None:
    elapsed = timedelta(days=300, microseconds=1)
    assert RecordedClock(SHOWN, START, Decimal("1.000001")).moment(START + elapsed) == (
        SHOWN + elapsed + timedelta(microseconds=25_920_000)
    )


def test_a_clock_set_back_holds_the_recording_still() -> None:
    assert RecordedClock(SHOWN, START, Decimal(60)).moment(START - timedelta(days=2)) == SHOWN


def test_an_absurd_speed_ends_after_every_recording() -> None:
    moment = RecordedClock(SHOWN, START, Decimal(10) ** 15).moment(START + timedelta(days=1))
    assert moment == datetime.max.replace(tzinfo=UTC)
    assert RecordedClock(moment, START, Decimal(1)).moment(START + timedelta(days=1)) == moment


@given(
    st.decimals("0.001", "100000", places=3),
    st.decimals("0.001", "100000", places=3),
    st.timedeltas(timedelta(0), timedelta(days=30)),
    st.timedeltas(timedelta(0), timedelta(days=30)),
)
def test_a_change_of_speed_neither_jumps_nor_runs_back(
    before: Decimal, after: Decimal, until: timedelta, then: timedelta
) -> None:
    clock = RecordedClock(SHOWN, START, before)
    changed = RecordedClock(clock.moment(START + until), START + until, after)
    assert changed.moment(START + until) == clock.moment(START + until)
    assert changed.moment(START + until + then) >= changed.moment(START + until)
