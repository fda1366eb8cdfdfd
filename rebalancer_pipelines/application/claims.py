"""Taking up due times: whatever fires, each is taken up once, and none is forgotten.

A claim is stored before anything is launched for it. It ends with the history row of its rebalance, which also moves
the portfolio's next due time. One that stays without an outcome, because the program stopped between the two, is
launched again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from rebalancer_pipelines.application.ports import Ports, UnitOfWork
from rebalancer_pipelines.domain.claim import ClaimedBatch, whole_accounts
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, RebalancerError
from rebalancer_pipelines.domain.rebalance import RebalanceTimes, TriggeredBy

BATCH_SIZE = 500
"""So many portfolios go into one batch at most: there are several, for several workers."""

LOOK_AHEAD = 5000
"""So many that are due are looked at to fill a batch with whole accounts."""

SERVED_GRACE = timedelta(minutes=5)
"""How long a portfolio waits for a schedule of its own before the check of everything that is due takes it."""

MAX_SKEW = timedelta(seconds=30)
"""A clock that is further from the database's makes portfolios due at the wrong time."""


def claim_due(
    ports: Ports,
    *,
    limit: int = BATCH_SIZE,
    look_ahead: int = 0,
    served: Collection[UUID] = (),
    withheld: Collection[UUID] = (),
) -> ClaimedBatch | None:
    """Claim what is due, the longest due first; with `look_ahead`, whole accounts out of so many that are due.

    `served` have a schedule of their own and are taken only when it has missed them; the schedules of the `withheld`
    were stopped by a person, so they are not taken at all.
    """
    now = ports.clock.now()
    with ports.transactions() as work:
        due = work.claims.lock_due(
            now, max(limit, look_ahead), served=served, served_until=now - SERVED_GRACE, withheld=withheld
        )
        batch = work.claims.open(TriggeredBy.SENSOR, whole_accounts(due, limit), now)
        work.commit()
    return batch


def claim_scheduled(ports: Ports, portfolio_id: UUID) -> ClaimedBatch | None:
    """Claim one portfolio's due time for its own schedule; None when it is not due or taken up already."""
    now = ports.clock.now()
    with ports.transactions() as work:
        due = work.claims.lock_due(now, 1, only=[portfolio_id])
        batch = work.claims.open(TriggeredBy.SCHEDULER, due, now)
        work.commit()
    return batch


def claim_by_hand(ports: Ports, name: str) -> ClaimedBatch:
    """Claim one portfolio for a person, due or not; its next due time stays.

    Raises `NotFoundError`, and `RebalancerError` when it is taken up already.
    """
    now = ports.clock.now()
    with ports.transactions() as work:
        portfolio = work.portfolios.get(name)
        batch = work.claims.claim_now([portfolio.id], now, triggered_by=TriggeredBy.MANUAL)
        work.commit()
    if batch is None:
        raise RebalancerError(
            f"portfolio: '{name}' is taken up already and waits for its outcome; see 'rebalancer scheduler status'"
        )
    return batch


def open_claims(ports: Ports) -> Sequence[ClaimedBatch]:
    """Everything that is taken up and has no outcome yet, the oldest first."""
    with ports.transactions() as work:
        batches = [work.claims.of_batch(waiting.id) for waiting in work.claims.waiting(ports.clock.now())]
    return [batch for batch in batches if batch is not None]


def end_answered_claims(work: UnitOfWork, scheduled_for: Mapping[UUID, datetime], now: datetime) -> None:
    """End claims, by portfolio, on due times that another rebalance answers; it leaves the row in the history."""
    if not scheduled_for:
        return
    work.portfolios.mark_rebalanced(
        [
            RebalanceTimes(portfolio.id, None, portfolio.due_after(max(now, moment)), answered_until=moment)
            for portfolio in work.portfolios.by_ids(scheduled_for)
            for moment in [scheduled_for[portfolio.id]]
        ]
    )


def check_clock(ports: Ports) -> None:
    """Raise `DeniedError` (CLOCK_SKEW) when this machine's clock is too far from the database's."""
    with ports.transactions() as work:
        skew = work.claims.database_clock() - ports.clock.now()
    if abs(skew) > MAX_SKEW:
        way = "behind" if skew > timedelta(0) else "ahead of"
        raise DeniedError(
            DenialReason.CLOCK_SKEW,
            f"this machine's clock is {abs(skew).total_seconds():.0f} s {way} the database's, limit "
            f"{MAX_SKEW.total_seconds():.0f} s; synchronise it (NTP)",
        )
