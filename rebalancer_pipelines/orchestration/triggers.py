"""From claims to runs: what a sensor hands to Dagster, and what it asks Dagster before it claims.

Here: run requests, and the state of runs and schedules as Dagster knows it. Not here: what is due (use case `claims`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import dagster as dg
from cronsim import CronSim

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.claim import ClaimedBatch
from rebalancer_pipelines.orchestration.batch import BATCH_TAG
from rebalancer_pipelines.orchestration.instance import LOCATION
from rebalancer_pipelines.orchestration.scheduler_state import is_running, stored_states
from rebalancer_pipelines.orchestration.schedules import PORTFOLIO_ID_TAG

MOST_BATCHES = 20
"""So many batches one evaluation launches at most; what is left is claimed by the next."""

_LAUNCH_GRACE = timedelta(minutes=1)
"""How long Dagster may take to show the run of a claim before it is launched again."""

_ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


def batch_run(batch: ClaimedBatch) -> dg.RunRequest:
    """The run of a claimed batch. Its key is the batch's, so that Dagster launches it once."""
    return dg.RunRequest(
        run_key=str(batch.id),
        job_name="rebalance_batch",
        run_config={"ops": {"rebalance_portfolios": {"config": {"batch": str(batch.id)}}}},
        tags={BATCH_TAG: str(batch.id), "rebalancer/portfolios": str(len(batch.claims))},
    )


def unfinished_batches(instance: dg.DagsterInstance, ports: Ports) -> list[dg.RunRequest]:
    """Runs for claims that were made and have no outcome, because something was stopped in between.

    A batch without a run is launched under its own key. One whose run has ended gets a new try as a new batch, each
    after a longer pause. One that is waiting or running is left alone.
    """
    now = ports.clock.now()
    with ports.transactions() as work:
        waiting = work.claims.waiting(now - _LAUNCH_GRACE)
    statuses = _newest_statuses(instance, [one.id for one in waiting])
    requests: list[dg.RunRequest] = []
    for one in waiting:
        status = statuses.get(one.id)
        if status is not None and (status not in _ENDED or one.next_try_at > now):
            continue
        with ports.transactions() as work:
            batch = work.claims.of_batch(one.id) if status is None else work.claims.move_to_new_batch(one.id, now)
            work.commit()
        if batch is not None:
            requests.append(batch_run(batch))
        if len(requests) >= MOST_BATCHES:
            break
    return requests


def _newest_statuses(instance: dg.DagsterInstance, batch_ids: Sequence[UUID]) -> dict[UUID, dg.DagsterRunStatus]:
    """What became of each batch's newest run; nothing of a batch that has none."""
    if not batch_ids:
        return {}
    runs = instance.get_runs(dg.RunsFilter(tags={BATCH_TAG: [str(batch_id) for batch_id in batch_ids]}))
    return {UUID(run.tags[BATCH_TAG]): run.status for run in reversed(runs)}


def is_time(cron: str, last_check: str | None, now: datetime) -> bool:
    """Whether the due check's cron line has fired since the last check; without one it is time."""
    if last_check is None:
        return True
    return next_check(cron, datetime.fromisoformat(last_check)) <= now


def next_check(cron: str, after: datetime) -> datetime:
    """When the due check looks again, in UTC."""
    return next(CronSim(cron, after.astimezone(UTC)))


def served_portfolios(
    instance: dg.DagsterInstance, repository: dg.RepositoryDefinition | None
) -> tuple[set[UUID], set[UUID]]:
    """Portfolios whose own schedule runs, and those whose schedule somebody has stopped."""
    if repository is None:
        return set(), set()
    stored = stored_states(instance, LOCATION)
    served: set[UUID] = set()
    withheld: set[UUID] = set()
    for schedule in repository.schedule_defs:
        portfolio_id = schedule.tags.get(PORTFOLIO_ID_TAG)
        if portfolio_id is None:
            continue
        by_default = schedule.default_status is dg.DefaultScheduleStatus.RUNNING
        runs = is_running(stored.get(schedule.name), by_default=by_default)
        (served if runs else withheld).add(UUID(portfolio_id))
    return served, withheld
