"""Dagster runs whose process is gone.

Here: telling Dagster that such a run has ended, so that it neither shows as running nor takes a place in the queue. Not
here: what became of its orders and its history row; recovery settles those first.
"""

from datetime import timedelta
from uuid import UUID

import dagster as dg

from rebalancer_pipelines.application.batch.run_batch import is_left_behind
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.errors import NotFoundError
from rebalancer_pipelines.domain.rebalance import RebalanceStatus
from rebalancer_pipelines.orchestration.batch import BATCH_TAG
from rebalancer_pipelines.orchestration.jobs import REBALANCE_ASSETS, rebalance, rebalance_batch

_UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_PARTITION_TAG = "dagster/partition"
_START_MARGIN = timedelta(seconds=60)
_QUIET_MARGIN = timedelta(seconds=120)
"""A live batch holds one of its accounts nearly all the time; this is longer than it ever takes to get to the next."""

_END_MARGIN = timedelta(seconds=30)
"""A live run needs a moment between closing its rebalance and telling Dagster that it has ended."""


def fail_dead_runs(instance: dg.DagsterInstance, ports: Ports) -> list[str]:
    """Mark as failed every unfinished run that can make no more progress; returns their ids."""
    records = instance.get_run_records(filters=dg.RunsFilter(statuses=_UNFINISHED))
    dead = [record for record in records if _is_dead(ports, record)]
    for record in dead:
        instance.report_run_failed(
            record.dagster_run, "The program was stopped during this run; its rebalance was settled afterwards."
        )
    return [record.dagster_run.run_id for record in dead]


def _is_dead(ports: Ports, record: dg.RunRecord) -> bool:
    if not _rebalances(record.dagster_run):
        return False
    now = ports.clock.now()
    batch = record.dagster_run.tags.get(BATCH_TAG)
    portfolio = record.dagster_run.tags.get(_PARTITION_TAG)
    if portfolio is None:
        quiet_for = now - record.update_timestamp
        return batch is not None and quiet_for > _QUIET_MARGIN and is_left_behind(ports, UUID(batch))
    try:
        with ports.transactions() as work:
            rebalance = work.rebalances.of_run(record.dagster_run.run_id, work.portfolios.get(portfolio).id)
    except NotFoundError:
        return True
    if rebalance is None:
        # It has not begun: a live run waits for its account no longer than the patience for the lease. That counts from
        # when it was sent or taken up; before, it may have stood in Dagster's queue for hours.
        return now - record.update_timestamp > ports.lease_patience + _START_MARGIN
    return (
        rebalance.status is RebalanceStatus.FINISHED
        and rebalance.finished_at is not None
        and now - rebalance.finished_at > _END_MARGIN
    )


def _rebalances(run: dg.DagsterRun) -> bool:
    """Whether it is one of ours that hold accounts; other runs may have partitions that are no portfolios."""
    selected = run.asset_selection or ()
    return run.job_name in {rebalance.name, rebalance_batch.name} or dg.AssetKey(REBALANCE_ASSETS[0]) in selected
