"""Jobs: what can be launched.

Here: the jobs' selections, executors and tags. Not here: when they run (`sensors`, schedules), what they do (assets).
"""

import dagster as dg

from rebalancer_pipelines.orchestration.batch import rebalance_portfolios

# Recovery is the order protocol's, never a retry: a retried step could not know what the first one sent.
NEVER_AGAIN = {"dagster/max_retries": "0"}

REBALANCE_ASSETS = (
    "account_balances",
    "market_prices",
    "portfolio_value",
    "planned_orders",
    "executed_orders",
    "rebalance_history",
)

rebalance = dg.define_asset_job(
    "rebalance",
    selection=dg.AssetSelection.assets(*REBALANCE_ASSETS),
    description="Brings one portfolio to its target weights: balances, prices, value, plan, orders, history.",
    # A multiprocess run costs five to ten times as much, and the steps must share one process's view of time.
    executor_def=dg.in_process_executor,
    run_tags={**NEVER_AGAIN, "dagster/max_runtime": "900"},
)

price_history = dg.define_asset_job(
    "price_history",
    selection=dg.AssetSelection.assets("daily_bars", "hourly_bars"),
    description="Collects the price bars of a day, or of a range of days in one run.",
    executor_def=dg.in_process_executor,
    run_tags={**NEVER_AGAIN, "dagster/max_runtime": "3600"},
)

portfolio_history = dg.define_asset_job(
    "portfolio_history",
    selection=dg.AssetSelection.assets("daily_bars", "daily_portfolio_value"),
    description="Collects the daily prices of a range of days and values every portfolio on them, in one run.",
    executor_def=dg.in_process_executor,
    run_tags={**NEVER_AGAIN, "dagster/max_runtime": "3600"},
)


@dg.job(
    description="Rebalances many portfolios in one run: one price read per market, orders netted per account.",
    executor_def=dg.in_process_executor,
    run_tags={**NEVER_AGAIN, "dagster/max_runtime": "3600"},
)
def rebalance_batch() -> None:
    """Many portfolios at once."""
    rebalance_portfolios()
