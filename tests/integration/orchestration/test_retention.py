"""Old runs leave Dagster's storage; what runs, what the asset pages show, and our own history stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from rebalancer_pipelines.definitions import build_definitions
from rebalancer_pipelines.orchestration.partitions import PORTFOLIOS
from rebalancer_pipelines.orchestration.resources import Rebalancer
from rebalancer_pipelines.orchestration.retention import Pruned, prune_event_log
from tests.support.dagster_home import installed_instance
from tests.support.stored import Stored

from .conftest import Launcher
from .test_rebalance_job import ASSETS

MONTH = timedelta(days=30)
_OF_RUNS = ("runs", "run_tags", "event_logs", "asset_check_executions")


@pytest.fixture
def instance(ready_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    with installed_instance(tmp_path, ready_database, monkeypatch) as opened:
        yield opened


@pytest.fixture
def tables(ready_database: str, instance: dg.DagsterInstance) -> Iterator[psycopg.Connection]:
    """Dagster's tables."""
    with psycopg.connect(ready_database, autocommit=True, options="-c search_path=dagster") as connection:
        yield connection


def prune(instance: dg.DagsterInstance, **options: Any) -> Pruned:
    return prune_event_log(instance, older_than=MONTH, now=datetime.now(UTC), **options)


def age(tables: psycopg.Connection) -> None:
    """All runs there are become 31 days old."""
    tables.execute("UPDATE runs SET update_timestamp = update_timestamp - interval '31 days'")


def runs_in(tables: psycopg.Connection, table: str) -> set[str]:
    return {row[0] for row in tables.execute(f"SELECT DISTINCT run_id FROM {table}")}  # type: ignore[arg-type]


def add_empty_runs(tables: psycopg.Connection, number: int, backfill: str | None = None) -> None:
    tables.execute(
        "INSERT INTO runs (run_id, pipeline_name, status, run_body, update_timestamp, backfill_id) "
        "SELECT gen_random_uuid(), 'rebalance', 'SUCCESS', '', now() - interval '31 days', %s "
        "FROM generate_series(1, %s)",
        (backfill, number),
    )


def test_old_runs_go_and_the_newest_of_every_portfolio_stay(
    instance: dg.DagsterInstance,
    tables: psycopg.Connection,
    furnish: Callable[..., None],
    ready_database: str,
    stored: Stored,
    tmp_path: Path,
) -> None:
    furnish("core", "side")
    launch = Launcher(ready_database, instance)
    old = [launch("core").run_id, launch("core").run_id]
    newest = [launch("core").run_id, launch("side").run_id, launch("nobody").run_id]
    unfinished = instance.create_run_for_job(
        build_definitions(Rebalancer(database_url=ready_database)).resolve_job_def("rebalance"),
        status=dg.DagsterRunStatus.STARTED,
    ).run_id
    age(tables)
    young = launch("side", dry_run=True).run_id
    newest.remove(instance.get_runs(dg.RunsFilter(tags={"dagster/partition": "side"}))[-1].run_id)
    old_side = runs_in(tables, "runs") - {*old, *newest, unfinished, young}
    before = _shown(instance)
    ours = stored.everything()

    told: list[tuple[int, int]] = []
    assert prune(instance, dry_run=True).runs == 3
    assert runs_in(tables, "runs") == {*old, *old_side, *newest, unfinished, young}
    pruned = prune(instance, progress=lambda done, of: told.append((done, of)))

    assert (pruned.runs, pruned.kept) == (3, 2)
    assert pruned.events > 100
    assert told == [(5, 5)]
    for table in _OF_RUNS:
        assert runs_in(tables, table) - {""} <= {*newest, unfinished, young}, table
    assert runs_in(tables, "runs") == {*newest, unfinished, young}
    dangling = "SELECT count(*) FROM asset_event_tags WHERE event_id NOT IN (SELECT id FROM event_logs)"
    assert tables.execute(dangling).fetchone() == (0,)
    logs = {path.name for path in (tmp_path / "dagster" / "storage").iterdir()}
    assert not logs & {*old, *old_side}
    assert logs >= {newest[0], young}
    assert _shown(instance) == before
    assert stored.everything() == ours
    assert prune(instance) == Pruned(0, 0, 2)


def test_a_prune_that_is_stopped_has_done_what_it_has_done(
    instance: dg.DagsterInstance, tables: psycopg.Connection
) -> None:
    add_empty_runs(tables, 450)

    def stop(_done: int, _of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune(instance, progress=stop)
    assert len(runs_in(tables, "runs")) == 250
    told: list[tuple[int, int]] = []
    assert prune(instance, progress=lambda done, of: told.append((done, of))).runs == 250
    assert told == [(200, 250), (250, 250)]


def test_runs_that_another_prune_is_at_are_left_to_it(instance: dg.DagsterInstance, tables: psycopg.Connection) -> None:
    add_empty_runs(tables, 3)
    with tables.transaction():
        tables.execute("SELECT * FROM runs ORDER BY id LIMIT 1 FOR UPDATE")
        assert prune(instance).runs == 2
    assert prune(instance).runs == 1


def test_runs_of_a_backfill_stay_until_it_has_ended(instance: dg.DagsterInstance, tables: psycopg.Connection) -> None:
    add_empty_runs(tables, 2, backfill="under-way")
    tables.execute("INSERT INTO bulk_actions (key, status, timestamp) VALUES ('under-way', 'REQUESTED', now())")
    assert prune(instance).runs == 0
    tables.execute("UPDATE bulk_actions SET status = 'COMPLETED_SUCCESS'")
    assert prune(instance).runs == 2


def test_the_job_prunes_by_the_setting(
    instance: dg.DagsterInstance, tables: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, ready_database: str
) -> None:
    job = build_definitions(Rebalancer(database_url=ready_database)).resolve_job_def("prune_event_log")
    add_empty_runs(tables, 2)
    for days, left in (("32", 2), ("31", 0)):
        monkeypatch.setenv("EVENT_LOG_DAYS", days)
        assert job.execute_in_process(instance=instance).success
        assert instance.get_runs_count(dg.RunsFilter(job_name="rebalance")) == left
    monkeypatch.setenv("EVENT_LOG_DAYS", "a month")
    failed = job.execute_in_process(instance=instance, raise_on_error=False)
    (failure,) = [event.step_failure_data for event in failed.get_step_failure_events()]
    assert failure.user_failure_data is not None
    assert failure.user_failure_data.description == ("EVENT_LOG_DAYS: 'a month' must be a whole number from 1 to 3650")


def _shown(instance: dg.DagsterInstance) -> Any:
    """What the asset pages know of every portfolio."""
    names = ["core", "side", "nobody"]
    partitions = {a: instance.get_status_by_partition(dg.AssetKey(a), names, PORTFOLIOS) for a in ASSETS}
    newest = {
        (asset, name): instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[name]), limit=1
        ).records
        for asset in ASSETS
        for name in names
    }
    check = dg.AssetCheckKey(dg.AssetKey("rebalance_history"), "rebalance_succeeded")
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key([check])
    return partitions, newest, records[check].status
