"""Claims on due times."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Select, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.given_rows import among
from rebalancer_pipelines.adapters.postgres.tables import PortfolioRow, RebalanceBatchRow, RebalanceClaimRow
from rebalancer_pipelines.domain.calendar import RebalanceInterval
from rebalancer_pipelines.domain.claim import Claim, ClaimedBatch, Due, Rhythm
from rebalancer_pipelines.domain.rebalance import TriggeredBy

_CLAIM = text(
    """
    WITH taken AS (
        SELECT * FROM unnest(
            CAST(:ids AS uuid[]), CAST(:due AS timestamptz[]), CAST(:upcoming AS timestamptz[])
        ) WITH ORDINALITY AS t (portfolio_id, due_at, next_at, place)
    ), moved AS (
        UPDATE portfolio SET next_rebalance_at = taken.next_at, updated_at = clock_timestamp()
        FROM taken WHERE portfolio.id = taken.portfolio_id
        RETURNING portfolio.id, portfolio.name, portfolio.account_id, taken.due_at, taken.place
    ), batch AS (
        INSERT INTO rebalance_batch (triggered_by, created_at) VALUES (:triggered_by, :now) RETURNING id
    ), claimed AS (
        INSERT INTO rebalance_claim (portfolio_id, scheduled_for, batch_id, claimed_at)
        SELECT moved.id, moved.due_at, batch.id, :now FROM moved CROSS JOIN batch
        ON CONFLICT DO NOTHING
        RETURNING portfolio_id, batch_id
    )
    SELECT claimed.batch_id, moved.id, moved.name, moved.account_id, moved.due_at
    FROM claimed JOIN moved ON moved.id = claimed.portfolio_id ORDER BY moved.place
    """
)
"""One statement, since a claim is asked for again and again: a batch, its claims, and the next due times."""


_BY_ITSELF = (PortfolioRow.rebalance_enabled, PortfolioRow.paused_at.is_(None))
"""Of portfolios that may be rebalanced without a person asking for it; the index of what is due has the same."""


class PostgresClaims:
    """Implements `ports.Claims`."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def lock_due(
        self,
        now: datetime,
        limit: int,
        *,
        only: Collection[UUID] | None = None,
        served: Collection[UUID] = (),
        served_until: datetime | None = None,
        withheld: Collection[UUID] = (),
    ) -> Sequence[Due]:
        """Lock portfolios that are due and not taken up."""
        statement = (
            _not_taken_up()
            .where(*_BY_ITSELF, PortfolioRow.next_rebalance_at <= now)
            .order_by(PortfolioRow.next_rebalance_at)
            .limit(limit)
        )
        if only is not None:
            statement = statement.where(PortfolioRow.id.in_(only))
        if served:
            is_free = PortfolioRow.id.not_in(served)
            if served_until is not None:
                is_free = or_(is_free, PortfolioRow.next_rebalance_at <= served_until)
            statement = statement.where(is_free)
        if withheld:
            statement = statement.where(PortfolioRow.id.not_in(withheld))
        return [_due(row, row.next_rebalance_at) for row in self._session.execute(statement)]

    def open(
        self, triggered_by: TriggeredBy, taken: Sequence[tuple[Due, datetime]], now: datetime
    ) -> ClaimedBatch | None:
        """Claim the due times of locked portfolios in one batch."""
        if not taken:
            return None
        rows = self._session.execute(
            _CLAIM,
            {
                "ids": [due.portfolio_id for due, _ in taken],
                "due": [due.due_at for due, _ in taken],
                "upcoming": [upcoming for _, upcoming in taken],
                "triggered_by": triggered_by.value,
                "now": now,
            },
        ).all()
        if not rows:
            return None
        claims = [Claim(row.id, row.name, row.account_id, row.due_at) for row in rows]
        return ClaimedBatch(rows[0].batch_id, triggered_by, now, claims)

    def claim_now(
        self, portfolio_ids: Collection[UUID], now: datetime, *, triggered_by: TriggeredBy
    ) -> ClaimedBatch | None:
        """Claim portfolios whether they are due or not; their next due times stay."""
        statement = _not_taken_up().where(PortfolioRow.id.in_(portfolio_ids)).order_by(PortfolioRow.name)
        if triggered_by is not TriggeredBy.MANUAL:
            # Whoever was paused since the caller looked is not claimed: the conditions hold for the locked rows.
            statement = statement.where(*_BY_ITSELF)
        taken = [(_due(row, now), row.next_rebalance_at) for row in self._session.execute(statement)]
        return self.open(triggered_by, taken, now)

    def rhythms(self, limit: int) -> Sequence[Rhythm]:
        """Portfolios that rebalance by themselves, the oldest first."""
        return [
            Rhythm(row.id, row.name, RebalanceInterval(row.rebalance_interval), row.anchor_at, ZoneInfo(row.time_zone))
            for row in self._session.execute(_rhythms(limit))
        ]

    def rhythms_mark(self, limit: int) -> str:
        """A digest of them; it is asked for every two seconds, so the database makes it."""
        rhythms = _rhythms(limit).subquery()
        line = func.concat_ws(" ", *rhythms.c)
        return self._session.execute(
            select(func.md5(func.coalesce(func.string_agg(line, aggregate_order_by(text("'|'"), rhythms.c.id)), "")))
        ).scalar_one()

    def of_batch(self, batch_id: UUID) -> ClaimedBatch | None:
        """What of a batch has no outcome yet."""
        rows = self._session.execute(
            select(
                RebalanceBatchRow.triggered_by,
                RebalanceBatchRow.created_at,
                RebalanceClaimRow.portfolio_id,
                RebalanceClaimRow.scheduled_for,
                PortfolioRow.name,
                PortfolioRow.account_id,
            )
            .join(RebalanceClaimRow, RebalanceClaimRow.batch_id == RebalanceBatchRow.id)
            .join(PortfolioRow, PortfolioRow.id == RebalanceClaimRow.portfolio_id)
            .where(RebalanceBatchRow.id == batch_id, RebalanceClaimRow.finished_at.is_(None))
            .order_by(RebalanceClaimRow.scheduled_for, PortfolioRow.name)
        ).all()
        return _batch(batch_id, rows)

    def waiting(self, claimed_before: datetime) -> Sequence[tuple[UUID, TriggeredBy]]:
        """Batches with old claims without an outcome."""
        rows = self._session.execute(
            select(RebalanceBatchRow.id, RebalanceBatchRow.triggered_by)
            .join(RebalanceClaimRow, RebalanceClaimRow.batch_id == RebalanceBatchRow.id)
            .where(RebalanceClaimRow.finished_at.is_(None), RebalanceBatchRow.created_at < claimed_before)
            .group_by(RebalanceBatchRow.id)
            .order_by(RebalanceBatchRow.created_at)
        )
        return [(row.id, TriggeredBy(row.triggered_by)) for row in rows]

    def move_to_new_batch(self, batch_id: UUID, now: datetime) -> ClaimedBatch | None:
        """Give what is left of a batch another try."""
        left = self.of_batch(batch_id)
        if left is None:
            return None
        new_id = self._session.execute(
            insert(RebalanceBatchRow)
            .values(triggered_by=left.triggered_by.value, created_at=now)
            .returning(RebalanceBatchRow.id)
        ).scalar_one()
        self._session.execute(
            update(RebalanceClaimRow)
            .where(RebalanceClaimRow.batch_id == batch_id, RebalanceClaimRow.finished_at.is_(None))
            .values(batch_id=new_id)
        )
        return self.of_batch(new_id)

    def finish(self, portfolio_ids: Collection[UUID], answered_until: datetime, now: datetime) -> None:
        """End claims on due times up to then."""
        self._session.execute(
            update(RebalanceClaimRow)
            .where(
                among(RebalanceClaimRow.portfolio_id, portfolio_ids),
                RebalanceClaimRow.finished_at.is_(None),
                RebalanceClaimRow.scheduled_for <= answered_until,
            )
            .values(finished_at=now)
        )

    def database_clock(self) -> datetime:
        """The database's present."""
        return self._session.execute(select(func.clock_timestamp())).scalar_one()


def _rhythms(limit: int) -> Select[UUID, str, str, datetime, str]:
    return (
        select(
            PortfolioRow.id,
            PortfolioRow.name,
            PortfolioRow.rebalance_interval,
            PortfolioRow.anchor_at,
            PortfolioRow.time_zone,
        )
        .where(PortfolioRow.rebalance_enabled)
        .order_by(PortfolioRow.created_at, PortfolioRow.id)
        .limit(limit)
    )


def _not_taken_up() -> Select[UUID, UUID, datetime | None, str, datetime, str]:
    """Portfolios without an open claim, each locked as it is read; those that somebody else has locked are left out."""
    open_claim = select(RebalanceClaimRow.portfolio_id).where(
        RebalanceClaimRow.portfolio_id == PortfolioRow.id, RebalanceClaimRow.finished_at.is_(None)
    )
    return (
        select(
            PortfolioRow.id,
            PortfolioRow.account_id,
            PortfolioRow.next_rebalance_at,
            PortfolioRow.rebalance_interval,
            PortfolioRow.anchor_at,
            PortfolioRow.time_zone,
        )
        .where(~open_claim.exists())
        .with_for_update(skip_locked=True, of=PortfolioRow)
    )


def _due(row: Any, due_at: datetime) -> Due:
    interval = RebalanceInterval(row.rebalance_interval)
    return Due(row.id, row.account_id, due_at, interval, row.anchor_at, ZoneInfo(row.time_zone))


def _batch(batch_id: UUID, rows: Sequence[Any]) -> ClaimedBatch | None:
    if not rows:
        return None
    claims = [Claim(row.portfolio_id, row.name, row.account_id, row.scheduled_for) for row in rows]
    return ClaimedBatch(batch_id, TriggeredBy(rows[0].triggered_by), rows[0].created_at, claims)
