"""The daily pruning of the event log.

Here: the job and its schedule. Not here: what may go (`retention`).
"""

from datetime import UTC, datetime

import dagster as dg

from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.domain.errors import RebalancerError
from rebalancer_pipelines.orchestration.retention import prune_event_log as prune


@dg.op(description="Deletes old runs and their events; the number of days is the setting EVENT_LOG_DAYS.")
def delete_old_runs(context: dg.OpExecutionContext) -> None:
    """Prune with the environment's setting."""
    try:
        pruned = prune(context.instance, older_than=Settings().event_log_retention, now=datetime.now(UTC))
    except RebalancerError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    context.log.info(f"{pruned.runs} runs with {pruned.events} events were deleted; {pruned.kept} old ones are shown")


@dg.job(
    executor_def=dg.in_process_executor,
    tags={"dagster/max_retries": "0"},
    description="Keeps Dagster's event log from growing for ever; the history of rebalances stays.",
)
def prune_event_log() -> None:
    """The job."""
    delete_old_runs()


@dg.schedule(
    job=prune_event_log,
    cron_schedule="17 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Prunes the event log every night.",
)
def prune_event_log_daily() -> dg.RunRequest:
    """Every night."""
    return dg.RunRequest()
