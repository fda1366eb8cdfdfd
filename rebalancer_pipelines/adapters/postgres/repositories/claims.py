"""Claims on due times."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ARRAY,
    Select,
    SQLColumnExpression,
    Update,
    Uuid,
    any_,
    bindparam,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.given_rows import among
from rebalancer_pipelines.adapters.postgres.tables import PortfolioDueRow, PortfolioRow
from rebalancer_pipelines.application.new_id import new_id
from rebalancer_pipelines.domain.calendar import RebalanceInterval
from rebalancer_pipelines.domain.claim import Claim, ClaimedBatch, Rhythm, WaitingBatch
from rebalancer_pipelines.domain.rebalance import TriggeredBy

_Free = Select[UUID, str, UUID, datetime | None]


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
    ) -> Sequence[Claim]:
        """Lock what is due and not taken up."""
        statement = _DUE
        if only is not None:
            statement = statement.where(among(PortfolioDueRow.portfolio_id, only))
        if served:
            is_free = PortfolioDueRow.portfolio_id.not_in(served)
            if served_until is not None:
                is_free = or_(is_free, PortfolioDueRow.next_rebalance_at <= served_until)
            statement = statement.where(is_free)
        if withheld:
            statement = statement.where(PortfolioDueRow.portfolio_id.not_in(withheld))
        return self._locked(statement, {"now": now, "limit": limit})

    def open(self, triggered_by: TriggeredBy, due: Sequence[Claim], now: datetime) -> ClaimedBatch | None:
        """Claim locked due times in one batch."""
        return self._open(_TAKE_DUE, triggered_by, due, now)

    def claim_now(
        self, portfolio_ids: Collection[UUID], now: datetime, *, triggered_by: TriggeredBy
    ) -> ClaimedBatch | None:
        """Claim portfolios whether they are due or not; their next due times stay."""
        statement = (
            _free(literal(now)).where(among(PortfolioDueRow.portfolio_id, portfolio_ids)).order_by(PortfolioRow.name)
        )
        if triggered_by is not TriggeredBy.MANUAL:
            # Whoever was paused since the caller looked is not claimed: the conditions hold for the locked rows.
            statement = statement.where(PortfolioDueRow.is_scheduled)
        return self._open(_TAKE_NOW, triggered_by, self._locked(statement), now)

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
                PortfolioDueRow.portfolio_id,
                PortfolioRow.name,
                PortfolioRow.account_id,
                PortfolioDueRow.scheduled_for,
                PortfolioDueRow.triggered_by,
                PortfolioDueRow.claimed_at,
                PortfolioDueRow.tries,
            )
            .join(PortfolioRow, PortfolioRow.id == PortfolioDueRow.portfolio_id)
            .where(PortfolioDueRow.batch_id == batch_id)
            .order_by(PortfolioDueRow.scheduled_for, PortfolioRow.name)
        ).all()
        if not rows:
            return None
        newest = rows[0]
        claims = [Claim(row.portfolio_id, row.name, row.account_id, row.scheduled_for) for row in rows]
        return ClaimedBatch(batch_id, TriggeredBy(newest.triggered_by), newest.claimed_at, claims, newest.tries)

    def waiting(self, claimed_before: datetime) -> Sequence[WaitingBatch]:
        """Batches with old claims without an outcome."""
        rows = self._session.execute(
            select(PortfolioDueRow.batch_id, PortfolioDueRow.claimed_at, PortfolioDueRow.tries)
            .where(PortfolioDueRow.batch_id.is_not(None), PortfolioDueRow.claimed_at < claimed_before)
            .distinct()
            .order_by(PortfolioDueRow.claimed_at)
        )
        return [WaitingBatch(row.batch_id, row.claimed_at, row.tries) for row in rows]

    def move_to_new_batch(self, batch_id: UUID, now: datetime) -> ClaimedBatch | None:
        """Give what is left of a batch another try."""
        again = new_id()
        self._session.execute(
            update(PortfolioDueRow)
            .where(PortfolioDueRow.batch_id == batch_id)
            .values(batch_id=again, claimed_at=now, tries=PortfolioDueRow.tries + 1)
        )
        return self.of_batch(again)

    def database_clock(self) -> datetime:
        """The database's present."""
        return self._session.execute(select(func.clock_timestamp())).scalar_one()

    def _locked(self, statement: _Free, values: Mapping[str, object] = MappingProxyType({})) -> list[Claim]:
        return [Claim(*row) for row in self._session.connection().execute(statement, values)]

    def _open(
        self, take: Update, triggered_by: TriggeredBy, taken: Sequence[Claim], now: datetime
    ) -> ClaimedBatch | None:
        if not taken:
            return None
        batch = ClaimedBatch(new_id(), triggered_by, now, taken)
        ids = [claim.portfolio_id for claim in taken]
        self._session.connection().execute(
            take, {"ids": ids, "batch": batch.id, "trigger": triggered_by.value, "now": now}
        )
        return batch


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


def _free(scheduled_for: SQLColumnExpression[datetime | None]) -> _Free:
    """Portfolios without an open claim, each due time locked as it is read; those locked by others are left out."""
    return (
        select(PortfolioDueRow.portfolio_id, PortfolioRow.name, PortfolioRow.account_id, scheduled_for)
        .join(PortfolioRow, PortfolioRow.id == PortfolioDueRow.portfolio_id)
        .where(PortfolioDueRow.batch_id.is_(None))
        .with_for_update(skip_locked=True, of=PortfolioDueRow)
    )


def _take(scheduled_for: SQLColumnExpression[datetime | None]) -> Update:
    """Claim what has been locked."""
    return (
        update(PortfolioDueRow)
        .where(PortfolioDueRow.portfolio_id == any_(bindparam("ids", type_=ARRAY(Uuid()))))
        .values(
            batch_id=bindparam("batch"),
            triggered_by=bindparam("trigger"),
            scheduled_for=scheduled_for,
            claimed_at=bindparam("now"),
            tries=0,
        )
    )


# Made once: they are asked for so often that putting them together would take as long as the database does.
_DUE = (
    _free(PortfolioDueRow.next_rebalance_at)
    .where(PortfolioDueRow.is_scheduled, PortfolioDueRow.next_rebalance_at <= bindparam("now"))
    .order_by(PortfolioDueRow.next_rebalance_at)
    .limit(bindparam("limit"))
)
_TAKE_DUE = _take(PortfolioDueRow.next_rebalance_at)
_TAKE_NOW = _take(bindparam("now"))
