"""Dagster delivers the messages and asks for the daily digest; a notifier that hangs holds up no run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest

from rebalancer_pipelines.definitions import build_definitions
from rebalancer_pipelines.orchestration.daily_digest import daily_digest
from rebalancer_pipelines.orchestration.notification_sensor import notifications
from rebalancer_pipelines.orchestration.resources import Rebalancer
from tests.support.listener import Listener, listening
from tests.support.stored import Stored

from .conftest import Launcher


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    with listening() as opened:
        monkeypatch.setenv("NOTIFY_URLS", opened.url())
        monkeypatch.setenv("NOTIFY_KINDS", "rebalanced denied digest")
        yield opened


def deliver(database_url: str) -> str:
    resource = Rebalancer(database_url=database_url)
    with dg.build_sensor_context(resources={"rebalancer": resource}) as context:
        told = notifications(context)
    assert isinstance(told, dg.SkipReason)
    return told.skip_message or ""


def test_a_run_is_told_and_a_listener_that_hangs_does_not_hold_it_up(
    listener: Listener, launch: Launcher, furnish: Callable[..., None], ready_database: str, stored: Stored
) -> None:
    furnish("core")
    listener.answers.clear()
    assert launch("core").success
    assert listener.asked == 0
    listener.answers.set()
    assert deliver(ready_database) == "1 delivered"
    assert listener.titles == ["core rebalanced (play money)"]
    assert stored.row("SELECT sent_at IS NOT NULL AS sent FROM notification")["sent"]


def test_what_cannot_be_delivered_is_said_without_a_secret(
    listener: Listener, launch: Launcher, furnish: Callable[..., None], ready_database: str
) -> None:
    furnish("core")
    launch("core")
    listener.status = 403
    assert deliver(ready_database) == "0 delivered; URL 1 (json) refused the message or cannot be reached"


def test_nothing_is_done_where_nobody_is_told(ready_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_URLS", raising=False)
    assert deliver(ready_database) == "nobody is told: NOTIFY_URLS is not set"


def test_the_digest_is_due_at_eight_and_told_by_its_job(
    listener: Listener, furnish: Callable[..., None], ready_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish("core")
    definitions = build_definitions(Rebalancer(database_url=ready_database))

    def asked() -> dg.RunRequest | dg.SkipReason:
        resource = Rebalancer(database_url=ready_database)
        with dg.build_schedule_context(resources={"rebalancer": resource}) as context:
            return daily_digest(context)

    assert daily_digest.cron_schedule == "0 8 * * *"
    assert isinstance(asked(), dg.RunRequest)
    with dg.DagsterInstance.ephemeral() as instance:
        run_config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        job = definitions.resolve_job_def("daily_digest")
        assert job.execute_in_process(instance=instance, run_config=run_config).success
    assert deliver(ready_database) == "1 delivered"
    (message,) = listener.messages
    assert message["title"].startswith("24 hours: 1 portfolios, ")
    assert f"{datetime.now(UTC):%Y-%m-%d}" in message["message"]

    monkeypatch.setenv("NOTIFY_KINDS", "denied")
    assert isinstance(asked(), dg.SkipReason)


def test_all_of_it_runs_by_itself() -> None:
    definitions = build_definitions(Rebalancer(database_url="postgresql://127.0.0.1:1/none"))
    repository = definitions.get_repository_def()
    assert repository.get_sensor_def("notifications").default_status is dg.DefaultSensorStatus.RUNNING
    assert repository.get_schedule_def("daily_digest").default_status is dg.DefaultScheduleStatus.RUNNING
