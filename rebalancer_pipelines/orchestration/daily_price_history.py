"""The nightly collection of price bars.

Here: its schedule. Not here: the assets that it makes (`assets.price_history`), or who has which bars (use cases).
"""

from datetime import UTC, timedelta

import dagster as dg

from rebalancer_pipelines.orchestration.jobs import price_history


@dg.schedule(
    name="daily_price_history",
    job=price_history,
    cron_schedule="10 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Ten minutes after midnight in UTC: the bars of the day that has just ended.",
)
def daily_price_history(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Launch the job for yesterday."""
    yesterday = context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)
    return dg.RunRequest(partition_key=yesterday.isoformat())
