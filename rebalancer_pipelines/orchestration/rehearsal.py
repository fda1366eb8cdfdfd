"""The demo's rehearsal: a year of the recorded market, in the background, once.

Here: its job, and the sensor that launches it and then the values of that year. Not here: what is rehearsed and how
(`application.rehearsal`).
"""

import dagster as dg

from rebalancer_pipelines.adapters.venues.paper.recorded_market import RecordedMarket
from rebalancer_pipelines.application.demo import demo_deposits
from rebalancer_pipelines.application.rehearsal.rehearse import rehearsal_progress, rehearse
from rebalancer_pipelines.domain.rehearsal import REHEARSED_YEAR
from rebalancer_pipelines.orchestration.jobs import NEVER_AGAIN, portfolio_history
from rebalancer_pipelines.orchestration.partitions import range_tags
from rebalancer_pipelines.orchestration.resources import Rebalancer

_DONE = "done"
_MODE = {"rebalancer/mode": "rehearsal on the RECORDED market"}


@dg.op(description="Plans and simulates every due time of the recorded year for each demo portfolio; sends nothing.")
def rehearse_demo_portfolios(context: dg.OpExecutionContext, rebalancer: Rebalancer) -> None:
    """Rehearse what is left of the year."""
    with rebalancer.ports() as ports:
        for name, deposits in demo_deposits(ports).items():
            for month in rehearse(ports, RecordedMarket(), name, deposits):
                denied = sum(not attempt.record.success for attempt in month)
                context.log.info(
                    f"{name}: {month[-1].rebalance.started_at:%B %Y} of the recorded market, {len(month)} attempts, "
                    f"{sum(len(attempt.orders) for attempt in month)} orders, {denied} denied"
                )


@dg.job(
    description="Rehearses the demo portfolios over a year of the RECORDED market (October 2017 to September 2018): "
    "what the planner would have done, as dry runs triggered by 'backfill'. One that was stopped goes on.",
    executor_def=dg.in_process_executor,
    tags={**NEVER_AGAIN, **_MODE, "dagster/max_runtime": "1800"},
)
def rehearse_demo() -> None:
    """Rehearse the demo."""
    rehearse_demo_portfolios()


@dg.sensor(
    name="demo_rehearsal",
    jobs=[rehearse_demo, portfolio_history],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Once the demo portfolios have been rebalanced for the first time: rehearses them over a year of the "
    "RECORDED market, then collects that year's prices and values it.",
)
def demo_rehearsal(context: dg.SensorEvaluationContext, rebalancer: Rebalancer) -> dg.SensorResult | dg.SkipReason:
    """Launch what is left to do, until nothing is."""
    if context.cursor == _DONE:
        return dg.SkipReason("the demo has been rehearsed")
    with rebalancer.ports() as ports:
        progress = rehearsal_progress(ports, demo_deposits(ports))
        now = ports.clock.now()
    if not progress.mark:
        return dg.SkipReason("no demo portfolio has been rebalanced yet")
    if progress.is_complete:
        values = dg.RunRequest(
            run_key="rehearsed-year", job_name=portfolio_history.name, tags=range_tags(REHEARSED_YEAR)
        )
        return dg.SensorResult([values], cursor=_DONE)
    if context.cursor not in {None, progress.mark}:
        return dg.SensorResult(cursor=progress.mark, skip_reason=f"under way: {progress.mark}")
    # Nothing has come of it since the last look: it has not begun, or was stopped. One try an hour from the same place.
    request = dg.RunRequest(run_key=f"{progress.mark} at {now:%Y-%m-%dT%H}", job_name=rehearse_demo.name)
    return dg.SensorResult([request], cursor=progress.mark)
