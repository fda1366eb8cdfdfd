"""The portfolio: what its book is worth, and how that is divided.

Here: the asset that values a portfolio. Not here: what it should hold instead (`assets.rebalance`).
"""

import dagster as dg

from rebalancer_pipelines.application.rebalance.value_portfolio import value_portfolio
from rebalancer_pipelines.domain.values import plain
from rebalancer_pipelines.orchestration import checks
from rebalancer_pipelines.orchestration.assets.market_data import market_prices
from rebalancer_pipelines.orchestration.assets.step import rebalance_step
from rebalancer_pipelines.orchestration.metadata import figure, positions_table, source_notice
from rebalancer_pipelines.orchestration.resources import Rebalancer


@rebalance_step(
    after=market_prices,
    group="portfolio",
    checks=[checks.WEIGHTS_SUM_TO_100],
    description="The portfolio's units at mid prices, with current and target weights.",
)
def portfolio_value(context: dg.AssetExecutionContext, rebalancer: Rebalancer) -> dg.MaterializeResult:
    """Value the portfolio."""
    with rebalancer.stage(context) as (ports, stage):
        valued = value_portfolio(ports, stage)
    return dg.MaterializeResult(
        metadata={
            "portfolio_value": figure(valued.valuation.value),
            "valuation_currency": valued.valuation.valuation_currency,
            "price_source": source_notice(stage.account.price_source),
            "weights_before": positions_table(valued.positions),
            "unmanaged": {currency: plain(units) for currency, units in valued.valuation.unmanaged},
        },
        check_results=[checks.gate(checks.WEIGHTS_SUM_TO_100, valued.denial)],
    )
