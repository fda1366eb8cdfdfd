"""The one reviewable list of what can run."""

from collections.abc import Sequence

import dagster as dg

from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.domain.claim import Rhythm
from rebalancer_pipelines.orchestration.assets.market_data import account_balances, market_prices
from rebalancer_pipelines.orchestration.assets.portfolio import portfolio_value
from rebalancer_pipelines.orchestration.assets.portfolio_history import daily_portfolio_value
from rebalancer_pipelines.orchestration.assets.price_history import daily_bars, hourly_bars
from rebalancer_pipelines.orchestration.assets.rebalance import executed_orders, planned_orders, rebalance_history
from rebalancer_pipelines.orchestration.daily_digest import daily_digest, daily_digest_job
from rebalancer_pipelines.orchestration.daily_portfolio_values import daily_portfolio_values
from rebalancer_pipelines.orchestration.daily_price_history import daily_price_history
from rebalancer_pipelines.orchestration.jobs import portfolio_history, price_history, rebalance, rebalance_batch
from rebalancer_pipelines.orchestration.notification_sensor import notifications
from rebalancer_pipelines.orchestration.rehearsal import demo_rehearsal, rehearse_demo
from rebalancer_pipelines.orchestration.resources import Rebalancer
from rebalancer_pipelines.orchestration.retention_job import prune_event_log, prune_event_log_daily
from rebalancer_pipelines.orchestration.schedules import portfolio_schedules, stored_rhythms
from rebalancer_pipelines.orchestration.sensors import (
    abandoned_rebalances,
    drifted_portfolios,
    due_portfolios,
    portfolio_partitions,
)


def build_definitions(rebalancer: Rebalancer, rhythms: Sequence[Rhythm] = ()) -> dg.Definitions:
    """Everything Dagster may run, over the given resource, with a schedule for each rhythm."""
    return dg.Definitions(
        assets=[
            account_balances,
            market_prices,
            portfolio_value,
            planned_orders,
            executed_orders,
            rebalance_history,
            daily_bars,
            hourly_bars,
            daily_portfolio_value,
        ],
        jobs=[
            rebalance,
            rebalance_batch,
            price_history,
            portfolio_history,
            rehearse_demo,
            daily_digest_job,
            prune_event_log,
        ],
        schedules=[
            *portfolio_schedules(rhythms, running=Settings().starts_scheduler),
            daily_digest,
            daily_price_history,
            daily_portfolio_values,
            prune_event_log_daily,
        ],
        sensors=[
            portfolio_partitions,
            abandoned_rebalances,
            due_portfolios,
            drifted_portfolios,
            notifications,
            demo_rehearsal,
        ],
        resources={"rebalancer": rebalancer},
        executor=dg.in_process_executor,
    )


defs = build_definitions(Rebalancer(database_url=dg.EnvVar("DATABASE_URL")), stored_rhythms(Settings().database_url))
