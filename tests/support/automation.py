"""Portfolios that rebalance by themselves, and what becomes of their claims, without Dagster."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from rebalancer_pipelines.application.batch.attempt import Outcome
from rebalancer_pipelines.application.batch.run_batch import claimed_request, run_batch
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.close import store_records
from rebalancer_pipelines.application.rebalance.start import RebalanceRequest
from rebalancer_pipelines.domain.claim import ClaimedBatch
from rebalancer_pipelines.domain.portfolio import Portfolio
from rebalancer_pipelines.domain.rebalance import RebalanceRecord, TriggeredBy
from rebalancer_pipelines.domain.values import ZERO, Currency

from .paper_account import open_paper_account


def create_enabled(ports: Ports, *names: str, account: str = "main", **fields: object) -> list[Portfolio]:
    """A paper account with portfolios that are due at once, each with 1,000 EUR."""
    open_paper_account(ports, {Currency("EUR"): Decimal(1000 * len(names))}, name=account)
    given = {"account": account, "weights": "BTC=50,ETH=30,EUR=20", "interval": "daily", "enabled": True, **fields}
    return [
        create_portfolio(ports, {**given, "name": name}, allocations={Currency("EUR"): Decimal(1000)}) for name in names
    ]


def bring_to_end(ports: Ports, batch: ClaimedBatch) -> dict[str, Outcome]:
    """Rebalance what of a batch is open, as the batch job does; returns every portfolio's outcome."""
    request = claimed_request(ports, batch.id, str(uuid4()))
    if request is None:
        return {}
    return {outcome.portfolio: outcome for outcomes in run_batch(ports, request) for outcome in outcomes}


def scheduled_request(batch: ClaimedBatch) -> RebalanceRequest:
    """What the run of a portfolio's own schedule asks for."""
    (claim,) = batch.claims
    return RebalanceRequest(
        claim.portfolio,
        dry_run=False,
        triggered_by=TriggeredBy.SCHEDULER,
        dagster_run_id=str(uuid4()),
        scheduled_for=claim.scheduled_for,
        requested_at=claim.scheduled_for,
    )


def an_attempt(
    portfolio_id: UUID,
    executed_at: datetime,
    *,
    scheduled_for: datetime | None = None,
    success: bool = True,
    dry_run: bool = False,
    triggered_by: TriggeredBy = TriggeredBy.SENSOR,
    took: timedelta = timedelta(seconds=1),
    code: str = "PRICE_INVALID",
) -> RebalanceRecord:
    """The row of an attempt that moved nothing."""
    return RebalanceRecord(
        id=uuid4(),
        portfolio_id=portfolio_id,
        executed_at=executed_at,
        scheduled_for=scheduled_for,
        success=success,
        dry_run=dry_run,
        portfolio_value=None,
        orders_planned=0,
        orders_executed=0,
        orders_failed=0,
        total_value_traded=ZERO,
        fees_paid=ZERO,
        orders=[],
        errors=None if success else [{"code": code, "message": "a test's failure"}],
        triggered_by=triggered_by,
        duration_ms=took // timedelta(milliseconds=1),
        price_source="recorded",
        plan_hash=None,
        dagster_run_id=str(uuid4()),
    )


def store_attempts(ports: Ports, records: Sequence[RebalanceRecord]) -> None:
    """Store attempts on portfolios as they are now."""
    with ports.transactions() as work:
        portfolios = {p.id: p for p in work.portfolios.by_ids([record.portfolio_id for record in records])}
        store_records(work, [(portfolios[record.portfolio_id], record) for record in records])
        work.commit()
