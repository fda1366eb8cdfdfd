"""The daily digest: its job, and the hour at which it runs.

Here: schedule and job. Not here: what the message says (`application/daily_digest`), or who is sent it.
"""

import dagster as dg

from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.application.daily_digest import digest_wanted, tell_daily_digest
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.orchestration.resources import Rebalancer


def _time_zone() -> str:
    """The zone of `NOTIFY_TIME_ZONE`. `up` and `doctor` refuse a wrong one; definitions must load whatever it says."""
    try:
        return Settings().digest_zone.key
    except InvalidInputError:
        return "UTC"


@dg.op(description="Stores one message on the last 24 hours of every portfolio; the sensor 'notifications' sends it.")
def tell_digest(context: dg.OpExecutionContext, rebalancer: Rebalancer) -> None:
    """Tell of the last 24 hours."""
    with rebalancer.ports() as ports:
        told = tell_daily_digest(ports)
    context.log.info("stored for delivery" if told else "nobody wants a digest: NOTIFY_URLS or NOTIFY_KINDS says so")


@dg.job(
    name="daily_digest",
    description="One message on the last 24 hours: values, changes, rebalances, fees, and what stands still.",
    tags={"dagster/max_retries": "0"},
    executor_def=dg.in_process_executor,
)
def daily_digest_job() -> None:
    """Tell of the last 24 hours."""
    tell_digest()


@dg.schedule(
    cron_schedule="0 8 * * *",
    name="daily_digest",
    job=daily_digest_job,
    execution_timezone=_time_zone(),
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="At 08:00 in NOTIFY_TIME_ZONE (default: UTC), where anybody is to be told.",
)
def daily_digest(context: dg.ScheduleEvaluationContext, rebalancer: Rebalancer) -> dg.RunRequest | dg.SkipReason:
    """Launch the job unless nobody wants a digest."""
    del context  # every day is alike
    with rebalancer.ports() as ports:
        wanted = digest_wanted(ports)
    return dg.RunRequest() if wanted else dg.SkipReason("nobody wants a digest: NOTIFY_URLS or NOTIFY_KINDS says so")
