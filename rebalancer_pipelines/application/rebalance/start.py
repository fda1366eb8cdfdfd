"""Starting a rebalance: hold the account, settle what an earlier run left, and read balances that the books explain."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from rebalancer_pipelines.application.books import claim_for_sole_portfolio
from rebalancer_pipelines.application.documents import error_document
from rebalancer_pipelines.application.key_permissions import check_permissions
from rebalancer_pipelines.application.lease import release_lease, sleep_holding, take_lease
from rebalancer_pipelines.application.ports import Ports, Venue
from rebalancer_pipelines.application.rebalance.clearance import check_kill_file, check_kill_switch, halted
from rebalancer_pipelines.application.rebalance.close import note_errors, store_record
from rebalancer_pipelines.application.rebalance.recover import recover_account
from rebalancer_pipelines.application.rebalance.stage import Stage, denial_of, recording_failure
from rebalancer_pipelines.application.reconcile import check_books, check_unallocated, reconcile
from rebalancer_pipelines.application.trading_mode import TradingMode, mode_of
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, InvalidInputError
from rebalancer_pipelines.domain.ledger import Books
from rebalancer_pipelines.domain.portfolio import Account, Holdings, Portfolio, TradingState
from rebalancer_pipelines.domain.rebalance import Lease, Rebalance, RebalanceRecord, TriggeredBy
from rebalancer_pipelines.domain.risk import CONFIRMABLE, FAILURES_IN_A_ROW, skew_denial
from rebalancer_pipelines.domain.values import ZERO

_FAILED = frozenset({"INTERRUPTED", "UNEXPECTED", "VENUE_UNREACHABLE", "VenueUnreachable"})
"""Codes of a history row that count towards opening the circuit, beside those of orders that failed."""


@dataclass(frozen=True, slots=True)
class RebalanceRequest:
    """What a trigger asks for. `dagster_run_id` makes the request unique together with the portfolio.

    `requested_at`: a rebalance of the same portfolio that has started since then answers the request, too, so that two
    clicks give one rebalance. `confirmed` are the limits that a person waives for this once.
    """

    portfolio: str
    dry_run: bool
    triggered_by: TriggeredBy
    dagster_run_id: str
    scheduled_for: datetime | None = None
    requested_at: datetime | None = None
    confirmed: frozenset[DenialReason] = frozenset()


def parse_confirmed(texts: Collection[str]) -> frozenset[DenialReason]:
    """Read the limits that a person waives for one run. Raises `InvalidInputError`."""
    known = sorted(CONFIRMABLE)
    for text in texts:
        if text.upper() not in known:
            raise InvalidInputError("confirm", text, f"cannot be confirmed; use {' or '.join(known)}")
    return frozenset(DenialReason(text.upper()) for text in texts)


@dataclass(frozen=True, slots=True)
class AccountState:
    """What a rebalance starts from. `denial` says that books and venue differ; then the rebalance is closed."""

    stage: Stage
    mode: TradingMode
    balances: Holdings
    books: Books
    denial: DeniedError | None


def start_rebalance(ports: Ports, request: RebalanceRequest) -> AccountState:
    """Open the rebalance and read its account.

    On a real venue where nobody has allowed trading, it becomes a dry run. Whatever stops it (a busy or halted account,
    an unreachable venue) leaves a history row and is raised.
    """
    with ports.transactions() as work:
        portfolio = work.portfolios.get(request.portfolio)
        account = work.accounts.by_id(portfolio.account_id)
    mode = mode_of(ports, account, dry_run=request.dry_run)
    request = replace(request, dry_run=mode.is_dry_run)
    started_at = ports.clock.now()
    try:
        rebalance, venue = _open(ports, request, portfolio, account, started_at)
    except BaseException as error:
        _record_refusal(ports, request, portfolio, account, error, started_at)
        raise
    stage = Stage(rebalance, portfolio, account)
    with recording_failure(ports, stage):
        proof = reconcile(ports, account, rebalance.lease, venue)
        with ports.transactions() as work:
            work.accounts.fence(rebalance.lease)
            claim_for_sole_portfolio(work, account, ports.clock.now())
            work.rebalances.store_balances(rebalance.id, proof.balances)
            books, owners = work.ledger.books(account.id), len(work.portfolios.on_account(account.id))
            work.commit()

    def check() -> None:
        check_books(ports, account, proof.differences)
        check_unallocated(account, books, owners)

    return AccountState(stage, mode, proof.balances, books, denial_of(ports, stage, check))


def _open(
    ports: Ports, request: RebalanceRequest, portfolio: Portfolio, account: Account, started_at: datetime
) -> tuple[Rebalance, Venue]:
    if account.trading_state is TradingState.HALTED:
        raise halted(account.name, account.trading_state_reason)
    if not request.dry_run:
        _check_switches(ports, account)
    venue = ports.venues.connect(account)
    lease = take_lease(ports, account, before_each_try=lambda: _check_unanswered(ports, request, portfolio))
    try:
        # Whoever held the account until now may have answered the request.
        _check_unanswered(ports, request, portfolio)
        if not request.dry_run:
            _check_venue(account, venue)
        recover_account(ports, account, lease, venue, wait=True)
        _let_fills_settle(ports, account, lease)
        return _start(ports, request, portfolio, lease, started_at), venue
    except BaseException:
        release_lease(ports, lease)
        raise


def _check_unanswered(ports: Ports, request: RebalanceRequest, portfolio: Portfolio) -> None:
    """Raise `DeniedError` (ALREADY_REBALANCED) when another run has taken up what this one was asked for."""
    if request.requested_at is None:
        return
    with ports.transactions() as work:
        other = work.rebalances.started_since(portfolio.id, request.requested_at, dry_run=request.dry_run)
    if other is not None:
        raise DeniedError(
            DenialReason.ALREADY_REBALANCED,
            f"portfolio {portfolio.name} was asked for twice: run {other.dagster_run_id} does it, "
            f"since {other.started_at:%H:%M:%S} UTC; look at that one",
        )


def _check_switches(ports: Ports, account: Account) -> None:
    """Raise `DeniedError` (KILLED, CIRCUIT_OPEN) for what keeps a live run from starting at all."""
    check_kill_file(ports)
    with ports.transactions() as work:
        check_kill_switch(work)
        newest = work.history.newest_live(account.id, FAILURES_IN_A_ROW, account.resumed_at)
    if account.is_paper:
        return
    if len(newest) == FAILURES_IN_A_ROW and all(_has_failed(record) for record in newest):
        last = (newest[0].errors or [{"message": "no reason was given"}])[0]["message"]
        raise DeniedError(
            DenialReason.CIRCUIT_OPEN,
            f"the last {FAILURES_IN_A_ROW} live runs on account {account.name} failed, limit {FAILURES_IN_A_ROW} "
            f"(newest: {last}); when that is mended, 'rebalancer resume --account {account.name}'",
        )


def _has_failed(record: RebalanceRecord) -> bool:
    """Whether an attempt went wrong, rather than being refused before it touched anything."""
    codes = {error["code"] for error in record.errors or []}
    return not record.success and bool(codes & _FAILED or any(code.startswith("ORDER_") for code in codes))


def _check_venue(account: Account, venue: Venue) -> None:
    """Raise `DeniedError` for a key that may do too much or too little, or a clock that is far off."""
    permissions = venue.key_permissions()
    check_permissions(account.name, permissions)
    denial = skew_denial(venue.clock_skew())
    if denial is not None:
        raise denial


def _let_fills_settle(ports: Ports, account: Account, lease: Lease) -> None:
    """Wait a moment after the account's last fill: balances at the venue may lag behind it."""
    with ports.transactions() as work:
        filled_at = work.orders.newest_fill_at(account.id)
    if filled_at is not None:
        left = filled_at + account.settings.pause_after_fill - ports.clock.now()
        sleep_holding(ports, account, lease, min(left, account.settings.pause_after_fill))


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
            confirmed=request.confirmed,
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
    note_errors(ports, portfolio, record)
