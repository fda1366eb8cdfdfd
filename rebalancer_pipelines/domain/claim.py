"""Claims: a due time that somebody has taken up, so that nobody else does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from rebalancer_pipelines.domain.calendar import RebalanceInterval
from rebalancer_pipelines.domain.rebalance import TriggeredBy


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When a portfolio that rebalances by itself does so: what a schedule of its own is made of."""

    portfolio_id: UUID
    portfolio: str
    interval: RebalanceInterval
    anchor_at: datetime
    time_zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Due:
    """A portfolio that is due, with what its next due time follows from."""

    portfolio_id: UUID
    account_id: UUID
    due_at: datetime
    interval: RebalanceInterval
    anchor_at: datetime
    time_zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Claim:
    """A portfolio's due time that was taken up and has no outcome yet."""

    portfolio_id: UUID
    portfolio: str
    account_id: UUID
    scheduled_for: datetime


@dataclass(frozen=True, slots=True)
class ClaimedBatch:
    """Claims that were made together and are rebalanced in one run, in the sequence in which they fell due."""

    id: UUID
    triggered_by: TriggeredBy
    created_at: datetime
    claims: Sequence[Claim]


def whole_accounts(due: Sequence[Due], limit: int) -> list[Due]:
    """So many at most of those that are due, account by account, the account with the longest due first.

    What one account has due stays together where it can: its portfolios trade with each other, and two runs never have
    to wait for one account. Only an account that has more than `limit` is cut, and then it is the only one.
    """
    by_account: dict[UUID, list[Due]] = {}
    for one in due:
        by_account.setdefault(one.account_id, []).append(one)
    chosen: list[Due] = []
    for of_account in by_account.values():
        if chosen and len(chosen) + len(of_account) > limit:
            continue
        chosen += of_account
    return chosen[:limit]
