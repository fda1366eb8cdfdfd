"""Retention of Dagster's event log: what old runs leave is deleted after a while.

Here: which of Dagster's rows may go, and their deletion. Not here: our own tables; the history of rebalances stays.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEventType
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs.schema import BulkActionsTable, RunsTable
from dagster_postgres import PostgresEventLogStorage
from sqlalchemy import Connection, delete, func, select, tuple_

from rebalancer_pipelines.domain.errors import RebalancerError

_BATCH_RUNS = 200
"""A transaction's worth: some 13,000 events."""

_SHOWN_OF_ASSETS = [
    DagsterEventType.ASSET_MATERIALIZATION.value,
    DagsterEventType.ASSET_OBSERVATION.value,
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
]
"""The newest of each kind tells an asset's pages what a partition is like: made, or planned and failed."""

Progress = Callable[[int, int], None]
"""Is told how many old runs were looked at, and how many there are."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted, or would be. `kept`: old runs that stay, since the asset pages show what they made."""

    runs: int
    events: int
    kept: int


def prune_event_log(
    instance: dg.DagsterInstance,
    *,
    older_than: timedelta,
    now: datetime,
    dry_run: bool = False,
    progress: Progress = lambda _done, _of: None,
) -> Pruned:
    """Delete finished runs that have not changed for so long, with their events, checks and logs.

    A batch of runs is one transaction, so a prune that is stopped has done what it has done, and the next one goes on.
    Runs that another prune is at are left to it. Runs of a backfill that is under way stay.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, PostgresEventLogStorage):
        raise RebalancerError("only Dagster's storage in PostgreSQL can be pruned; see storage in dagster.yaml")
    # Dagster writes this column in UTC, without saying so.
    before = (now - older_than).astimezone(UTC).replace(tzinfo=None)
    with storage.index_connection() as connection:
        total = connection.execute(select(func.count()).select_from(_old_runs(before).subquery())).scalar_one()
        shown = _shown_runs(connection)
        checks = _checks(connection)
    done, deleted, events, last = 0, 0, 0, 0
    while True:
        with storage.index_transaction() as connection:
            batch = _old_runs(before).where(RunsTable.c.id > last).order_by(RunsTable.c.id).limit(_BATCH_RUNS)
            rows = connection.execute(batch if dry_run else batch.with_for_update(of=RunsTable, skip_locked=True)).all()
            if not rows:
                return Pruned(deleted, events, done - deleted)
            going = [row.run_id for row in rows if row.run_id not in shown]
            if dry_run:
                events += _count_events(connection, going)
            else:
                # Files take no part in the transaction: a prune that is stopped after it would leave them for ever.
                _delete_logs(instance, going)
                events += _delete(connection, going, checks)
        last, done, deleted = rows[-1].id, done + len(rows), deleted + len(going)
        progress(done, total)


def _old_runs(before: datetime) -> Any:
    under_way = select(BulkActionsTable.c.key).where(
        BulkActionsTable.c.status.not_in([status.value for status in BULK_ACTION_TERMINAL_STATUSES])
    )
    return select(RunsTable.c.id, RunsTable.c.run_id).where(
        RunsTable.c.status.in_([status.value for status in FINISHED_STATUSES]),
        RunsTable.c.update_timestamp < before,
        RunsTable.c.backfill_id.is_(None) | RunsTable.c.backfill_id.not_in(under_way),
    )


def _shown_runs(connection: Connection) -> set[str]:
    """The runs of the newest event and the newest check of every partition. Later ones only make some of them older."""
    events, checks = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c
    newest_events = (
        select(func.max(events.id))
        .where(events.asset_key.is_not(None), events.dagster_event_type.in_(_SHOWN_OF_ASSETS))
        .group_by(events.asset_key, events.dagster_event_type, events.partition)
    )
    newest_checks = select(func.max(checks.id)).group_by(checks.asset_key, checks.check_name, checks.partition)
    runs = (
        select(events.run_id)
        .where(events.id.in_(newest_events))
        .union(select(checks.run_id).where(checks.id.in_(newest_checks)))
    )
    return set(connection.execute(runs).scalars())


def _checks(connection: Connection) -> list[tuple[str, str]]:
    checks = AssetCheckExecutionsTable.c
    return [
        (row.asset_key, row.check_name)
        for row in connection.execute(select(checks.asset_key, checks.check_name).distinct())
    ]


def _count_events(connection: Connection, runs: list[str]) -> int:
    statement = select(func.count()).where(SqlEventLogStorageTable.c.run_id.in_(runs))
    return connection.execute(statement).scalar_one()


def _delete(connection: Connection, runs: list[str], checks: Iterable[tuple[str, str]]) -> int:
    """Delete these runs with all that is theirs; returns how many events that were."""
    events, executions, tags = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c, AssetEventTagsTable.c
    with_tags = select(events.id).where(events.run_id.in_(runs), events.dagster_event_type.in_(_SHOWN_OF_ASSETS))
    connection.execute(delete(AssetEventTagsTable).where(tags.event_id.in_(with_tags)))
    # Naming the checks lets the index serve, which begins with them.
    connection.execute(
        delete(AssetCheckExecutionsTable).where(
            tuple_(executions.asset_key, executions.check_name).in_(list(checks)), executions.run_id.in_(runs)
        )
    )
    deleted = connection.execute(delete(SqlEventLogStorageTable).where(events.run_id.in_(runs))).rowcount
    # Their tags go with them.
    connection.execute(delete(RunsTable).where(RunsTable.c.run_id.in_(runs)))
    return deleted


def _delete_logs(instance: dg.DagsterInstance, runs: Iterable[str]) -> None:
    for run in runs:
        instance.compute_log_manager.delete_logs(prefix=[run])
