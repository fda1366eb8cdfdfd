"""Price history: what markets did, day by day and hour by hour.

Here: the two assets of bars. Not here: which markets, from whom, and what a gap is (use case `collect_bars`).
"""

from datetime import date

import dagster as dg

from rebalancer_pipelines.application.price_history.collect import collect_bars
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.price_bar import Timeframe
from rebalancer_pipelines.orchestration import checks
from rebalancer_pipelines.orchestration.assets.day_asset import day_asset
from rebalancer_pipelines.orchestration.metadata import bars_metadata
from rebalancer_pipelines.orchestration.resources import Rebalancer

_DAILY_GAPS = checks.no_gaps_spec("daily_bars")
_HOURLY_GAPS = checks.no_gaps_spec("hourly_bars")


@day_asset(
    group="price_history",
    checks=[_DAILY_GAPS],
    description="Open, high, low, close and volume by the day (UTC): of the markets of all portfolios, and recorded.",
)
def daily_bars(context: dg.AssetExecutionContext, rebalancer: Rebalancer) -> dg.MaterializeResult:
    """Collect the bars of days."""
    return _collect(context, rebalancer, Timeframe.DAY, _DAILY_GAPS)


@day_asset(
    group="price_history",
    checks=[_HOURLY_GAPS],
    description="Open, high, low, close and volume by the hour: of the markets of all portfolios, and recorded.",
)
def hourly_bars(context: dg.AssetExecutionContext, rebalancer: Rebalancer) -> dg.MaterializeResult:
    """Collect the bars of the hours of days."""
    return _collect(context, rebalancer, Timeframe.HOUR, _HOURLY_GAPS)


def _collect(
    context: dg.AssetExecutionContext, rebalancer: Rebalancer, timeframe: Timeframe, check: dg.AssetCheckSpec
) -> dg.MaterializeResult:
    """Collect what the run's days need. A market that could not be read fails it, once all others are stored."""
    days = context.partition_key_range
    with rebalancer.ports() as ports:
        collected = collect_bars(ports, DaySpan(*map(date.fromisoformat, days)), timeframe)
    for short in collected.shortfalls:
        context.log.warning(str(short))
    if collected.unread:
        raise dg.Failure(description="; ".join(collected.unread), allow_retries=False)
    return dg.MaterializeResult(metadata=bars_metadata(collected), check_results=[checks.no_gaps(check, collected)])
