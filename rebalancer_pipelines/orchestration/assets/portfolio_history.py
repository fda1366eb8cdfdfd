"""Portfolio history: what every portfolio was worth, day by day.

Here: the asset of daily values. Not here: how a day is valued (use case `build_days`), or which days are to be valued
again (`daily_portfolio_values`).
"""

from datetime import date

import dagster as dg

from rebalancer_pipelines.adapters.report.charts.standalone import MOST_CURVES
from rebalancer_pipelines.application.portfolio_history.build import (
    build_days,
    chosen_portfolios,
    days_without_value,
    value_curves,
)
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.orchestration import checks
from rebalancer_pipelines.orchestration.assets.day_asset import day_asset
from rebalancer_pipelines.orchestration.assets.price_history import daily_bars
from rebalancer_pipelines.orchestration.assets.rebalance import rebalance_history
from rebalancer_pipelines.orchestration.charts import value_charts
from rebalancer_pipelines.orchestration.metadata import built_day_metadata
from rebalancer_pipelines.orchestration.resources import Rebalancer


@day_asset(
    group="portfolio_history",
    deps=[daily_bars, dg.AssetDep(rebalance_history, partition_mapping=dg.AllPartitionMapping())],
    checks=[checks.EVERY_DAY_HAS_A_VALUE],
    description="What every portfolio's book held at the day's end (UTC) and was worth at its closes, and what was put "
    "in or taken out; rehearsals on the recorded market have books of their own.",
)
def daily_portfolio_value(context: dg.AssetExecutionContext, rebalancer: Rebalancer) -> dg.MaterializeResult:
    """Value all portfolios on the run's days."""
    days = DaySpan(*map(date.fromisoformat, context.partition_key_range))
    with rebalancer.ports() as ports:
        for month in build_days(ports, chosen_portfolios(ports, None), days):
            for day in month:
                context.add_asset_metadata(built_day_metadata(day), partition_key=day.day.isoformat())
            context.log.info(f"{sum(day.books for day in month)} values, {sum(day.changed for day in month)} changed")
        lacking, newest = days_without_value(ports)
        charts = value_charts(value_curves(ports, days.last, MOST_CURVES))
    # On the newest day alone: an image for every day of a long range would fill the event log.
    context.add_asset_metadata(charts, partition_key=days.last.isoformat())
    return dg.MaterializeResult(check_results=[checks.every_day_has_a_value(lacking, newest)])
