"""Schedules and sensors as Dagster evaluates them, and the runs that they ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.schedule_definition import ScheduleExecutionData
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
)
from dagster._serdes import serialize_value

from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.application.claims import claim_due
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.definitions import build_definitions
from rebalancer_pipelines.domain.portfolio import Portfolio
from rebalancer_pipelines.orchestration.batch import BATCH_TAG
from rebalancer_pipelines.orchestration.instance import LOCATION
from rebalancer_pipelines.orchestration.resources import Rebalancer
from rebalancer_pipelines.orchestration.schedules import stored_rhythms
from rebalancer_pipelines.orchestration.sensors import sync_partitions
from rebalancer_pipelines.orchestration.storage import serialized
from tests.support.automation import create_enabled
from tests.support.dagster_home import installed_instance
from tests.support.running_clock import RunningClock
from tests.support.stored import MORNING, Stored

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Installation:
    """The definitions over what is stored now, on an instance whose storage is the database."""

    def __init__(self, ports: Ports, instance: dg.DagsterInstance, database_url: str) -> None:
        self.ports = ports
        self.instance = instance
        self.database_url = database_url
        self.load()

    def load(self) -> None:
        """Reload the code location."""
        self.resource = Rebalancer(database_url=self.database_url)
        definitions = build_definitions(self.resource, stored_rhythms(self.database_url))
        self._repository = definitions.get_repository_def()
        with self.ports.transactions() as work:
            sync_partitions(self.instance, [portfolio.name for portfolio in work.portfolios.all()])

    def sense(self, sensor: str, cursor: str | None = None) -> SensorExecutionData:
        with dg.build_sensor_context(
            self.instance,
            cursor,
            resources={"rebalancer": self.resource},
            repository_def=self._repository,
            sensor_name=sensor,
        ) as context:
            return self._repository.get_sensor_def(sensor).evaluate_tick(context)

    def wake(self, schedule: str) -> ScheduleExecutionData:
        with dg.build_schedule_context(
            self.instance, datetime.now(UTC), resources={"rebalancer": self.resource}, repository_def=self._repository
        ) as context:
            return self._repository.get_schedule_def(schedule).evaluate_tick(context)

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """A run as Dagster launches it for a request."""
        job = self._repository.get_job(request.job_name or "rebalance")
        return job.execute_in_process(
            instance=self.instance,
            run_config={**request.run_config, **QUIET},
            tags=dict(request.tags),
            partition_key=request.partition_key,
            raise_on_error=False,
        )

    def set_schedule(self, name: str, status: InstigatorStatus) -> None:
        """What a click on the schedule's switch stores."""
        origin = RemoteInstigatorOrigin(
            RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), "__repository__"), name
        )
        state = InstigatorState(origin, InstigatorType.SCHEDULE, status, ScheduleInstigatorData("0 0 * * *"))
        self.instance.add_instigator_state(state)


@pytest.fixture
def installation(
    ports: Ports, ready_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    with installed_instance(tmp_path, ready_database, monkeypatch) as instance:
        yield Installation(ports, instance, ready_database)


Furnish = Callable[..., list[Portfolio]]


@pytest.fixture
def furnish(installation: Installation, stored: Stored) -> Furnish:
    stored.show_recording(MORNING)

    def create(*names: str, **fields: Any) -> list[Portfolio]:
        portfolios = create_enabled(installation.ports, *names, **fields)
        installation.load()
        return portfolios

    return create


def batches(told: SensorExecutionData) -> list[str]:
    return [request.tags[BATCH_TAG] for request in told.run_requests or []]


def test_a_schedule_asks_for_the_run_of_its_portfolio_and_that_answers_the_due_time(
    installation: Installation, furnish: Furnish, stored: Stored
) -> None:
    (portfolio,) = furnish("core")
    told = installation.wake("rebalance_core")
    assert told.run_requests is not None
    (request,) = told.run_requests
    (claim,) = stored.open_claims()
    assert (request.run_key, request.partition_key) == (str(claim["batch_id"]), "core")
    assert installation.wake("rebalance_core").skip_message == "not due, paused, or taken up already"
    assert batches(installation.sense("due_portfolios")) == []
    assert installation.run(request).success
    (row,) = stored.history("core")
    assert (row["success"], row["triggered_by"], row["scheduled_for"]) == (True, "scheduler", claim["scheduled_for"])
    assert row["scheduled_for"] == portfolio.next_rebalance_at
    assert stored.open_claims() == []


def test_a_schedule_that_claims_and_cannot_launch_leaves_the_claim_to_the_due_check(
    installation: Installation, furnish: Furnish, stored: Stored
) -> None:
    furnish("core")
    installation.instance.delete_dynamic_partition("portfolio", "core")
    with pytest.raises(dg.DagsterUnknownPartitionError):
        installation.wake("rebalance_core")
    stored.change("UPDATE portfolio_due SET claimed_at = claimed_at - interval '2 minutes'")
    told = installation.sense("due_portfolios")
    assert told.run_requests is not None
    (request,) = told.run_requests
    assert installation.run(request).success
    (row,) = stored.history("core")
    assert (row["success"], row["triggered_by"]) == (True, "scheduler")


def test_one_batch_shows_every_portfolio_with_its_checks_beside_one_that_fails(
    installation: Installation, furnish: Furnish, stored: Stored
) -> None:
    furnish("good", "fine")
    create_enabled(installation.ports, "halted", account="halted")
    installation.load()
    stored.change("UPDATE account SET trading_state = 'halted', trading_state_reason = 'x' WHERE name = 'halted'")
    stored.change("UPDATE portfolio_due SET next_rebalance_at = next_rebalance_at - interval '6 minutes'")
    told = installation.sense("due_portfolios")
    assert told.run_requests is not None
    (request,) = told.run_requests
    assert request.tags["rebalancer/portfolios"] == "3"
    result = installation.run(request)
    assert result.success
    logged = installation.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    verdicts = [entry.get_dagster_event().asset_check_evaluation_data for entry in logged]
    succeeded = {found.partition: found.passed for found in verdicts if found.check_name == "rebalance_succeeded"}
    assert succeeded == {"good": True, "fine": True, "halted": False}
    assert sorted(str(found.partition) for found in verdicts if "drift" in found.check_name) == ["fine", "good"]
    asset = dg.AssetKey("rebalance_history")
    made = installation.instance.fetch_materializations(asset, limit=10).records
    assert {record.partition_key: record.run_id for record in made} == dict.fromkeys(
        ("good", "fine", "halted"), result.run_id
    )
    stored_checks = installation.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(asset, "rebalance_succeeded"), limit=10
    )
    assert len(stored_checks) == 3
    told_of = [e for e in installation.instance.all_logs(result.run_id) if e.is_dagster_event]
    assert serialized(told_of) == [serialize_value(entry) for entry in told_of]
    assert stored.history("halted")[0]["errors"][0]["code"] == "ACCOUNT_HALTED"
    assert batches(installation.sense("due_portfolios", told.cursor)) == []


def test_a_run_of_a_batch_that_is_answered_has_nothing_to_do(
    installation: Installation, furnish: Furnish, stored: Stored
) -> None:
    furnish("core")
    stored.change("UPDATE portfolio_due SET next_rebalance_at = next_rebalance_at - interval '6 minutes'")
    told = installation.sense("due_portfolios")
    assert told.run_requests is not None
    (request,) = told.run_requests
    assert [installation.run(request).success for _ in range(2)] == [True, True]
    assert len(stored.history("core")) == 1
    assert installation.sense("due_portfolios").skip_message == "nothing is due"


@pytest.mark.parametrize("evaluated", ["due_portfolios", "drifted_portfolios", "rebalance_core"])
def test_nothing_is_claimed_while_the_master_switch_is_off(
    installation: Installation,
    furnish: Furnish,
    stored: Stored,
    monkeypatch: pytest.MonkeyPatch,
    evaluated: str,
) -> None:
    furnish("core", band="0.01")
    monkeypatch.setenv("SCHEDULER_ENABLED", "false")
    told = installation.wake(evaluated) if evaluated == "rebalance_core" else installation.sense(evaluated)
    assert told.skip_message == "SCHEDULER_ENABLED is false"
    assert not told.run_requests
    assert stored.open_claims() == []


def test_the_due_check_runs_when_its_line_fires_and_then_only(
    installation: Installation, furnish: Furnish, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish("core")
    stored.change("UPDATE portfolio_due SET next_rebalance_at = next_rebalance_at - interval '6 minutes'")
    monkeypatch.setenv("SCHEDULER_CHECK_INTERVAL", "0 0 1 1 *")
    checked = datetime.now(UTC).isoformat()
    waiting = installation.sense("due_portfolios", checked)
    assert (batches(waiting), waiting.cursor) == ([], checked)
    monkeypatch.setenv("SCHEDULER_CHECK_INTERVAL", "* * * * *")
    a_minute_ago = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    told = installation.sense("due_portfolios", a_minute_ago)
    assert len(batches(told)) == 1
    assert told.cursor is not None
    assert datetime.fromisoformat(told.cursor) >= datetime.fromisoformat(checked)


def test_spaces_around_the_fields_of_the_line_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDULER_CHECK_INTERVAL", "  */30  *  * * * ")
    assert Settings().check_cron == "*/30 * * * *"


def test_a_running_schedule_serves_its_portfolio_and_a_stopped_one_withholds_it(
    installation: Installation, furnish: Furnish, stored: Stored
) -> None:
    furnish("started", "stopped", "served")
    assert batches(installation.sense("due_portfolios")) == [], "each has a schedule that runs by default"
    installation.set_schedule("rebalance_stopped", InstigatorStatus.STOPPED)
    installation.set_schedule("rebalance_started", InstigatorStatus.RUNNING)
    stored.change("UPDATE portfolio_due SET next_rebalance_at = next_rebalance_at - interval '4 minutes'")
    assert batches(installation.sense("due_portfolios")) == []
    stored.change("UPDATE portfolio_due SET next_rebalance_at = next_rebalance_at - interval '70 seconds'")
    assert len(batches(installation.sense("due_portfolios"))) == 1
    assert [claim["name"] for claim in stored.open_claims()] == ["served", "started"]


def test_a_portfolio_without_a_schedule_is_taken_at_once(
    installation: Installation, furnish: Furnish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEDULER_SCHEDULES", "1")
    furnish("served", "free")
    told = installation.sense("due_portfolios")
    assert told.run_requests is not None
    assert [request.tags["rebalancer/portfolios"] for request in told.run_requests] == ["1"]


def test_a_drifted_portfolio_is_rebalanced_between_its_due_times(
    installation: Installation, furnish: Furnish, stored: Stored
) -> None:
    furnish("core", band="5")
    stored.change("UPDATE portfolio_due SET next_rebalance_at = now() + interval '10 days'")
    told = installation.sense("drifted_portfolios")
    assert told.run_requests is not None
    (request,) = told.run_requests
    assert installation.run(request).success
    (row,) = stored.history("core")
    assert (row["success"], row["triggered_by"], row["orders_executed"]) == (True, "sensor", 2)
    assert installation.sense("drifted_portfolios").skip_message == "nothing has left its band"


def test_a_market_that_moved_is_seen_in_the_recording(
    installation: Installation, furnish: Furnish, stored: Stored
) -> None:
    furnish("core", band="3", weights="BTC=50,EUR=50")
    own = claim_due(installation.ports)
    assert own is not None
    due = installation.sense("drifted_portfolios")
    assert due.skip_message == "nothing has left its band", "it is claimed for its due time"
    stored.change("UPDATE portfolio_due SET claimed_at = claimed_at - interval '2 minutes'")
    told = installation.sense("due_portfolios")
    assert told.run_requests is not None
    assert installation.run(told.run_requests[0]).success
    stored.change("UPDATE portfolio SET last_rebalanced_at = last_rebalanced_at - interval '2 hours'")
    assert installation.sense("drifted_portfolios").skip_message == "nothing has left its band"
    stored.show_recording(datetime(2019, 5, 14, 9, 30, tzinfo=UTC))
    told = installation.sense("drifted_portfolios")
    assert len(batches(told)) == 1


class LateRebalancer(Rebalancer):
    """The ports on a clock that is an hour late."""

    @contextmanager
    def ports(self) -> Iterator[Ports]:
        with super().ports() as ports:
            clock = RunningClock()
            clock.pass_time(-timedelta(hours=1))
            yield replace(ports, clock=clock)


def test_a_clock_that_is_off_fails_the_due_check(
    installation: Installation, furnish: Furnish, ready_database: str, stored: Stored
) -> None:
    furnish("core")
    installation.resource = LateRebalancer(database_url=ready_database)
    with pytest.raises(dg.Failure, match=r"this machine's clock is 3600 s behind the database's") as failed:
        installation.sense("due_portfolios")
    assert failed.value.allow_retries is False
    assert stored.open_claims() == []
