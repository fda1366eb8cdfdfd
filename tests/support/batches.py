"""Batches of portfolios, run to their end as the Dagster job runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

from rebalancer_pipelines.application.batch.attempt import Outcome
from rebalancer_pipelines.application.batch.run_batch import named_request, run_batch
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.rebalance import TriggeredBy
from rebalancer_pipelines.domain.values import Currency


def rebalance_together(
    ports: Ports, names: Sequence[str], *, dry_run: bool = False, triggered_by: TriggeredBy = TriggeredBy.MANUAL
) -> dict[str, Outcome]:
    """Rebalance portfolios in one batch; returns every portfolio's outcome."""
    request = replace(named_request(ports, names, str(uuid4()), dry_run=dry_run), triggered_by=triggered_by)
    return {outcome.portfolio: outcome for outcomes in run_batch(ports, request) for outcome in outcomes}


def create_sharing(
    ports: Ports, portfolios: Mapping[str, tuple[str, Mapping[str, str]]], *, account: str = "main", **fields: object
) -> None:
    """Portfolios that share an account, by name: weights, and the units that are their own."""
    for name, (weights, owned) in portfolios.items():
        create_portfolio(
            ports,
            {"name": name, "account": account, "weights": weights, **fields},
            allocations={Currency(currency): Decimal(amount) for currency, amount in owned.items()},
        )
