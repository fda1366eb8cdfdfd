"""A run of the marts' code location, on a worker that rebalances otherwise."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from rebalancer_pipelines.adapters.analytics.project import AnalyticsProject
from rebalancer_pipelines.analytics_definitions import build_analytics_definitions
from rebalancer_pipelines.orchestration.analytics import Marts
from rebalancer_pipelines.orchestration.instance import ANALYTICS_LOCATION
from tests.support.run_workers import machine
from tests.support.stored import Stored

from .conftest import Installation


def test_a_worker_runs_what_either_location_asks_for(
    installation: Installation, ready_database: str, redis_url: str, stored: Stored, tmp_path: Path
) -> None:
    marts = Marts(database_url=ready_database, data_dir=str(installation.folder))
    manifest = AnalyticsProject(installation.folder).prepared_manifest()
    job = build_analytics_definitions(marts, manifest).resolve_job_def("analytics_build")
    location = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(ANALYTICS_LOCATION), "__repository__")
    run = installation.instance.create_run_for_job(job, remote_job_origin=RemoteJobOrigin(location, job.name))
    installation.furnish("core")
    with machine(tmp_path / "one", ready_database, redis_url) as one:
        rebalance = installation.launch("core")
        installation.wait_for(rebalance)
        installation.instance.launch_run(run.run_id, None)  # type: ignore[arg-type]
        installation.wait_for(run.run_id)
        assert one.has_executed(run.run_id)
    assert installation.run(run.run_id).status is dg.DagsterRunStatus.SUCCESS
    found = stored.rows("SELECT rebalances FROM analytics.rebalance_statistics WHERE portfolio_name = 'core'")
    assert found == [{"rebalances": 1}]
