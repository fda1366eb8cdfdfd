"""An installation that sends its runs to workers: its own folder, PostgreSQL and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.adapters.embedded.services import running_services
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.definitions import defs
from rebalancer_pipelines.domain.claim import ClaimedBatch
from rebalancer_pipelines.domain.values import Currency
from rebalancer_pipelines.orchestration.run_queue import RUN_TASK, queue_app, queue_name
from rebalancer_pipelines.orchestration.sensors import sync_partitions
from rebalancer_pipelines.orchestration.triggers import batch_run
from tests.support.dagster_home import installed_instance
from tests.support.paper_account import open_paper_account
from tests.support.stored import MORNING, Stored

_RUN_SECONDS = 90


@dataclass
class Installation:
    folder: Path
    instance: dg.DagsterInstance
    ports: Ports
    redis_url: str

    def furnish(self, *names: str) -> None:
        """A paper account with one portfolio for each name; a silent worker loses it after three seconds."""
        for name in names:
            open_paper_account(self.ports, {Currency("EUR"): Decimal(1000)}, name=name, settings={"lease_seconds": "3"})
            fields = {"name": name, "account": name, "weights": "BTC=50,ETH=30,EUR=20", "enabled": True}
            create_portfolio(self.ports, fields, allocations={Currency("EUR"): Decimal(1000)})
        sync_partitions(self.instance, {*names, *self.instance.get_dynamic_partitions("portfolio")})

    def create(self, portfolio: str) -> str:
        """A run of the job `rebalance`; returns its id."""
        run = self.instance.create_run_for_job(defs.resolve_job_def("rebalance"), tags={"dagster/partition": portfolio})
        return run.run_id

    def launch(self, portfolio: str) -> str:
        """Send such a run to the workers."""
        run_id = self.create(portfolio)
        self.instance.launch_run(run_id, None)  # type: ignore[arg-type]
        return run_id

    def launch_batch(self, batch: ClaimedBatch) -> str:
        """Send the run of a claimed batch to the workers."""
        request = batch_run(batch)
        job = defs.resolve_job_def("rebalance_batch")
        run = self.instance.create_run_for_job(job, run_config=request.run_config, tags=request.tags)
        self.instance.launch_run(run.run_id, None)  # type: ignore[arg-type]
        return run.run_id

    def hand_out_again(self, run_id: str) -> None:
        """As a Redis does that has not heard in time that a worker has taken it."""
        queue_app(self.redis_url).send_task(RUN_TASK, (run_id,), queue=queue_name(self.instance))

    def times_left_alone(self, run_id: str) -> int:
        """How often a worker was given the run that was not to be executed any more."""
        return sum("leaves it alone" in message for message in self.messages(run_id))

    def messages(self, run_id: str) -> list[str]:
        """What the run's log says."""
        events = [entry.dagster_event for entry in self.instance.all_logs(run_id)]
        return [event.message or "" for event in events if event]

    def run(self, run_id: str) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(run_id)
        assert found is not None
        return found

    def wait_for(self, *run_ids: str) -> None:
        """Wait until runs have ended."""
        ended = wait_until(lambda: all(self.run(run_id).is_finished for run_id in run_ids), _RUN_SECONDS)
        assert ended, [self.run(run_id).status for run_id in run_ids]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_services(tmp_path_factory.mktemp("redis"), database_url="postgresql://nobody/none") as services:
        assert services.redis_url is not None
        yield services.redis_url


@pytest.fixture
def installation(
    ready_database: str,
    redis_url: str,
    ports: Ports,
    stored: Stored,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Installation]:
    stored.show_recording(MORNING)
    folder = tmp_path / "installation"
    with installed_instance(folder, ready_database, monkeypatch, workers_over=redis_url) as instance:
        yield Installation(folder, instance, ports, redis_url)
