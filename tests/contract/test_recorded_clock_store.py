"""The stored anchor of the recording, and the prices that follow from it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal

import pytest
from sqlalchemy import Engine, create_engine, delete, func, select, text, update

from rebalancer_pipelines.adapters.postgres.tables import RecordedClockRow
from rebalancer_pipelines.adapters.prices.recorded_bars import bar_opened_at
from rebalancer_pipelines.adapters.prices.recorded_clock import FIRST_MOMENT, change_speed, read_clock
from rebalancer_pipelines.adapters.venues.registry import VenueRegistry
from rebalancer_pipelines.application.ports import OrderTicket
from rebalancer_pipelines.domain.errors import InvalidInputError, VenueUnreachableError
from rebalancer_pipelines.domain.order import OrderSide
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.values import Currency
from tests.support.builders import a_reference, cleared
from tests.support.manual_clock import ManualClock

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def nothing_played_yet(engine: Engine) -> Iterator[None]:
    yield
    with engine.begin() as connection:
        connection.execute(delete(RecordedClockRow))


def test_the_first_reader_starts_it_and_everybody_sees_the_same(engine: Engine, clock: ManualClock) -> None:
    assert read_clock(engine, clock.now()).moment(clock.now()) == FIRST_MOMENT
    clock.sleep(HOUR)
    assert read_clock(engine, clock.now()).moment(clock.now()) == FIRST_MOMENT + HOUR


def test_readers_that_are_first_together_agree(engine: Engine, clock: ManualClock) -> None:
    moments = [clock.now() + timedelta(seconds=number) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        clocks = list(pool.map(lambda now: read_clock(engine, now), moments))
    assert len(set(clocks)) == 1
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(RecordedClockRow)) == 1


def test_a_change_of_speed_goes_on_from_the_moment_shown(engine: Engine, clock: ManualClock) -> None:
    read_clock(engine, clock.now())
    clock.sleep(HOUR)
    change_speed(engine, Decimal(60), clock.now())
    assert read_clock(engine, clock.now()).moment(clock.now()) == FIRST_MOMENT + HOUR
    clock.sleep(HOUR)
    assert read_clock(engine, clock.now()).moment(clock.now()) == FIRST_MOMENT + 61 * HOUR
    change_speed(engine, Decimal("0.5"), clock.now())
    clock.sleep(HOUR)
    assert read_clock(engine, clock.now()).moment(clock.now()) == FIRST_MOMENT + 61.5 * HOUR


def test_a_speed_may_be_chosen_before_the_first_use(engine: Engine, clock: ManualClock) -> None:
    change_speed(engine, Decimal(60), clock.now())
    clock.sleep(HOUR)
    assert read_clock(engine, clock.now()).moment(clock.now()) == FIRST_MOMENT + 60 * HOUR


def test_of_two_changes_at_once_the_second_goes_on_from_the_first(engine: Engine, clock: ManualClock) -> None:
    read_clock(engine, clock.now())
    shown = FIRST_MOMENT + timedelta(days=30)
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as first:
            first.execute(update(RecordedClockRow).values(recorded_at=shown, started_at=clock.now()))
            second = pool.submit(change_speed, engine, Decimal(60), clock.now())
            _until_somebody_waits_for_a_lock(engine)
        second.result(timeout=30)
    assert read_clock(engine, clock.now()).moment(clock.now()) == shown


def _until_somebody_waits_for_a_lock(engine: Engine) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    end = time.monotonic() + 30
    with engine.connect() as connection:
        while not connection.scalar(waiting):
            assert time.monotonic() < end


@pytest.mark.parametrize("speed", ["0", "-1", "NaN", "Infinity"])
def test_refuses_a_speed_that_is_none(engine: Engine, clock: ManualClock, speed: str) -> None:
    with pytest.raises(InvalidInputError, match="speed"):
        change_speed(engine, Decimal(speed), clock.now())


def test_a_paper_account_is_quoted_the_recorded_moment(engine: Engine, clock: ManualClock, account: Account) -> None:
    venue = VenueRegistry(engine, clock).connect(account)
    change_speed(engine, Decimal(60), clock.now())
    first = venue.prices(["BTC/EUR"])["BTC/EUR"]
    clock.sleep(timedelta(minutes=1))
    second = venue.prices(["BTC/EUR"])["BTC/EUR"]
    assert (first.recorded_at, second.recorded_at) == (FIRST_MOMENT, FIRST_MOMENT + HOUR)
    assert second.observed_at == clock.now()
    clock.sleep(timedelta(days=7))
    with pytest.raises(VenueUnreachableError, match="ended"):
        venue.prices(["BTC/EUR"])


def test_no_database_is_no_empty_answer(clock: ManualClock) -> None:
    nowhere = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(VenueUnreachableError, match="does not answer"):
        read_clock(nowhere, clock.now())


def test_a_paper_account_fills_against_what_was_traded_in_the_recorded_hour(
    engine: Engine, clock: ManualClock, account: Account
) -> None:
    registry = VenueRegistry(engine, clock)
    registry.fund(account, {Currency("EUR"): Decimal(1_000_000)})
    venue = registry.connect(account)
    mark = venue.prices(["BTC/EUR"])["BTC/EUR"]
    not_after = clock.now() + timedelta(seconds=10)
    ticket = OrderTicket("order-1", "BTC/EUR", OrderSide.BUY, Decimal(10), mark.ask + 100, not_after)
    venue.submit(ticket, cleared)
    found = venue.find([a_reference(ticket)]).get("order-1")
    bar = bar_opened_at(Currency("BTC"), FIRST_MOMENT - HOUR)
    assert found is not None
    assert bar is not None
    touch = bar.close * bar.volume / 1000 / mark.ask
    assert found.fills[0].quantity == touch.quantize(Decimal("0.00000001"), rounding=ROUND_DOWN)
