"""The history of rebalances."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.copying import column_values, copy_rows
from rebalancer_pipelines.adapters.postgres.tables import PortfolioRow, RebalanceHistoryRow
from rebalancer_pipelines.domain.rebalance import AttemptResult, RebalanceRecord, TriggeredBy

IS_REHEARSED = RebalanceHistoryRow.dry_run & (RebalanceHistoryRow.triggered_by == TriggeredBy.BACKFILL.value)
"""Of a row: whether it tells of the recorded year rather than of its account."""

_CHUNK = 200
"""Rows that are read at once where nobody knows how many will be needed."""


class PostgresHistory:
    """Implements `ports.History`."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def add(self, records: Sequence[RebalanceRecord]) -> None:
        """Store the records of attempts; a record's fields are the table's columns."""
        rows = [{**column_values(record), "triggered_by": record.triggered_by.value} for record in records]
        copy_rows(self._session, RebalanceHistoryRow, rows)

    def get(self, record_id: UUID) -> RebalanceRecord | None:
        """One record."""
        row = self._session.scalar(select(RebalanceHistoryRow).where(RebalanceHistoryRow.id == record_id))
        return _record(row) if row else None

    def newest(
        self, portfolio_id: UUID | None, limit: int, *, rehearsed: bool = True
    ) -> Sequence[tuple[str, RebalanceRecord]]:
        """Records with their portfolio's name, newest first; those of rehearsals only when they are wanted, too."""
        statement = (
            select(PortfolioRow.name, RebalanceHistoryRow)
            .join(PortfolioRow, PortfolioRow.id == RebalanceHistoryRow.portfolio_id)
            .order_by(RebalanceHistoryRow.executed_at.desc(), RebalanceHistoryRow.id.desc())
            .limit(limit)
        )
        if portfolio_id is not None:
            statement = statement.where(RebalanceHistoryRow.portfolio_id == portfolio_id)
        if not rehearsed:
            statement = statement.where(~IS_REHEARSED)
        return [(name, _record(row)) for name, row in self._session.execute(statement)]

    def newest_live_runs(
        self, account_id: UUID, limit: int, since: datetime | None
    ) -> Sequence[Sequence[AttemptResult]]:
        """How the attempts of an account's newest runs ended, dry runs aside, newest first."""
        history = RebalanceHistoryRow
        statement = (
            select(history.id, history.dagster_run_id, history.success, history.orders_executed, history.errors)
            .join(PortfolioRow, PortfolioRow.id == RebalanceHistoryRow.portfolio_id)
            .where(PortfolioRow.account_id == account_id, ~RebalanceHistoryRow.dry_run)
            .order_by(RebalanceHistoryRow.executed_at.desc(), RebalanceHistoryRow.id.desc())
            .execution_options(yield_per=_CHUNK)
        )
        if since is not None:
            statement = statement.where(history.executed_at >= since)
        runs: dict[str, list[AttemptResult]] = {}
        with self._session.execute(statement) as rows:
            for row in rows:
                run = row.dagster_run_id or str(row.id)
                if run not in runs and len(runs) == limit:
                    break
                runs.setdefault(run, []).append(AttemptResult(row.success, row.orders_executed, row.errors or []))
        return list(runs.values())


def _record(row: RebalanceHistoryRow) -> RebalanceRecord:
    return RebalanceRecord(
        id=row.id,
        portfolio_id=row.portfolio_id,
        executed_at=row.executed_at,
        scheduled_for=row.scheduled_for,
        success=row.success,
        dry_run=row.dry_run,
        portfolio_value=row.portfolio_value,
        orders_planned=row.orders_planned,
        orders_executed=row.orders_executed,
        orders_failed=row.orders_failed,
        total_value_traded=row.total_value_traded,
        fees_paid=row.fees_paid,
        orders=row.orders,
        errors=row.errors,
        triggered_by=TriggeredBy(row.triggered_by),
        duration_ms=row.duration_ms,
        price_source=row.price_source,
        plan_hash=row.plan_hash,
        dagster_run_id=row.dagster_run_id,
        value_crossed=row.value_crossed,
        fees_saved=row.fees_saved,
    )
