"""Claims: a due time that somebody has taken up, so that nobody else does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from rebalancer_pipelines.domain.calendar import RebalanceInterval
from rebalancer_pipelines.domain.rebalance import TriggeredBy

_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When a portfolio that rebalances by itself does so: what a schedule of its own is made of."""

    portfolio_id: UUID
    portfolio: str
    interval: RebalanceInterval
    anchor_at: datetime
    time_zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Claim:
    """A portfolio's due time that is taken up, or about to be."""

    portfolio_id: UUID
    portfolio: str
    account_id: UUID
    scheduled_for: datetime


@dataclass(frozen=True, slots=True)
class ClaimedBatch:
    """Claims that were made together and are rebalanced in one run, in the sequence in which they fell due.

    `tries` runs before this one have ended without an outcome of theirs.
    """

    id: UUID
    triggered_by: TriggeredBy
    claimed_at: datetime
    claims: Sequence[Claim]
    tries: int = 0


@dataclass(frozen=True, slots=True)
class WaitingBatch:
    """A batch some claims of which have no outcome yet."""

    id: UUID
    claimed_at: datetime
    tries: int

    @property
    def next_try_at(self) -> datetime:
        """When it is tried again if its run has ended: a minute after the first, and twice as long after each other.

        Whatever ends the runs may pass, so none is given up; an hour is the longest that one waits.
        """
        return self.claimed_at + min(_FIRST_PAUSE * 2 ** min(self.tries, 10), _LONGEST_PAUSE)


def whole_accounts(due: Sequence[Claim], limit: int) -> list[Claim]:
    """So many at most of those that are due, account by account, the account with the longest due first.

    What one account has due stays together where it can: its portfolios trade with each other, and two runs never have
    to wait for one account. Only an account that has more than `limit` is cut, and then it is the only one.
    """
    by_account: dict[UUID, list[Claim]] = {}
    for one in due:
        by_account.setdefault(one.account_id, []).append(one)
    chosen: list[Claim] = []
    for of_account in by_account.values():
        if chosen and len(chosen) + len(of_account) > limit:
            continue
        chosen += of_account
    return chosen[:limit]
