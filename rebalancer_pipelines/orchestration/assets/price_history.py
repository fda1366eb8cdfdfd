"""Price history: what markets did, day by day and hour by hour.

Here: the two assets of bars. Not here: which markets, from whom, and what a gap is (use case `collect_bars`).
"""

import warnings
from collections.abc import Callable
from datetime import date
from typing import Any

import dagster as dg

from rebalancer_pipelines.application.price_history.collect import collect_bars
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.price_bar import Timeframe
from rebalancer_pipelines.orchestration import checks
from rebalancer_pipelines.orchestration.assets.step import OWNERS
from rebalancer_pipelines.orchestration.metadata import bars_metadata
from rebalancer_pipelines.orchestration.partitions import DAYS
from rebalancer_pipelines.orchestration.resources import Rebalancer

_DAILY_GAPS = checks.no_gaps_spec("daily_bars")
_HOURLY_GAPS = checks.no_gaps_spec("hourly_bars")


def _bars(check: dg.AssetCheckSpec, description: str) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    def declare(function: Callable[..., Any]) -> dg.AssetsDefinition:
        with warnings.catch_warnings():
            # Backfill policies are in beta in Dagster 1.13; whoever types a command need not be told.
            warnings.simplefilter("ignore", category=dg.BetaWarning)
            return dg.asset(
                partitions_def=DAYS,
                # A market is asked for once a run, however many days it is about.
                backfill_policy=dg.BackfillPolicy.single_run(),
                group_name="price_history",
                kinds={"postgres"},
                owners=OWNERS,
                check_specs=[check],
                description=description,
            )(function)

    return declare


@_bars(
    _DAILY_GAPS, "Open, high, low, close and volume by the day (UTC): of the markets of all portfolios, and recorded."
)
def daily_bars(context: dg.AssetExecutionContext, rebalancer: Rebalancer) -> dg.MaterializeResult:
    """Collect the bars of days."""
    return _collect(context, rebalancer, Timeframe.DAY, _DAILY_GAPS)


@_bars(_HOURLY_GAPS, "Open, high, low, close and volume by the hour: of the markets of all portfolios, and recorded.")
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
