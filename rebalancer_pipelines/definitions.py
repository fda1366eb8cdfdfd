"""The one reviewable list of what can run."""

import dagster as dg

from rebalancer_pipelines.orchestration.assets.market_data import account_balances, market_prices
from rebalancer_pipelines.orchestration.assets.portfolio import portfolio_value
from rebalancer_pipelines.orchestration.assets.rebalance import executed_orders, planned_orders, rebalance_history
from rebalancer_pipelines.orchestration.jobs import rebalance
from rebalancer_pipelines.orchestration.resources import Rebalancer
from rebalancer_pipelines.orchestration.retention_job import prune_event_log, prune_event_log_daily
from rebalancer_pipelines.orchestration.sensors import abandoned_rebalances, portfolio_partitions


def build_definitions(rebalancer: Rebalancer) -> dg.Definitions:
    """Everything Dagster may run, over the given resource."""
    return dg.Definitions(
        assets=[
            account_balances,
            market_prices,
            portfolio_value,
            planned_orders,
            executed_orders,
            rebalance_history,
        ],
        jobs=[rebalance, prune_event_log],
        schedules=[prune_event_log_daily],
        sensors=[portfolio_partitions, abandoned_rebalances],
        resources={"rebalancer": rebalancer},
        executor=dg.in_process_executor,
    )


defs = build_definitions(Rebalancer(database_url=dg.EnvVar("DATABASE_URL")))
