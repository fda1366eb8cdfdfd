"""Dagster runs whose process is gone are ended; those that may live are left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from rebalancer_pipelines.adapters.clock import SystemClock
from rebalancer_pipelines.application.claims import claim_due, end_answered_claims
from rebalancer_pipelines.application.lease import release_lease
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.close import close_rebalance
from rebalancer_pipelines.application.rebalance.start import RebalanceRequest, start_rebalance
from rebalancer_pipelines.definitions import build_definitions
from rebalancer_pipelines.domain.rebalance import TriggeredBy
from rebalancer_pipelines.orchestration.batch import BATCH_TAG
from rebalancer_pipelines.orchestration.dead_runs import fail_dead_runs
from rebalancer_pipelines.orchestration.resources import Rebalancer
from tests.support.dagster_home import installed_instance


class AheadClock(SystemClock):
    """Real time, so much later."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return super().now() + self._ahead


def later(ports: Ports, ahead: timedelta) -> Ports:
    return replace(ports, clock=AheadClock(ahead))


@pytest.fixture
def started_run(ready_database: str) -> Callable[[dg.DagsterInstance], str]:
    job = build_definitions(Rebalancer(database_url=ready_database)).resolve_job_def("rebalance")

    def create(instance: dg.DagsterInstance) -> str:
        run = instance.create_run_for_job(job, tags={"dagster/partition": "core"}, status=dg.DagsterRunStatus.STARTED)
        return run.run_id

    return create


def test_a_run_is_ended_once_its_rebalance_is_closed_and_not_before(
    ports: Ports, furnish: Callable[..., None], started_run: Callable[[dg.DagsterInstance], str]
) -> None:
    furnish("core")
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = started_run(instance)
        request = RebalanceRequest("core", dry_run=False, triggered_by=TriggeredBy.MANUAL, dagster_run_id=run_id)
        rebalance = start_rebalance(ports, request).stage.rebalance
        assert fail_dead_runs(instance, later(ports, timedelta(hours=1))) == []
        close_rebalance(ports, rebalance)
        assert fail_dead_runs(instance, ports) == []
        assert fail_dead_runs(instance, later(ports, timedelta(minutes=1))) == [run_id]
        ended = instance.get_run_by_id(run_id)
        assert ended is not None
        assert ended.status is dg.DagsterRunStatus.FAILURE


def test_a_run_that_never_began_is_ended_when_no_live_one_would_still_wait(
    ports: Ports, furnish: Callable[..., None], started_run: Callable[[dg.DagsterInstance], str]
) -> None:
    furnish("core")
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = started_run(instance)
        assert fail_dead_runs(instance, later(ports, ports.lease_patience)) == []
        assert fail_dead_runs(instance, later(ports, ports.lease_patience + timedelta(minutes=2))) == [run_id]


def test_a_run_that_stood_in_the_queue_for_an_hour_has_its_time_from_then_on(
    ports: Ports,
    ready_database: str,
    furnish: Callable[..., None],
    started_run: Callable[[dg.DagsterInstance], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    furnish("core")
    with (
        installed_instance(tmp_path, ready_database, monkeypatch) as instance,
        psycopg.connect(ready_database, autocommit=True, options="-c search_path=dagster") as tables,
    ):
        run_id = started_run(instance)
        tables.execute("UPDATE runs SET create_timestamp = create_timestamp - interval '1 hour'")
        assert fail_dead_runs(instance, ports) == []
        tables.execute("UPDATE runs SET update_timestamp = update_timestamp - interval '1 hour'")
        assert fail_dead_runs(instance, ports) == [run_id]


def test_a_run_of_a_deleted_portfolio_is_ended(ports: Ports, started_run: Callable[[dg.DagsterInstance], str]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = started_run(instance)
        assert fail_dead_runs(instance, ports) == [run_id]


def test_a_batch_that_nobody_works_on_is_ended_and_one_that_holds_an_account_is_not(
    ports: Ports, furnish: Callable[..., None], ready_database: str
) -> None:
    furnish("core")
    batch = claim_due(ports)
    assert batch is not None
    job = build_definitions(Rebalancer(database_url=ready_database)).resolve_job_def("rebalance_batch")
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(job, tags={BATCH_TAG: str(batch.id)}, status=dg.DagsterRunStatus.STARTED)
        with ports.transactions() as work:
            lease = work.accounts.take_lease(batch.claims[0].account_id, timedelta(minutes=10))
            work.commit()
        assert lease is not None
        assert fail_dead_runs(instance, later(ports, timedelta(hours=1))) == []
        release_lease(ports, lease)
        assert fail_dead_runs(instance, ports) == []
        assert fail_dead_runs(instance, later(ports, timedelta(minutes=3))) == [run.run_id]


def test_a_batch_whose_claims_have_all_their_outcome_is_left_to_its_end(
    ports: Ports, furnish: Callable[..., None], ready_database: str
) -> None:
    furnish("core")
    batch = claim_due(ports)
    assert batch is not None
    with ports.transactions() as work:
        (claim,) = batch.claims
        end_answered_claims(work, {claim.portfolio_id: claim.scheduled_for}, ports.clock.now())
        work.commit()
    job = build_definitions(Rebalancer(database_url=ready_database)).resolve_job_def("rebalance_batch")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.create_run_for_job(job, tags={BATCH_TAG: str(batch.id)}, status=dg.DagsterRunStatus.STARTED)
        assert fail_dead_runs(instance, later(ports, timedelta(minutes=3))) == []
