"""What a batch wants of one account, and one portfolio's way through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from rebalancer_pipelines.application.documents import Document
from rebalancer_pipelines.application.new_id import new_id
from rebalancer_pipelines.domain.order import Order
from rebalancer_pipelines.domain.portfolio import Account, Portfolio
from rebalancer_pipelines.domain.rebalance import (
    Lease,
    Rebalance,
    RebalanceRecord,
    RebalanceStatus,
    TriggeredBy,
    WeighedPosition,
)
from rebalancer_pipelines.domain.values import ZERO


@dataclass(frozen=True, slots=True)
class AccountTask:
    """What a batch wants of one account: its portfolios, and the due times that were claimed for them.

    `dry_run` is what the account comes to, whatever the batch asked for.
    """

    account: Account
    portfolios: Sequence[Portfolio]
    scheduled_for: Mapping[UUID, datetime]
    triggered_by: TriggeredBy
    dagster_run_id: str
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one portfolio.

    `record` None: `note` says why there is none (yet): another rebalance has answered the due time, or the fate of an
    order is open and the row follows once it is known. `error` is what went wrong, for the log. Positions are empty
    where the attempt did not come that far.
    """

    portfolio: str
    record: RebalanceRecord | None
    note: str | None = None
    error: BaseException | None = None
    before: Sequence[WeighedPosition] = ()
    after: Sequence[WeighedPosition] = ()


@dataclass(slots=True)
class Attempt:
    """One portfolio on its way through a batch. With an `error` it goes no further.

    `plan` is its plan's document, `reserve` the cash that the plan leaves, in valuation currency.
    """

    portfolio: Portfolio
    rebalance: Rebalance
    error: BaseException | None = None
    plan: Document | None = None
    reserve: Decimal = ZERO
    before: Sequence[WeighedPosition] = ()
    after: Sequence[WeighedPosition] = ()
    orders: Sequence[Order] = field(default_factory=tuple[Order, ...])


def new_attempt(task: AccountTask, portfolio: Portfolio, lease: Lease, now: datetime) -> Attempt:
    """A portfolio that is taken up."""
    rebalance = Rebalance(
        id=new_id(),
        portfolio_id=portfolio.id,
        account_id=task.account.id,
        epoch=lease.epoch,
        status=RebalanceStatus.ACTIVE,
        dry_run=task.dry_run,
        triggered_by=task.triggered_by,
        dagster_run_id=task.dagster_run_id,
        started_at=now,
        scheduled_for=task.scheduled_for.get(portfolio.id),
    )
    return Attempt(portfolio, rebalance)
