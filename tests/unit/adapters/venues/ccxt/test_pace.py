from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rebalancer_pipelines.adapters.venues.ccxt.pace import Pace
from tests.support.manual_clock import ManualClock

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_burst_passes_and_then_one_after_the_other() -> None:
    clock = ManualClock(NOON)
    pace = Pace(clock, spacing=SECOND, burst=3)
    pace.wait(2)
    pace.wait()
    assert clock.now() == NOON
    pace.wait()
    assert clock.now() == NOON + SECOND
    pace.wait()
    assert clock.now() == NOON + 2 * SECOND
    assert pace.time_waited == 2 * SECOND


def test_quiet_brings_the_burst_back_and_no_more() -> None:
    clock = ManualClock(NOON)
    pace = Pace(clock, spacing=SECOND, burst=3)
    pace.wait(3)
    clock.sleep(timedelta(hours=1))
    before = clock.now()
    pace.wait(3)
    assert clock.now() == before
    pace.wait()
    assert clock.now() == before + SECOND


def test_a_clock_that_was_set_back_does_not_stop_it() -> None:
    clock = ManualClock(NOON)
    pace = Pace(clock, spacing=SECOND, burst=3)
    pace.wait(3)
    clock.time = NOON - timedelta(days=1)
    pace.wait()
    assert clock.now() <= NOON - timedelta(days=1) + SECOND


def test_no_spacing_is_no_waiting() -> None:
    clock = ManualClock(NOON)
    pace = Pace(clock, spacing=timedelta(0), burst=3)
    for _ in range(10):
        pace.wait()
    assert clock.now() == NOON
