"""A claim without an outcome is launched again, and only then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import dagster as dg
import pytest

from rebalancer_pipelines.application.claims import claim_due, claim_scheduled, open_claims
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.start import start_rebalance
from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.domain.claim import ClaimedBatch
from rebalancer_pipelines.domain.rebalance import TriggeredBy
from rebalancer_pipelines.orchestration.batch import BATCH_TAG
from rebalancer_pipelines.orchestration.jobs import rebalance_batch
from rebalancer_pipelines.orchestration.triggers import MOST_BATCHES, batch_run, unfinished_batches
from tests.support.automation import an_attempt, create_enabled, scheduled_request, store_attempts
from tests.support.running_clock import RunningClock
from tests.support.stored import MORNING, Stored

A_WHILE = timedelta(seconds=61)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def claimed(ports: Ports) -> ClaimedBatch:
    batch = claim_due(ports)
    assert batch is not None
    return batch


def launched(instance: dg.DagsterInstance, batch_id: object, status: dg.DagsterRunStatus) -> None:
    """A run of the batch that has come so far."""
    instance.create_run_for_job(rebalance_batch, tags={BATCH_TAG: str(batch_id)}, status=status)


def test_a_claim_that_was_never_launched_is_launched_under_its_own_key(
    timed: Ports, clock: RunningClock, instance: dg.DagsterInstance
) -> None:
    create_enabled(timed, "one", "two")
    batch = claimed(timed)
    assert unfinished_batches(instance, timed) == [], "whoever claimed it has a minute to launch it"
    clock.pass_time(A_WHILE)
    (request,) = unfinished_batches(instance, timed)
    assert request == batch_run(batch)
    assert (request.run_key, request.job_name) == (str(batch.id), "rebalance_batch")
    assert request.tags[BATCH_TAG] == str(batch.id)
    assert unfinished_batches(instance, timed) == [request], "Dagster launches one key once"


def test_what_a_schedule_claimed_and_did_not_launch_is_launched_too(
    timed: Ports, clock: RunningClock, instance: dg.DagsterInstance
) -> None:
    (portfolio,) = create_enabled(timed, "core")
    batch = claim_scheduled(timed, portfolio.id)
    assert batch is not None
    clock.pass_time(A_WHILE)
    assert [request.run_key for request in unfinished_batches(instance, timed)] == [str(batch.id)]
    with timed.transactions() as work:
        stored = work.claims.of_batch(batch.id)
    assert stored is not None
    assert stored.triggered_by is TriggeredBy.SCHEDULER


@pytest.mark.parametrize(
    "status",
    [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ],
)
def test_a_batch_whose_run_waits_or_runs_is_left_alone(
    timed: Ports, clock: RunningClock, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    create_enabled(timed, "core")
    batch = claimed(timed)
    launched(instance, batch.id, status)
    clock.pass_time(timedelta(hours=3))
    assert unfinished_batches(instance, timed) == []
    assert claim_due(timed) is None, "a portfolio has one claim open at most"


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.SUCCESS]
)
def test_what_an_ended_run_has_left_gets_another_try_as_a_batch_of_its_own(
    timed: Ports, clock: RunningClock, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    done, left = create_enabled(timed, "done", "left")
    batch = claimed(timed)
    launched(instance, batch.id, status)
    due = {claim.portfolio: claim.scheduled_for for claim in batch.claims}
    store_attempts(timed, [an_attempt(done.id, clock.now(), scheduled_for=due["done"])])
    clock.pass_time(A_WHILE)
    (request,) = unfinished_batches(instance, timed)
    assert request.run_key != str(batch.id)
    with timed.transactions() as work:
        assert work.claims.of_batch(batch.id) is None
        (waiting,) = work.claims.waiting(clock.now() + A_WHILE)
        again = work.claims.of_batch(waiting.id)
    assert again is not None
    assert request == batch_run(again)
    assert [(c.portfolio_id, c.scheduled_for) for c in again.claims] == [(left.id, due["left"])]
    assert unfinished_batches(instance, timed) == [], "the new batch has a minute of its own"
    clock.pass_time(A_WHILE)
    assert [r.run_key for r in unfinished_batches(instance, timed)] == [request.run_key]


def test_a_batch_whose_runs_end_again_and_again_is_tried_at_longer_and_longer_intervals(
    timed: Ports, clock: RunningClock, instance: dg.DagsterInstance
) -> None:
    create_enabled(timed, "core")
    batch_id: object = claimed(timed).id
    waited: list[int] = []
    for _ in range(8):
        launched(instance, batch_id, dg.DagsterRunStatus.FAILURE)
        minutes = 0
        while not (requests := unfinished_batches(instance, timed)):
            clock.pass_time(timedelta(minutes=1))
            minutes += 1
        waited.append(minutes)
        (request,) = requests
        batch_id = request.tags[BATCH_TAG]
    assert waited == [1, 2, 4, 8, 16, 32, 60, 60]
    (tried,) = open_claims(timed)
    assert (tried.tries, str(tried.id)) == (8, batch_id)


def test_many_runs_under_way_do_not_hide_a_claim_that_was_forgotten(
    timed: Ports, clock: RunningClock, instance: dg.DagsterInstance
) -> None:
    create_enabled(timed, *(f"p{n:02d}" for n in range(MOST_BATCHES + 2)))
    for _ in range(MOST_BATCHES + 1):
        batch = claim_due(timed, limit=1)
        assert batch is not None
        launched(instance, batch.id, dg.DagsterRunStatus.STARTED)
    forgotten = claimed(timed)
    clock.pass_time(A_WHILE)
    assert [request.run_key for request in unfinished_batches(instance, timed)] == [str(forgotten.id)]


def test_one_evaluation_launches_so_many_and_the_next_the_rest(
    timed: Ports, clock: RunningClock, instance: dg.DagsterInstance
) -> None:
    create_enabled(timed, *(f"p{n:02d}" for n in range(MOST_BATCHES + 3)))
    while claim_due(timed, limit=1):
        pass
    clock.pass_time(A_WHILE)
    first = unfinished_batches(instance, timed)
    assert len(first) == MOST_BATCHES
    for request in first:
        launched(instance, request.tags[BATCH_TAG], dg.DagsterRunStatus.STARTED)
    assert len(unfinished_batches(instance, timed)) == 3


def test_recovery_ends_the_claim_of_a_rebalance_that_was_cut_off(
    timed: Ports, clock: RunningClock, instance: dg.DagsterInstance, stored: Stored
) -> None:
    stored.show_recording(MORNING)
    (portfolio,) = create_enabled(timed, "core")
    batch = claim_scheduled(timed, portfolio.id)
    assert batch is not None
    start_rebalance(timed, scheduled_request(batch))
    launched(instance, batch.id, dg.DagsterRunStatus.FAILURE)
    stored.change("UPDATE account SET lease_until = now() - interval '1 second'")
    assert recover_abandoned_accounts(timed) == []
    (row,) = stored.history("core")
    assert [error["code"] for error in row["errors"]] == ["INTERRUPTED"]
    assert row["scheduled_for"] == batch.claims[0].scheduled_for
    clock.pass_time(A_WHILE)
    assert unfinished_batches(instance, timed) == []
    assert claim_due(timed) is None


def test_two_daemons_that_find_the_same_ended_run_make_one_new_batch_of_it(
    timed: Ports, clock: RunningClock, instance: dg.DagsterInstance, stored: Stored
) -> None:
    create_enabled(timed, *(f"p{n}" for n in range(5)))
    while batch := claim_due(timed, limit=1):
        launched(instance, batch.id, dg.DagsterRunStatus.FAILURE)
    clock.pass_time(A_WHILE)
    start = threading.Barrier(4)

    def look(_: int) -> list[str | None]:
        start.wait()
        return [request.run_key for request in unfinished_batches(instance, timed)]

    with ThreadPoolExecutor(4) as pool:
        keys = [key for found in pool.map(look, range(4)) for key in found]
    assert len(keys) == len(set(keys)) == 5
    assert sorted(str(claim["batch_id"]) for claim in stored.open_claims()) == sorted(map(str, keys))
