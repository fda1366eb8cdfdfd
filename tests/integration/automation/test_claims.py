"""A due time is taken up once, whoever asks and however many ask at once."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from rebalancer_pipelines.application.batch.run_batch import claimed_request, run_batch
from rebalancer_pipelines.application.claims import check_clock, claim_due, claim_scheduled
from rebalancer_pipelines.application.portfolios import delete_portfolio, update_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.close import store_records
from rebalancer_pipelines.application.rebalance.start import start_rebalance
from rebalancer_pipelines.domain.claim import ClaimedBatch
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, NotFoundError
from rebalancer_pipelines.domain.rebalance import TriggeredBy
from tests.integration.postgres.stored import a_portfolio
from tests.support.automation import (
    an_attempt,
    bring_to_end,
    create_enabled,
    scheduled_request,
    store_attempts,
)
from tests.support.paper_account import open_paper_account
from tests.support.rebalancing import rebalance
from tests.support.running_clock import RunningClock
from tests.support.stored import MORNING, Stored


def names_of(batch: ClaimedBatch | None) -> list[str]:
    return [claim.portfolio for claim in batch.claims] if batch else []


@pytest.fixture
def many(timed: Ports, clock: RunningClock) -> list[UUID]:
    """A thousand portfolios that are due, the last by name first."""
    account = open_paper_account(timed, {})
    now = clock.now()
    portfolios = [
        a_portfolio(account, name=f"p{n:04d}", anchor_at=now, next_rebalance_at=now - timedelta(seconds=n))
        for n in range(1000)
    ]
    with timed.transactions() as work:
        for portfolio in portfolios:
            work.portfolios.add(portfolio)
        work.commit()
    return [portfolio.id for portfolio in portfolios]


def test_a_hundred_batches_claimed_by_four_at_once_share_a_thousand_portfolios_out(
    timed: Ports, stored: Stored, many: list[UUID]
) -> None:
    start = threading.Barrier(4)

    def claim(_: int) -> list[ClaimedBatch]:
        start.wait()
        found: list[ClaimedBatch] = []
        while batch := claim_due(timed, limit=10):
            found.append(batch)
        return found

    with ThreadPoolExecutor(4) as pool:
        batches = [batch for found in pool.map(claim, range(4)) for batch in found]
    claimed = Counter(claim.portfolio_id for batch in batches for claim in batch.claims)
    assert claimed == Counter(many)
    assert max(len(batch.claims) for batch in batches) == 10
    assert len({batch.id for batch in batches}) == len(batches) >= 100
    assert {claim["portfolio_id"]: claim["batch_id"] for claim in stored.open_claims()} == {
        claim.portfolio_id: batch.id for batch in batches for claim in batch.claims
    }
    assert claim_due(timed) is None


def test_what_somebody_else_is_about_to_claim_is_passed_over_at_once(
    timed: Ports, clock: RunningClock, many: list[UUID]
) -> None:
    with timed.transactions() as work, ThreadPoolExecutor(1) as pool:
        locked = work.claims.lock_due(clock.now(), 2)
        claimed = pool.submit(claim_due, timed, limit=2).result(timeout=20)
        work.commit()
    assert [claim.portfolio for claim in locked] == ["p0999", "p0998"]
    assert names_of(claimed) == ["p0997", "p0996"]


def test_the_longest_due_are_claimed_first(timed: Ports, many: list[UUID]) -> None:
    batch = claim_due(timed, limit=3)
    assert names_of(batch) == ["p0999", "p0998", "p0997"]


def test_a_schedule_and_the_due_check_at_the_same_moment_claim_once(timed: Ports, stored: Stored) -> None:
    portfolios = create_enabled(timed, *(f"p{n}" for n in range(8)))
    for portfolio in portfolios:
        start = threading.Barrier(6)

        def claim(turn: int, portfolio_id: UUID = portfolio.id, start: threading.Barrier = start) -> list[str]:
            start.wait()
            others = [p.id for p in portfolios if p.id != portfolio_id]
            batch = claim_scheduled(timed, portfolio_id) if turn % 2 else claim_due(timed, withheld=others)
            return names_of(batch)

        with ThreadPoolExecutor(6) as pool:
            claimed = [name for found in pool.map(claim, range(6)) for name in found]
        assert claimed == [portfolio.name]
    assert len(stored.open_claims()) == 8


def test_whatever_fires_at_the_same_moment_rebalances_once(ports: Ports, stored: Stored) -> None:
    stored.show_recording(MORNING)
    for name in ("one", "two", "three"):
        (portfolio,) = create_enabled(ports, name, account=name)
        asked_at = ports.clock.now()
        start = threading.Barrier(3)

        def by_schedule(start: threading.Barrier = start, portfolio_id: UUID = portfolio.id) -> None:
            start.wait()
            if batch := claim_scheduled(ports, portfolio_id):
                bring_to_end(ports, batch)

        def by_check(start: threading.Barrier = start) -> None:
            start.wait()
            if batch := claim_due(ports):
                bring_to_end(ports, batch)

        def by_hand(start: threading.Barrier = start, name: str = name, asked_at: datetime = asked_at) -> None:
            start.wait()
            # Refused when another was quicker, which the row says.
            with suppress(DeniedError):
                rebalance(ports, name, requested_at=asked_at)

        with ThreadPoolExecutor(3) as pool:
            for asked in [pool.submit(each) for each in (by_schedule, by_check, by_hand)]:
                asked.result()
        rows = stored.history(name)
        (done,) = [row for row in rows if row["success"]]
        assert done["orders_executed"] == 2
        refused = [row for row in rows if not row["success"]]
        assert all(row["triggered_by"] == "manual" for row in refused), refused
        assert [e["code"] for row in refused for e in row["errors"]] == ["ALREADY_REBALANCED"] * len(refused)
        assert len(stored.rows("SELECT * FROM rebalance WHERE portfolio_id = %s", portfolio.id)) == 1
        assert len(stored.open_claims()) == 0
        assert claim_due(ports) is None


def test_a_claim_that_a_person_was_quicker_to_answer_ends_without_a_row(
    timed: Ports, stored: Stored, clock: RunningClock
) -> None:
    stored.show_recording(MORNING)
    alone, _ = create_enabled(timed, "alone", "shared")
    own = claim_scheduled(timed, alone.id)
    batch = claim_due(timed)
    assert own is not None
    assert batch is not None
    assert names_of(batch) == ["shared"]
    for name in ("alone", "shared"):
        assert rebalance(timed, name).success
    with pytest.raises(DeniedError) as refused:
        start_rebalance(timed, scheduled_request(own))
    assert refused.value.reason is DenialReason.ALREADY_REBALANCED
    assert bring_to_end(timed, batch) == {}
    assert [len(stored.history(name)) for name in ("alone", "shared")] == [1, 1]
    assert len(stored.open_claims()) == 0
    clock.pass_time(timedelta(days=1))
    assert names_of(claim_due(timed)) == ["alone", "shared"]


def test_a_dry_run_by_hand_answers_no_claim(timed: Ports, stored: Stored) -> None:
    stored.show_recording(MORNING)
    create_enabled(timed, "core")
    batch = claim_due(timed)
    assert batch is not None
    assert rebalance(timed, "core", dry_run=True).success
    assert len(stored.open_claims()) == 1
    outcome = bring_to_end(timed, batch)["core"]
    assert outcome.record is not None
    assert outcome.record.success
    assert (outcome.record.dry_run, outcome.record.scheduled_for) == (False, batch.claims[0].scheduled_for)
    assert len(stored.open_claims()) == 0


@pytest.mark.parametrize(("dry_run", "success"), [(True, True), (False, False)])
def test_what_a_person_tried_in_vain_or_for_show_leaves_the_due_time_to_the_next(
    timed: Ports, clock: RunningClock, dry_run: bool, success: bool
) -> None:
    (portfolio,) = create_enabled(timed, "core")
    attempt = an_attempt(portfolio.id, clock.now(), triggered_by=TriggeredBy.MANUAL, dry_run=dry_run, success=success)
    store_attempts(timed, [attempt])
    assert names_of(claim_due(timed)) == ["core"]


def test_what_is_paused_or_not_enabled_or_not_due_is_not_claimed(
    timed: Ports, stored: Stored, clock: RunningClock
) -> None:
    paused, off, later = create_enabled(timed, "paused", "off", "later")
    stored.change("UPDATE portfolio SET paused_at = now(), paused_reason = 'a test' WHERE name = 'paused'")
    update_portfolio(timed, "off", {"enabled": False})
    stored.make_due("later", clock.now() + timedelta(hours=1))
    assert claim_due(timed) is None
    assert [claim_scheduled(timed, each.id) for each in (paused, off, later)] == [None, None, None]
    clock.pass_time(timedelta(hours=1))
    assert names_of(claim_due(timed)) == ["later"]


def test_what_is_enabled_or_added_in_the_database_itself_falls_due(timed: Ports, stored: Stored) -> None:
    create_enabled(timed, "core")
    update_portfolio(timed, "core", {"enabled": False})
    assert claim_due(timed) is None
    stored.change("UPDATE portfolio SET rebalance_enabled = true, description = 'by hand'")
    stored.change(
        "INSERT INTO portfolio (name, account_id, rebalance_enabled, rebalance_interval) "
        "SELECT given.name, account_id, given.name = 'added', 'daily' FROM portfolio, "
        "(VALUES ('added'), ('added-off')) AS given (name)"
    )
    assert sorted(names_of(claim_due(timed))) == ["added", "core"]
    stored.change("UPDATE portfolio SET rebalance_enabled = true WHERE name = 'added-off'")
    assert names_of(claim_due(timed)) == ["added-off"]


def test_a_running_schedule_has_its_portfolio_to_itself_until_the_grace_is_over(
    timed: Ports, clock: RunningClock
) -> None:
    served, withheld, _ = create_enabled(timed, "served", "withheld", "free")
    assert names_of(claim_due(timed, served=[served.id], withheld=[withheld.id])) == ["free"]
    clock.pass_time(timedelta(minutes=4, seconds=30))
    assert claim_due(timed, served=[served.id], withheld=[withheld.id]) is None
    clock.pass_time(timedelta(seconds=31))
    assert names_of(claim_due(timed, served=[served.id], withheld=[withheld.id])) == ["served"]
    clock.pass_time(timedelta(hours=12))
    assert claim_due(timed, withheld=[withheld.id]) is None
    assert names_of(claim_scheduled(timed, withheld.id)) == ["withheld"]


def test_a_claim_goes_with_its_portfolio(timed: Ports, stored: Stored) -> None:
    stored.show_recording(MORNING)
    create_enabled(timed, "gone", "stays")
    batch = claim_due(timed)
    assert batch is not None
    delete_portfolio(timed, "gone")
    assert {name: o.record and o.record.success for name, o in bring_to_end(timed, batch).items()} == {"stays": True}
    assert len(stored.open_claims()) == 0


def test_a_portfolio_that_is_deleted_after_its_batch_was_read_leaves_the_others_alone(
    timed: Ports, stored: Stored
) -> None:
    stored.show_recording(MORNING)
    create_enabled(timed, "gone", "stays")
    batch = claim_due(timed)
    assert batch is not None
    request = claimed_request(timed, batch.id, str(uuid4()))
    assert request is not None
    delete_portfolio(timed, "gone")
    outcomes = [outcome for of_account in run_batch(timed, request) for outcome in of_account]
    assert {o.portfolio: o.record and o.record.success for o in outcomes} == {"stays": True}


def test_a_batch_of_deleted_portfolios_has_nothing_to_do(timed: Ports, clock: RunningClock) -> None:
    (portfolio,) = create_enabled(timed, "gone")
    own = claim_scheduled(timed, portfolio.id)
    assert own is not None
    delete_portfolio(timed, "gone")
    assert claimed_request(timed, own.id, "a run") is None
    with pytest.raises(NotFoundError):
        start_rebalance(timed, scheduled_request(own))
    clock.pass_time(timedelta(hours=1))
    with timed.transactions() as work:
        assert work.claims.waiting(clock.now()) == []


def test_the_row_of_a_portfolio_that_was_deleted_meanwhile_is_left_out(
    timed: Ports, stored: Stored, clock: RunningClock
) -> None:
    gone, stays = create_enabled(timed, "gone", "stays")
    attempts = [(p, an_attempt(p.id, clock.now(), triggered_by=TriggeredBy.MANUAL)) for p in (gone, stays)]
    delete_portfolio(timed, "gone")
    with timed.transactions() as work:
        store_records(work, attempts)
        work.commit()
    assert [row["portfolio_id"] for row in stored.rows("SELECT * FROM rebalance_history")] == [stays.id]


def test_an_attempt_leaves_the_claim_of_a_later_due_time_open(
    timed: Ports, stored: Stored, clock: RunningClock
) -> None:
    (portfolio,) = create_enabled(timed, "core", interval="hourly")
    first = portfolio.next_rebalance_at
    assert first is not None
    clock.pass_time(timedelta(minutes=60, seconds=10))
    batch = claim_due(timed)
    assert batch is not None
    late = an_attempt(portfolio.id, clock.now(), scheduled_for=first - timedelta(hours=1), success=False)
    store_attempts(timed, [late])
    assert len(stored.open_claims()) == 1
    store_attempts(timed, [an_attempt(portfolio.id, clock.now(), scheduled_for=batch.claims[0].scheduled_for)])
    assert len(stored.open_claims()) == 0


@pytest.mark.parametrize(("ahead", "way"), [(40, "40 s ahead of"), (-40, "40 s behind")])
def test_a_clock_that_is_far_from_the_databases_is_refused(
    timed: Ports, clock: RunningClock, ahead: int, way: str
) -> None:
    check_clock(timed)
    clock.pass_time(timedelta(seconds=ahead // 2))
    check_clock(timed)
    clock.pass_time(timedelta(seconds=ahead - ahead // 2))
    with pytest.raises(DeniedError, match=way) as refused:
        check_clock(timed)
    assert refused.value.reason is DenialReason.CLOCK_SKEW
