"""A rebalance by its use cases, one after the other as the assets of the Dagster job call them."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.execute import execute_orders
from rebalancer_pipelines.application.rebalance.finish import finish_rebalance
from rebalancer_pipelines.application.rebalance.observe_prices import observe_prices
from rebalancer_pipelines.application.rebalance.propose import propose_rebalance
from rebalancer_pipelines.application.rebalance.stage import load_stage
from rebalancer_pipelines.application.rebalance.start import RebalanceRequest, start_rebalance
from rebalancer_pipelines.application.rebalance.value_portfolio import value_portfolio
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.rebalance import RebalanceRecord, TriggeredBy


def rebalance(
    ports: Ports,
    portfolio: str,
    *,
    dry_run: bool = False,
    requested_at: datetime | None = None,
    confirmed: frozenset[DenialReason] = frozenset(),
) -> RebalanceRecord:
    """Rebalance a portfolio to its end. Raises `DeniedError` where a check of the job would stop it."""
    run_id = str(uuid4())
    request = RebalanceRequest(
        portfolio,
        dry_run=dry_run,
        triggered_by=TriggeredBy.MANUAL,
        dagster_run_id=run_id,
        requested_at=requested_at,
        confirmed=confirmed,
    )
    _pass(start_rebalance(ports, request).denial)
    for use_case in (observe_prices, value_portfolio, propose_rebalance):
        _pass(use_case(ports, load_stage(ports, run_id, portfolio)).denial)
    execute_orders(ports, load_stage(ports, run_id, portfolio))
    return finish_rebalance(ports, load_stage(ports, run_id, portfolio)).record


def _pass(denial: DeniedError | None) -> None:
    if denial is not None:
        raise denial
