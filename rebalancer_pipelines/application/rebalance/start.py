"""Starting a rebalance: hold the account, settle what an earlier run left, and read balances that the books explain."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from rebalancer_pipelines.application.books import claim_for_sole_portfolio
from rebalancer_pipelines.application.claims import end_answered_claims
from rebalancer_pipelines.application.lease import release_lease
from rebalancer_pipelines.application.new_id import new_id
from rebalancer_pipelines.application.ports import Ports, Venue
from rebalancer_pipelines.application.rebalance.close import record_refusals
from rebalancer_pipelines.application.rebalance.hold import hold_account
from rebalancer_pipelines.application.rebalance.stage import Stage, denial_of, recording_failure
from rebalancer_pipelines.application.reconcile import check_books, check_unallocated, reconcile
from rebalancer_pipelines.application.trading_mode import TradingMode, mode_of
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, InvalidInputError
from rebalancer_pipelines.domain.ledger import Books
from rebalancer_pipelines.domain.portfolio import Account, Holdings, Portfolio
from rebalancer_pipelines.domain.rebalance import Lease, Rebalance, RebalanceStatus, TriggeredBy
from rebalancer_pipelines.domain.risk import CONFIRMABLE


@dataclass(frozen=True, slots=True)
class RebalanceRequest:
    """What a trigger asks for. `dagster_run_id` makes the request unique together with the portfolio.

    `scheduled_for` is the due time that was claimed, if one was. `requested_at`: a rebalance of the same portfolio that
    has started since then answers the request, too, so that two clicks give one rebalance. `confirmed` are the limits
    that a person waives for this once.
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
        if request.scheduled_for is not None and is_answered(error):
            _finish_claim(ports, portfolio, request.scheduled_for)
        else:
            record_refusals(ports, account, [(portfolio, _never_opened(request, portfolio, started_at))], error)
        raise
    stage = Stage(rebalance, portfolio, account)
    with recording_failure(ports, stage):
        proof = reconcile(ports, account, rebalance.lease, venue)
        with ports.transactions() as work:
            work.accounts.fence(rebalance.lease)
            claim_for_sole_portfolio(work, account, ports.clock.now())
            work.rebalances.store_balances(rebalance.id, proof.balances)
            books, owners = work.ledger.books(account.id), work.portfolios.count_on_account(account.id)
            work.commit()

    def check() -> None:
        check_books(ports, account, proof.differences)
        check_unallocated(account, books, owners)

    return AccountState(stage, mode, proof.balances, books, denial_of(ports, stage, check))


def is_answered(error: BaseException) -> bool:
    """Whether a rebalance was refused because another has done what was asked."""
    return isinstance(error, DeniedError) and error.reason is DenialReason.ALREADY_REBALANCED


def _finish_claim(ports: Ports, portfolio: Portfolio, scheduled_for: datetime) -> None:
    """A due time that another rebalance has answered needs no row of its own."""
    with ports.transactions() as work:
        end_answered_claims(work, {portfolio.id: scheduled_for}, ports.clock.now())
        work.commit()


def _open(
    ports: Ports, request: RebalanceRequest, portfolio: Portfolio, account: Account, started_at: datetime
) -> tuple[Rebalance, Venue]:
    lease, venue = hold_account(
        ports, account, dry_run=request.dry_run, give_up=lambda: _check_unanswered(ports, request, portfolio)
    )
    try:
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


def _never_opened(request: RebalanceRequest, portfolio: Portfolio, started_at: datetime) -> Rebalance:
    """What the row of a refused attempt is made of."""
    return Rebalance(
        id=new_id(),
        portfolio_id=portfolio.id,
        account_id=portfolio.account_id,
        epoch=0,
        status=RebalanceStatus.ACTIVE,
        dry_run=request.dry_run,
        triggered_by=request.triggered_by,
        dagster_run_id=request.dagster_run_id,
        started_at=started_at,
        scheduled_for=request.scheduled_for,
    )
