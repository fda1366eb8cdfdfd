"""Turns on a venue's key over a real database: nonces rise, counters hold, whoever takes them and whenever."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, func, insert, select, text

from rebalancer_pipelines.adapters.clock import SystemClock
from rebalancer_pipelines.adapters.postgres.tables import AccountRow, VenueKeyRow
from rebalancer_pipelines.adapters.venues.ccxt.counters import CounterLimit
from rebalancer_pipelines.adapters.venues.ccxt.key_turns import Charge, KeyTurns, TurnTooLateError
from rebalancer_pipelines.adapters.venues.ccxt.kraken.limits import (
    REST_LIMITS,
    TRADING_LIMITS,
    adding,
    cancelling,
    reading,
)
from rebalancer_pipelines.application.ports import Clock
from rebalancer_pipelines.domain.account_settings import RateTier
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from tests.support.manual_clock import ManualClock

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
STARTER = RateTier.STARTER
ONE_READ = reading("BalanceEx")
_numbers = itertools.count()


def an_account(engine: Engine) -> UUID:
    with engine.begin() as connection:
        return connection.execute(
            insert(AccountRow)
            .values(name=f"key turns {next(_numbers)}", venue="kraken", price_source="live")
            .returning(AccountRow.id)
        ).scalar_one()


def turns_of(
    engine: Engine,
    clock: Clock,
    account_id: UUID,
    *,
    tier: RateTier = STARTER,
    patience: timedelta = timedelta(seconds=5),
) -> KeyTurns:
    return KeyTurns(engine, clock, account_id, rest=REST_LIMITS[tier], trading=TRADING_LIMITS[tier], patience=patience)


def take(turns: KeyTurns, charge: Charge = ONE_READ) -> int:
    with turns.turn(charge) as nonce:
        return nonce


@dataclass
class Venue:
    """Kraken's own counters, reckoned in another way than the program's."""

    rest_limit: CounterLimit
    trading_limit: CounterLimit
    counts: dict[str, tuple[Fraction, datetime]] = field(default_factory=dict)

    def stands(self, name: str, now: datetime) -> Fraction:
        limit = self.rest_limit if name == "rest" else self.trading_limit
        count, at = self.counts.get(name, (Fraction(0), now))
        seconds = Fraction((now - at) // timedelta(microseconds=1), 1_000_000)
        return max(Fraction(0), count - seconds * Fraction(limit.decay_per_second))

    def fits(self, charge: Charge, now: datetime) -> bool:
        costs = {"rest": (charge.rest, self.rest_limit), charge.market or "": (charge.trading, self.trading_limit)}
        return all(
            not cost or self.stands(n, now) + Fraction(cost) <= limit.maximum for n, (cost, limit) in costs.items()
        )

    def count(self, charge: Charge, now: datetime) -> None:
        for name, cost in (("rest", charge.rest), (charge.market, charge.trading)):
            if name is not None and cost:
                self.counts[name] = self.stands(name, now) + Fraction(cost), now


PAIRS = ("XXBTZEUR", "XETHZEUR")
CHARGES = st.one_of(
    st.sampled_from(["BalanceEx", "Ledgers"]).map(reading),
    st.sampled_from(PAIRS).map(adding),
    st.builds(
        lambda pair, seconds: cancelling(pair, timedelta(seconds=seconds)), st.sampled_from(PAIRS), st.integers(0, 300)
    ),
)
PAUSES = st.one_of(st.just(0), st.integers(0, 20_000_000))


@given(
    tier=st.sampled_from(RateTier),
    calls=st.lists(st.tuples(PAUSES, CHARGES, st.booleans(), st.integers(1, 12)), min_size=1, max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_no_sequence_of_calls_exceeds_a_counter_or_waits_too_long(
    engine: Engine, tier: RateTier, calls: list[tuple[int, Charge, bool, int]]
) -> None:
    clock, account_id = ManualClock(NOON), an_account(engine)
    both = [turns_of(engine, clock, account_id, tier=tier) for _ in range(2)]
    venue = Venue(REST_LIMITS[tier], TRADING_LIMITS[tier])
    last_nonce = 0
    for pause, charge, which, times in calls:
        clock.sleep(timedelta(microseconds=pause))
        for _ in range(times):
            asked_at = clock.now()
            nonce = take(both[which], charge)
            now = clock.now()
            assert venue.fits(charge, now)
            if now > asked_at:
                assert (now - asked_at) % MILLISECOND == timedelta(0)
                assert not venue.fits(charge, now - MILLISECOND)
            venue.count(charge, now)
            assert nonce > last_nonce
            last_nonce = nonce


@given(steps=st.lists(st.tuples(st.integers(-10_000_000, 10_000), st.booleans()), min_size=2, max_size=12))
@settings(max_examples=40, deadline=None)
def test_nonces_rise_whatever_the_clock_does(engine: Engine, steps: list[tuple[int, bool]]) -> None:
    clock, account_id = ManualClock(NOON), an_account(engine)
    both = [turns_of(engine, clock, account_id) for _ in range(2)]
    nonces = []
    for milliseconds, which in steps:
        clock.time += timedelta(milliseconds=milliseconds)
        nonces.append(take(both[which], adding("XXBTZEUR")))
    assert all(earlier < later for earlier, later in itertools.pairwise(nonces))


def test_a_nonce_is_the_time_in_milliseconds(engine: Engine) -> None:
    clock = ManualClock(NOON + timedelta(microseconds=123_999))
    turns = turns_of(engine, clock, an_account(engine))
    assert take(turns) == int(NOON.timestamp()) * 1000 + 123
    assert take(turns) == int(NOON.timestamp()) * 1000 + 124


def test_a_nonce_is_durable_before_the_call(engine: Engine) -> None:
    account_id = an_account(engine)
    with turns_of(engine, ManualClock(NOON), account_id).turn(ONE_READ) as nonce, engine.connect() as other:
        assert other.execute(
            select(VenueKeyRow.last_nonce, VenueKeyRow.rest_counter).where(VenueKeyRow.account_id == account_id)
        ).one() == (nonce, Decimal(1))


def test_accounts_do_not_wait_for_each_other(engine: Engine) -> None:
    clock = ManualClock(NOON)
    for _ in range(2):
        turns = turns_of(engine, clock, an_account(engine))
        for _ in range(15):
            take(turns)
    assert clock.now() == NOON


def test_what_was_waited_is_added_up(engine: Engine) -> None:
    clock = ManualClock(NOON)
    turns = turns_of(engine, clock, an_account(engine))
    for _ in range(17):
        take(turns)
    assert turns.time_waited == clock.now() - NOON
    # Two points too many, at 0.33 a second.
    assert turns.time_waited == timedelta(milliseconds=6061)


def test_waiting_beyond_what_makes_sense_is_told_at_once_and_not_counted(engine: Engine) -> None:
    clock, account_id = ManualClock(NOON), an_account(engine)
    turns = turns_of(engine, clock, account_id)
    for _ in range(60):
        take(turns, adding("XXBTZEUR"))
    with (
        pytest.raises(TurnTooLateError) as caught,
        turns.turn(adding("XXBTZEUR"), until=NOON + timedelta(milliseconds=999)),
    ):
        pytest.fail("there is no turn")
    assert caught.value.wait == timedelta(seconds=1)
    assert clock.now() == NOON
    with turns.turn(adding("XXBTZEUR"), until=NOON + timedelta(seconds=1)):
        assert clock.now() == NOON + timedelta(seconds=1)
    with turns.turn(adding("XETHZEUR"), until=clock.now()):
        assert clock.now() == NOON + timedelta(seconds=1)


def test_what_the_venue_counted_besides_is_taken_over(engine: Engine) -> None:
    clock = ManualClock(NOON)
    turns = turns_of(engine, clock, an_account(engine))
    turns.fill_up(rest=True)
    take(turns)
    # One point at 0.33 a second.
    assert clock.now() == NOON + timedelta(milliseconds=3031)
    turns.fill_up(market="XXBTZEUR")
    before = clock.now()
    take(turns, adding("XETHZEUR"))
    assert clock.now() == before
    take(turns, adding("XXBTZEUR"))
    assert clock.now() == before + timedelta(seconds=1)


def test_calls_of_several_processes_leave_one_after_the_other(engine: Engine) -> None:
    account_id = an_account(engine)
    arrived: list[int] = []
    inside, most_inside = 0, 0

    def call_often() -> None:
        nonlocal inside, most_inside
        turns = turns_of(engine, SystemClock(), account_id)
        for _ in range(5):
            with turns.turn(adding("XXBTZEUR")) as nonce:
                inside += 1
                most_inside = max(most_inside, inside)
                time.sleep(0.002)
                arrived.append(nonce)
                inside -= 1

    threads = [threading.Thread(target=call_often) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most_inside == 1
    assert arrived == sorted(set(arrived))
    assert len(arrived) == 15


def test_a_turn_that_never_ends_is_waited_for_no_longer_than_patience(engine: Engine) -> None:
    account_id, clock = an_account(engine), ManualClock(NOON)
    with turns_of(engine, clock, account_id).turn(ONE_READ) as first:
        begun = time.monotonic()
        second = take(turns_of(engine, clock, account_id, patience=timedelta(milliseconds=150)))
        assert 0.1 < time.monotonic() - begun < 2
    assert second > first


def test_a_turn_leaves_no_lock_and_no_setting_behind(engine: Engine) -> None:
    turns = turns_of(engine, ManualClock(NOON), an_account(engine))
    take(turns)
    with pytest.raises(RuntimeError, match="the call broke"), turns.turn(ONE_READ):
        raise RuntimeError("the call broke")
    with engine.connect() as connection:
        locks = select(func.count()).select_from(text("pg_locks")).where(text("locktype = 'advisory'"))
        assert connection.execute(locks).scalar_one() == 0
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "0"


def test_an_answer_is_not_lost_with_the_database(engine: Engine) -> None:
    """Whoever holds a turn has an answer in his hands: that the lock cannot be given back must not hide it."""
    account_id = an_account(engine)
    with turns_of(engine, ManualClock(NOON), account_id).turn(ONE_READ), engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )
        )
        connection.rollback()
    assert take(turns_of(engine, ManualClock(NOON), account_id)) > 0


@contextmanager
def a_dead_engine() -> Iterator[Engine]:
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none", connect_args={"connect_timeout": 2})
    try:
        yield engine
    finally:
        engine.dispose()


def test_without_the_database_no_call_leaves(engine: Engine) -> None:
    with a_dead_engine() as dead:
        turns = turns_of(dead, ManualClock(NOON), an_account(engine))
        with pytest.raises(VenueUnreachableError, match="the database that counts calls") as caught:
            take(turns)
        turns.fill_up(rest=True, market="XXBTZEUR")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200
