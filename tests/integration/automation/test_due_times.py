"""Due times through years, delays, outages and daylight saving: each is answered once, and none is forgotten."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from rebalancer_pipelines.application.claims import claim_due, claim_scheduled
from rebalancer_pipelines.application.portfolios import update_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.close import store_records
from rebalancer_pipelines.domain.calendar import RebalanceInterval, next_due
from rebalancer_pipelines.domain.portfolio import Portfolio
from tests.integration.postgres.stored import a_portfolio
from tests.support.automation import an_attempt, store_attempts
from tests.support.manual_clock import ManualClock
from tests.support.paper_account import open_paper_account
from tests.support.ports_on import ports_on

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
HOURLY, DAILY, WEEKLY, MONTHLY = RebalanceInterval
START = datetime(2026, 1, 31, 1, 30, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def hands() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def through_time(ready_database: str, hands: ManualClock, tmp_path: Path) -> Iterator[Ports]:
    with ports_on(ready_database, hands, tmp_path) as opened:
        yield opened


def create(ports: Ports, *wanted: Portfolio) -> None:
    with ports.transactions() as work:
        for portfolio in wanted:
            work.portfolios.add(portfolio)
        work.commit()


def one(ports: Ports, hands: ManualClock, interval: RebalanceInterval, zone: str = "UTC") -> Portfolio:
    portfolio = a_portfolio(
        open_paper_account(ports, {}),
        interval=interval,
        time_zone=ZoneInfo(zone),
        anchor_at=hands.now(),
        next_rebalance_at=hands.now(),
    )
    create(ports, portfolio)
    return portfolio


def answer(ports: Ports, hands: ManualClock, **attempt: object) -> datetime | None:
    """Take up what is due and finish it at once; returns the due time."""
    batch = claim_due(ports)
    if batch is None:
        return None
    (claim,) = batch.claims
    store_attempts(
        ports,
        [an_attempt(claim.portfolio_id, hands.now(), scheduled_for=claim.scheduled_for, **attempt)],  # type: ignore[arg-type]
    )
    return claim.scheduled_for


def next_of(ports: Ports, portfolio: Portfolio) -> datetime | None:
    with ports.transactions() as work:
        return work.portfolios.by_id(portfolio.id).next_rebalance_at


def test_two_years_in_four_zones_with_delays_and_outages(through_time: Ports, hands: ManualClock) -> None:
    chance = random.Random(20260131)
    account = open_paper_account(through_time, {})
    portfolios = {
        portfolio.id: portfolio
        for zone in ZONES
        for interval in RebalanceInterval
        for anchor in [datetime(2026, 1, 31, 2, chance.randrange(60), 20, tzinfo=ZoneInfo(zone)).astimezone(UTC)]
        for portfolio in [
            a_portfolio(
                account,
                f"{interval}-{zone.rpartition('/')[2]}",
                interval=interval,
                time_zone=ZoneInfo(zone),
                anchor_at=anchor,
                next_rebalance_at=anchor,
            )
        ]
    }
    create(through_time, *portfolios.values())
    end = START + timedelta(days=730)
    dues = {each.id: list(_dues(each, end + timedelta(days=40))) for each in portfolios.values()}
    claims: dict[UUID, list[tuple[datetime, datetime]]] = defaultdict(list)
    while hands.now() < end:
        hands.sleep(_pause(chance))
        if chance.random() < 0.2:
            batch = claim_scheduled(through_time, chance.choice(list(portfolios)))
        else:
            batch = claim_due(through_time)
        if batch is None:
            continue
        hands.sleep(timedelta(seconds=chance.randrange(600)))
        began_at = hands.now()
        took = timedelta(seconds=chance.randrange(1, 600))
        hands.sleep(took)
        store_attempts(
            through_time,
            [
                an_attempt(
                    claim.portfolio_id,
                    hands.now(),
                    scheduled_for=claim.scheduled_for,
                    took=took,
                    # Never five in a row, which would pause.
                    success=len(claims[claim.portfolio_id]) % 3 > 0,
                )
                for claim in batch.claims
            ],
        )
        for claim in batch.claims:
            claims[claim.portfolio_id].append((claim.scheduled_for, began_at))
    for portfolio_id, portfolio in portfolios.items():
        taken, wanted = claims[portfolio_id], dues[portfolio_id]
        assert taken[0][0] == wanted[0]
        for (due, began_at), (following, _) in pairwise(taken):
            # What is left out came due before an attempt began that answers it: nothing else is, and nothing twice.
            assert following == wanted[bisect_right(wanted, max(due, began_at))], portfolio.name
        upcoming = next_of(through_time, portfolio)
        assert upcoming == wanted[bisect_right(wanted, max(taken[-1]))]
        if portfolio.interval is DAILY:
            dates = [due.astimezone(portfolio.time_zone).date() for due, _ in taken]
            assert len(set(dates)) == len(dates) > 300


def _dues(portfolio: Portfolio, until: datetime) -> Iterator[datetime]:
    due = portfolio.anchor_at
    while due < until:
        yield due
        due = next_due(portfolio.interval, anchor=portfolio.anchor_at, after=due, zone=portfolio.time_zone)


def _pause(chance: random.Random) -> timedelta:
    """Until the next look: mostly less than a day, at times an outage of days or weeks."""
    if chance.random() < 0.03:
        return timedelta(hours=chance.randrange(24, 24 * 20))
    return timedelta(seconds=chance.randrange(60, 26 * 3600))


def test_a_missed_week_gives_one_rebalance_and_the_old_rhythm(through_time: Ports, hands: ManualClock) -> None:
    portfolio = one(through_time, hands, DAILY)
    assert answer(through_time, hands) == START
    hands.sleep(timedelta(days=7, hours=5))
    assert answer(through_time, hands) == START + timedelta(days=1)
    assert answer(through_time, hands) is None
    assert next_of(through_time, portfolio) == START + timedelta(days=8)


def test_late_answers_do_not_let_due_times_creep(through_time: Ports, hands: ManualClock) -> None:
    one(through_time, hands, HOURLY)
    for step in range(48):
        hands.time = START + HOUR * step + timedelta(minutes=step)
        assert answer(through_time, hands) == START + HOUR * step


def test_the_31st_is_the_last_of_shorter_months(through_time: Ports, hands: ManualClock) -> None:
    one(through_time, hands, MONTHLY)
    found: list[str] = []
    for _ in range(365):
        if due := answer(through_time, hands):
            found.append(f"{due:%m-%d}")
        hands.sleep(timedelta(days=1))
    assert " ".join(found) == "01-31 02-28 03-31 04-30 05-31 06-30 07-31 08-31 09-30 10-31 11-30 12-31"


@pytest.mark.parametrize(
    ("zone", "wall"), [("Europe/Berlin", "02:30"), ("Australia/Lord_Howe", "01:45"), ("America/New_York", "01:30")]
)
def test_daylight_saving_never_gives_a_date_two_runs_nor_none(
    through_time: Ports, hands: ManualClock, zone: str, wall: str
) -> None:
    where = ZoneInfo(zone)
    hands.time = datetime.fromisoformat(f"2026-02-01T{wall}").replace(tzinfo=where).astimezone(UTC)
    one(through_time, hands, DAILY, zone)
    dates: list[str] = []
    for _ in range(366 * 4):
        if due := answer(through_time, hands):
            dates.append(f"{due.astimezone(where):%Y-%m-%d}")
        hands.sleep(6 * HOUR)
    assert len(dates) == len(set(dates)) == 366


def test_a_due_time_that_comes_during_an_attempt_is_not_answered_by_it(through_time: Ports, hands: ManualClock) -> None:
    portfolio = one(through_time, hands, HOURLY)
    hands.sleep(timedelta(minutes=59))
    batch = claim_due(through_time)
    assert batch is not None
    hands.sleep(timedelta(minutes=2))
    due_meanwhile = START + HOUR
    record = an_attempt(portfolio.id, hands.now(), scheduled_for=START, took=timedelta(minutes=2))
    store_attempts(through_time, [record])
    assert next_of(through_time, portfolio) == due_meanwhile
    assert answer(through_time, hands) == due_meanwhile


def test_a_portfolio_that_is_rescheduled_during_its_attempt_keeps_the_new_rhythm(
    through_time: Ports, hands: ManualClock
) -> None:
    one(through_time, hands, MONTHLY)
    batch = claim_due(through_time)
    assert batch is not None
    with through_time.transactions() as work:
        as_it_began = work.portfolios.get("long-term")
    hands.sleep(timedelta(seconds=10))
    update_portfolio(through_time, "long-term", {"interval": "hourly"})
    hands.sleep(timedelta(seconds=10))
    with through_time.transactions() as work:
        record = an_attempt(as_it_began.id, hands.now(), scheduled_for=START, took=timedelta(seconds=20))
        store_records(work, [(as_it_began, record)])
        work.commit()
    assert answer(through_time, hands) == START + timedelta(seconds=10)
    hands.sleep(HOUR)
    assert answer(through_time, hands) == START + timedelta(seconds=10) + HOUR
