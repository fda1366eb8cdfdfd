"""Bringing daily values up to date: the day that has ended, and days that late entries or new closes have changed.

Here: the schedule, and the runs that it asks for. Not here: which days those are (use case `outdated_span`).
"""

import dagster as dg

from rebalancer_pipelines.application.portfolio_history.build import outdated_span
from rebalancer_pipelines.orchestration.jobs import portfolio_history
from rebalancer_pipelines.orchestration.partitions import range_tags
from rebalancer_pipelines.orchestration.resources import Rebalancer

_VALUES = dg.AssetKey("daily_portfolio_value")


@dg.schedule(
    name="daily_portfolio_values",
    job=portfolio_history,
    cron_schedule="30 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Half past every hour: values the day that has ended, and again every day that a late entry, a "
    "correction or another close has changed, in one run.",
)
def daily_portfolio_values(
    context: dg.ScheduleEvaluationContext, rebalancer: Rebalancer
) -> dg.RunRequest | dg.SkipReason:
    """Launch the job over the days that are not right any more."""
    with rebalancer.ports() as ports:
        span = outdated_span(ports)
    if span is None:
        return dg.SkipReason("every day is valued as the books and closes say now")
    tags = range_tags(span)
    # Where prices could not be read the last time, the books are valued without; what is missing is named.
    prices_failed = _newest_status(context.instance, tags) is dg.DagsterRunStatus.FAILURE
    return dg.RunRequest(tags=tags, asset_selection=[_VALUES] if prices_failed else None)


def _newest_status(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRunStatus | None:
    runs = instance.get_runs(dg.RunsFilter(job_name=portfolio_history.name, tags=dict(tags)), limit=1)
    return runs[0].status if runs else None
