"""Rebalances with the evidence that they acted on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Text, Uuid, func, select, true, update
from sqlalchemy.dialects.postgresql import array, insert
from sqlalchemy.orm import Session, aliased

from rebalancer_pipelines.adapters.postgres.copying import column_values, copy_rows
from rebalancer_pipelines.adapters.postgres.given_rows import among, given_rows
from rebalancer_pipelines.adapters.postgres.tables import (
    AccountBalanceRow,
    PortfolioPositionRow,
    PriceMarkRow,
    RebalanceRow,
)
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, RebalancerError
from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.portfolio import Holding, Holdings, Portfolio
from rebalancer_pipelines.domain.rebalance import (
    Lease,
    Owner,
    PlannedRebalance,
    PositionPhase,
    Rebalance,
    RebalanceStatus,
    TriggeredBy,
    WeighedPosition,
)
from rebalancer_pipelines.domain.values import Currency


class PostgresRebalances:
    """Implements `ports.Rebalances`."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def start(
        self,
        *,
        portfolio: Portfolio,
        lease: Lease,
        dry_run: bool,
        triggered_by: TriggeredBy,
        dagster_run_id: str,
        scheduled_for: datetime | None,
        now: datetime,
        confirmed: Collection[DenialReason] = (),
    ) -> Rebalance:
        """Open the one active rebalance of an account.

        Expects the account's lease, under which what was left there has been settled. Raises `DeniedError`
        (ACCOUNT_BUSY) while another is active, `RebalancerError` when the run or the due time has had its rebalance of
        this portfolio.
        """
        if self.active_on(lease.account_id):
            raise self._refusal(portfolio, lease.account_id, dagster_run_id)
        statement = (
            insert(RebalanceRow)
            .values(
                portfolio_id=portfolio.id,
                account_id=lease.account_id,
                epoch=lease.epoch,
                status=RebalanceStatus.ACTIVE.value,
                dry_run=dry_run,
                triggered_by=triggered_by.value,
                dagster_run_id=dagster_run_id,
                scheduled_for=scheduled_for,
                started_at=now,
                confirmed=sorted(reason.value for reason in confirmed),
            )
            .on_conflict_do_nothing()
            .returning(RebalanceRow)
        )
        row = self._session.scalar(statement)
        if row is None:
            raise self._refusal(portfolio, lease.account_id, dagster_run_id)
        return _rebalance(row)

    def of_run(self, dagster_run_id: str, portfolio_id: UUID) -> Rebalance | None:
        """The rebalance that a Dagster run opened for a portfolio."""
        row = self._session.scalar(
            select(RebalanceRow).where(
                RebalanceRow.dagster_run_id == dagster_run_id, RebalanceRow.portfolio_id == portfolio_id
            )
        )
        return _rebalance(row) if row else None

    def by_id(self, rebalance_id: UUID) -> Rebalance:
        """The rebalance with that id, as it is stored now."""
        return _rebalance(self._session.scalars(select(RebalanceRow).where(RebalanceRow.id == rebalance_id)).one())

    def owners(self, rebalance_ids: Collection[UUID]) -> Mapping[UUID, Owner]:
        """Whose each of these rebalances is."""
        rows = self._session.execute(
            select(RebalanceRow.id, RebalanceRow.portfolio_id, RebalanceRow.dry_run).where(
                among(RebalanceRow.id, rebalance_ids)
            )
        )
        return {row.id: Owner(row.portfolio_id, row.dry_run) for row in rows}

    def active_on(self, account_id: UUID) -> Sequence[Rebalance]:
        """Rebalances of an account that are not finished."""
        rows = self._session.scalars(
            select(RebalanceRow).where(
                RebalanceRow.account_id == account_id, RebalanceRow.status == RebalanceStatus.ACTIVE.value
            )
        )
        return [_rebalance(row) for row in rows]

    def started_since(self, portfolio_id: UUID, since: datetime, *, dry_run: bool) -> Rebalance | None:
        """The newest rebalance of a portfolio that has started since then."""
        row = self._session.scalar(
            select(RebalanceRow)
            .where(
                RebalanceRow.portfolio_id == portfolio_id,
                RebalanceRow.started_at >= since,
                RebalanceRow.dry_run == dry_run,
            )
            .order_by(RebalanceRow.started_at.desc(), RebalanceRow.id.desc())
            .limit(1)
        )
        return _rebalance(row) if row else None

    def newest_prices(self, account_id: UUID, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """The price of each market that a live rebalance of the account kept last."""
        if not symbols:
            return {}
        # One short search back in time per market, however many rebalances there have been.
        asked = func.unnest(array(sorted(symbols), type_=Text)).table_valued("symbol").render_derived("asked")
        newest = (
            select(PriceMarkRow)
            .join(RebalanceRow, RebalanceRow.id == PriceMarkRow.rebalance_id)
            .where(RebalanceRow.account_id == account_id, ~RebalanceRow.dry_run, PriceMarkRow.symbol == asked.c.symbol)
            .order_by(RebalanceRow.started_at.desc(), RebalanceRow.id.desc())
            .limit(1)
            .lateral()
        )
        mark = aliased(PriceMarkRow, newest)
        return _marks(self._session.scalars(select(mark).select_from(asked).join(newest, true())))

    def highest_value(self, portfolio_id: UUID, since: datetime) -> tuple[datetime, Decimal] | None:
        """The highest value seen since then, with the time of its prices, the newest where several are as high.

        What was booked before its prices were read is part of a value; a portfolio of cash alone has no prices.
        """
        priced_at = (
            select(func.max(PriceMarkRow.observed_at))
            .where(PriceMarkRow.rebalance_id == RebalanceRow.id)
            .scalar_subquery()
        )
        seen_at = func.coalesce(priced_at, RebalanceRow.finished_at, RebalanceRow.started_at).label("seen_at")
        found = self._session.execute(
            select(seen_at, RebalanceRow.portfolio_value)
            .where(
                RebalanceRow.portfolio_id == portfolio_id,
                RebalanceRow.started_at >= since,
                RebalanceRow.portfolio_value.is_not(None),
            )
            .order_by(RebalanceRow.portfolio_value.desc(), RebalanceRow.started_at.desc())
            .limit(1)
        ).one_or_none()
        return None if found is None else (found.seen_at, found.portfolio_value)

    def store_balances(self, rebalance_id: UUID, balances: Mapping[Currency, Holding]) -> None:
        """Keep the venue's balances."""
        copy_rows(self._session, AccountBalanceRow, _balance_columns(rebalance_id, balances))

    def balances(self, rebalance_id: UUID) -> Mapping[Currency, Holding]:
        """The venue's balances kept."""
        rows = self._session.scalars(select(AccountBalanceRow).where(AccountBalanceRow.rebalance_id == rebalance_id))
        return {Currency(row.currency): Holding(row.total, row.free) for row in rows}

    def store_prices(self, rebalance_id: UUID, marks: Sequence[PriceMark]) -> None:
        """Keep the prices that the plan rests on."""
        copy_rows(self._session, PriceMarkRow, [mark_columns(rebalance_id, mark) for mark in marks])

    def prices(self, rebalance_id: UUID) -> Mapping[str, PriceMark]:
        """The prices kept, by symbol."""
        return _marks(self._session.scalars(select(PriceMarkRow).where(PriceMarkRow.rebalance_id == rebalance_id)))

    def store_positions(self, rebalance_id: UUID, phase: PositionPhase, positions: Sequence[WeighedPosition]) -> None:
        """Keep positions and weights of a phase."""
        rows = [position_columns(rebalance_id, phase, position) for position in positions]
        copy_rows(self._session, PortfolioPositionRow, rows)

    def positions(self, rebalance_id: UUID, phase: PositionPhase) -> Sequence[WeighedPosition]:
        """The positions kept, by currency."""
        rows = self._session.scalars(
            select(PortfolioPositionRow)
            .where(PortfolioPositionRow.rebalance_id == rebalance_id, PortfolioPositionRow.phase == phase.value)
            .order_by(PortfolioPositionRow.currency)
        )
        return [
            WeighedPosition(
                currency=Currency(row.currency),
                quantity=row.quantity,
                free=row.free,
                price=row.price,
                value=row.value,
                weight=row.weight,
                target=row.target,
            )
            for row in rows
        ]

    def store_value(self, rebalance_id: UUID, value: Decimal) -> None:
        """Keep the portfolio's value before the orders."""
        self._change(rebalance_id, portfolio_value=value)

    def store_plan(self, rebalance_id: UUID, plan_hash: str, document: Mapping[str, Any]) -> None:
        """Keep the plan as people see it."""
        self._change(rebalance_id, plan_hash=plan_hash, plan=dict(document))

    def plan_document(self, rebalance_id: UUID) -> Mapping[str, Any] | None:
        """The plan kept, if the rebalance came that far."""
        return self._session.scalar(select(RebalanceRow.plan).where(RebalanceRow.id == rebalance_id))

    def finish(self, rebalance_id: UUID, now: datetime) -> bool:
        """Close it, once."""
        closed = self._session.scalar(
            update(RebalanceRow)
            .where(RebalanceRow.id == rebalance_id, RebalanceRow.status == RebalanceStatus.ACTIVE.value)
            .values(status=RebalanceStatus.FINISHED.value, finished_at=now)
            .returning(RebalanceRow.id)
        )
        return closed is not None

    def add_planned(self, planned: Sequence[PlannedRebalance]) -> None:
        """Store rebalances that were planned together."""
        copy_rows(self._session, RebalanceRow, [_planned_columns(each) for each in planned])
        copy_rows(
            self._session,
            AccountBalanceRow,
            [columns for each in planned for columns in _balance_columns(each.rebalance.id, each.balances)],
        )
        copy_rows(
            self._session,
            PriceMarkRow,
            [mark_columns(each.rebalance.id, mark) for each in planned for mark in each.marks],
        )
        copy_rows(
            self._session,
            PortfolioPositionRow,
            [
                position_columns(each.rebalance.id, PositionPhase.BEFORE, position)
                for each in planned
                for position in each.positions
            ],
        )

    def finish_together(
        self, positions_after: Mapping[UUID, Sequence[WeighedPosition]], now: datetime
    ) -> Collection[UUID]:
        """Close rebalances with their positions after."""
        closed = set(
            self._session.scalars(
                update(RebalanceRow)
                .where(among(RebalanceRow.id, positions_after), RebalanceRow.status == RebalanceStatus.ACTIVE.value)
                .values(status=RebalanceStatus.FINISHED.value, finished_at=now)
                .returning(RebalanceRow.id)
            )
        )
        copy_rows(
            self._session,
            PortfolioPositionRow,
            [
                position_columns(rebalance_id, PositionPhase.AFTER, position)
                for rebalance_id, positions in positions_after.items()
                if rebalance_id in closed
                for position in positions
            ],
        )
        return closed

    def answered(self, asked: Mapping[UUID, datetime], *, dry_run: bool) -> Collection[UUID]:
        """Portfolios that a rebalance has been started for since each was asked for."""
        if not asked:
            return set()
        moment = DateTime(timezone=True)
        given = given_rows("given", portfolio_id=(Uuid(), list(asked)), asked_at=(moment, list(asked.values())))
        return set(
            self._session.scalars(
                select(RebalanceRow.portfolio_id)
                .join(given, given.c.portfolio_id == RebalanceRow.portfolio_id)
                .where(RebalanceRow.started_at >= given.c.asked_at, RebalanceRow.dry_run == dry_run)
            )
        )

    def _refusal(self, portfolio: Portfolio, account_id: UUID, dagster_run_id: str) -> RebalancerError:
        """Why a rebalance could not be opened."""
        if self.of_run(dagster_run_id, portfolio.id) is not None:
            return RebalancerError(
                f"run {dagster_run_id} has started a rebalance of {portfolio.name} before; launch a new run instead"
            )
        active = self.active_on(account_id)
        if active:
            return DeniedError(
                DenialReason.ACCOUNT_BUSY,
                f"run {active[0].dagster_run_id} has a rebalance under way on the account of {portfolio.name}; "
                "run again once it is finished",
            )
        return RebalancerError(f"{portfolio.name} has been rebalanced for this due time before; nothing is left to do")

    def _change(self, rebalance_id: UUID, **changes: Any) -> None:
        self._session.execute(update(RebalanceRow).where(RebalanceRow.id == rebalance_id).values(**changes))


def _planned_columns(planned: PlannedRebalance) -> dict[str, Any]:
    rebalance = planned.rebalance
    return {
        "id": rebalance.id,
        "portfolio_id": rebalance.portfolio_id,
        "account_id": rebalance.account_id,
        "epoch": rebalance.epoch,
        "status": rebalance.status.value,
        "dry_run": rebalance.dry_run,
        "triggered_by": rebalance.triggered_by.value,
        "dagster_run_id": rebalance.dagster_run_id,
        "scheduled_for": rebalance.scheduled_for,
        "started_at": rebalance.started_at,
        "portfolio_value": rebalance.portfolio_value,
        "plan": planned.plan,
        "plan_hash": rebalance.plan_hash,
    }


def _balance_columns(rebalance_id: UUID, balances: Holdings) -> list[dict[str, Any]]:
    return [
        {"rebalance_id": rebalance_id, "currency": currency, "total": held.total, "free": held.free}
        for currency, held in balances.items()
    ]


def mark_columns(rebalance_id: UUID, mark: PriceMark) -> dict[str, Any]:
    """A price as a rebalance keeps it."""
    return {**column_values(mark), "mid": mark.mid, "rebalance_id": rebalance_id}


def position_columns(rebalance_id: UUID, phase: PositionPhase, position: WeighedPosition) -> dict[str, Any]:
    """A position as a rebalance keeps it."""
    return {**column_values(position), "rebalance_id": rebalance_id, "phase": phase.value}


def _marks(rows: Iterable[PriceMarkRow]) -> dict[str, PriceMark]:
    return {
        row.symbol: PriceMark(row.symbol, row.bid, row.ask, row.source, row.observed_at, row.recorded_at)
        for row in rows
    }


def _rebalance(row: RebalanceRow) -> Rebalance:
    return Rebalance(
        id=row.id,
        portfolio_id=row.portfolio_id,
        account_id=row.account_id,
        epoch=row.epoch,
        status=RebalanceStatus(row.status),
        dry_run=row.dry_run,
        triggered_by=TriggeredBy(row.triggered_by),
        dagster_run_id=row.dagster_run_id,
        started_at=row.started_at,
        confirmed=frozenset(DenialReason(reason) for reason in row.confirmed),
        scheduled_for=row.scheduled_for,
        finished_at=row.finished_at,
        portfolio_value=row.portfolio_value,
        plan_hash=row.plan_hash,
    )
