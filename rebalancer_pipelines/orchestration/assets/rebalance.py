"""The rebalance itself: the plan, its orders, and the row that stays.

Here: the three assets that decide, act and record. Not here: the planner (domain), the order protocol (application).
"""

import dagster as dg

from rebalancer_pipelines.application.rebalance.execute import execute_orders
from rebalancer_pipelines.application.rebalance.finish import finish_rebalance
from rebalancer_pipelines.application.rebalance.propose import propose_rebalance
from rebalancer_pipelines.orchestration import checks
from rebalancer_pipelines.orchestration.assets.portfolio import portfolio_value
from rebalancer_pipelines.orchestration.assets.step import rebalance_step
from rebalancer_pipelines.orchestration.metadata import orders_metadata, plan_metadata, record_metadata
from rebalancer_pipelines.orchestration.resources import Rebalancer


@rebalance_step(
    after=portfolio_value,
    group="rebalance",
    checks=[checks.PLAN_CONSERVES_VALUE, checks.PLAN_WITHIN_LIMITS],
    description="The orders that bring the portfolio to its targets, and for every other currency the reason for none.",
)
def planned_orders(context: dg.AssetExecutionContext, rebalancer: Rebalancer) -> dg.MaterializeResult:
    """Plan, and store the orders before any is sent."""
    with rebalancer.stage(context) as (ports, stage):
        proposed = propose_rebalance(ports, stage)
    return dg.MaterializeResult(
        metadata=plan_metadata(proposed.document),
        check_results=checks.plan_gates(proposed.denial),
    )


@rebalance_step(
    after=planned_orders,
    group="rebalance",
    checks=[checks.EXECUTED_MATCHES_PLANNED, checks.LEDGER_EQUALS_VENUE_AFTER],
    description="Every planned order, sent once and settled: sells first, then buys from what the sells brought.",
)
def executed_orders(context: dg.AssetExecutionContext, rebalancer: Rebalancer) -> dg.MaterializeResult:
    """Send and settle the orders; a dry run simulates them."""
    with rebalancer.stage(context) as (ports, stage):
        executed = execute_orders(ports, stage)
    return dg.MaterializeResult(
        metadata=orders_metadata(executed.orders, executed.positions, stage.account.price_source),
        check_results=[
            checks.executed_matches_planned(executed),
            checks.ledger_equals_venue_after(executed.differences),
        ],
    )


@rebalance_step(
    after=executed_orders,
    group="rebalance",
    checks=[checks.DRIFT_NOT_INCREASED, checks.REBALANCE_SUCCEEDED],
    description="The row that stays of the attempt, and the portfolio's next due time.",
)
def rebalance_history(context: dg.AssetExecutionContext, rebalancer: Rebalancer) -> dg.MaterializeResult:
    """Close the rebalance."""
    with rebalancer.stage(context) as (ports, stage):
        finished = finish_rebalance(ports, stage)
    return dg.MaterializeResult(
        metadata=record_metadata(finished.record, finished.before, finished.after),
        check_results=[
            checks.drift_not_increased(finished.distance_before, finished.distance_after, finished.allowance),
            checks.rebalance_succeeded(finished.record),
        ],
    )
