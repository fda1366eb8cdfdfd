"""Starting a rebalance: hold the account, settle what an earlier run left, and read balances that the books explain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from rebalancer_pipelines.application.documents import error_document
from rebalancer_pipelines.application.lease import release_lease, take_lease
from rebalancer_pipelines.application.ports import Ports, Venue
from rebalancer_pipelines.application.rebalance.close import store_record
from rebalancer_pipelines.application.rebalance.recover import recover_account
from rebalancer_pipelines.application.rebalance.stage import Stage, denial_of, recording_failure
from rebalancer_pipelines.application.reconcile import (
    adopt_opening_balance,
    check_books,
    claim_for_sole_portfolio,
)
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.ledger import Books
from rebalancer_pipelines.domain.portfolio import Account, Holdings, Portfolio, TradingState
from rebalancer_pipelines.domain.rebalance import Lease, Rebalance, RebalanceRecord, TriggeredBy
from rebalancer_pipelines.domain.values import ZERO


@dataclass(frozen=True, slots=True)
class RebalanceRequest:
    """What a trigger asks for. `dagster_run_id` makes the request unique together with the portfolio."""

    portfolio: str
    dry_run: bool
    triggered_by: TriggeredBy
    dagster_run_id: str
    scheduled_for: datetime | None = None


@dataclass(frozen=True, slots=True)
class AccountState:
    """What a rebalance starts from. `denial` says that books and venue differ; then the rebalance is closed."""

    stage: Stage
    balances: Holdings
    books: Books
    denial: DeniedError | None


def start_rebalance(ports: Ports, request: RebalanceRequest) -> AccountState:
    """Open the rebalance and read its account.

    Whatever stops it (a busy or halted account, an unreachable venue) leaves a history row and is raised.
    """
    with ports.transactions() as work:
        portfolio = work.portfolios.get(request.portfolio)
        account = work.accounts.by_id(portfolio.account_id)
    started_at = ports.clock.now()
    try:
        rebalance, venue = _open(ports, request, portfolio, account, started_at)
    except BaseException as error:
        _record_refusal(ports, request, portfolio, account, error, started_at)
        raise
    stage = Stage(rebalance, portfolio, account)
    with recording_failure(ports, rebalance):
        balances = venue.balances()
        now = ports.clock.now()
        with ports.transactions() as work:
            work.accounts.fence(rebalance.lease)
            adopt_opening_balance(work, account, balances, now)
            claim_for_sole_portfolio(work, account, now)
            work.rebalances.store_balances(rebalance.id, balances)
            books = work.ledger.books(account.id)
            work.commit()
    denial = denial_of(ports, rebalance, lambda: check_books(account, books, balances))
    return AccountState(stage, balances, books, denial)


def _open(
    ports: Ports, request: RebalanceRequest, portfolio: Portfolio, account: Account, started_at: datetime
) -> tuple[Rebalance, Venue]:
    if account.trading_state is TradingState.HALTED:
        reason = account.trading_state_reason or "no reason was given"
        raise DeniedError(DenialReason.ACCOUNT_HALTED, f"account {account.name} is halted: {reason}")
    venue = ports.venues.connect(account)
    lease = take_lease(ports, account)
    try:
        recover_account(ports, account, lease, venue)
        return _start(ports, request, portfolio, lease, started_at), venue
    except BaseException:
        release_lease(ports, lease)
        raise


def _start(
    ports: Ports, request: RebalanceRequest, portfolio: Portfolio, lease: Lease, started_at: datetime
) -> Rebalance:
    with ports.transactions() as work:
        work.accounts.fence(lease)
        rebalance = work.rebalances.start(
            portfolio=portfolio,
            lease=lease,
            dry_run=request.dry_run,
            triggered_by=request.triggered_by,
            dagster_run_id=request.dagster_run_id,
            scheduled_for=request.scheduled_for,
            now=started_at,
        )
        work.commit()
    return rebalance


def _record_refusal(
    ports: Ports,
    request: RebalanceRequest,
    portfolio: Portfolio,
    account: Account,
    error: BaseException,
    started_at: datetime,
) -> None:
    """An attempt that never held its account leaves a row all the same."""
    now = ports.clock.now()
    record = RebalanceRecord(
        id=uuid4(),
        portfolio_id=portfolio.id,
        executed_at=now,
        scheduled_for=request.scheduled_for,
        success=False,
        dry_run=request.dry_run,
        portfolio_value=None,
        orders_planned=0,
        orders_executed=0,
        orders_failed=0,
        total_value_traded=ZERO,
        fees_paid=ZERO,
        orders=[],
        errors=[error_document(error)],
        triggered_by=request.triggered_by,
        duration_ms=max(0, int((now - started_at).total_seconds() * 1000)),
        price_source=account.price_source,
        plan_hash=None,
        dagster_run_id=request.dagster_run_id,
    )
    with ports.transactions() as work:
        store_record(work, portfolio, record)
        work.commit()
