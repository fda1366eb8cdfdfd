"""The nightly collection of price bars.

Here: its schedule. Not here: the assets that it makes (`assets.price_history`), or who has which bars (use cases).
"""

from datetime import timedelta

import dagster as dg

from rebalancer_pipelines.domain.day_span import DaySpan, last_ended_day
from rebalancer_pipelines.orchestration.jobs import price_history
from rebalancer_pipelines.orchestration.partitions import range_tags

_LOOK_BACK = timedelta(days=6)


@dg.schedule(
    name="daily_price_history",
    job=price_history,
    cron_schedule="10 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Ten minutes after midnight in UTC: the bars of the seven days that have ended last, so that "
    "a night without an answer is made good by the next one.",
)
def daily_price_history(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Launch the job for the days of a week up to yesterday; a market is asked for once, however many they are."""
    last = last_ended_day(context.scheduled_execution_time)
    return dg.RunRequest(tags=range_tags(DaySpan(last - _LOOK_BACK, last)))
