"""Rehearsals over the recorded year: rows of rebalances that were never made, all dry runs triggered by `backfill`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import column, func, select, table
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.copying import column_values, copy_rows
from rebalancer_pipelines.adapters.postgres.repositories.history import PostgresHistory
from rebalancer_pipelines.adapters.postgres.repositories.orders import fill_columns, order_columns
from rebalancer_pipelines.adapters.postgres.repositories.rebalances import mark_columns, position_columns
from rebalancer_pipelines.adapters.postgres.tables import (
    FillRow,
    OrderIntentRow,
    PortfolioPositionRow,
    PortfolioRow,
    PriceMarkRow,
    RebalanceRow,
    RehearsedDepositRow,
)
from rebalancer_pipelines.domain.history_basis import HistoryBasis
from rebalancer_pipelines.domain.order import Order
from rebalancer_pipelines.domain.rebalance import PositionPhase, TriggeredBy
from rebalancer_pipelines.domain.rehearsal import RehearsedRebalance
from rebalancer_pipelines.domain.values import Currency

_ENTRY = table("book_entry", column("portfolio_id"), column("basis"), column("currency"), column("amount"))


class PostgresRehearsals:
    """Implements `ports.Rehearsals`."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def begin(self, portfolio_id: UUID, deposits: Mapping[Currency, Decimal], at: datetime) -> None:
        """Store the play money, once, and hold its rows, which nothing but a rehearsal ever holds."""
        # The portfolio first, as whoever deletes it does: then none of the two waits for the other in turn.
        self._session.execute(
            select(PortfolioRow.id).where(PortfolioRow.id == portfolio_id).with_for_update(read=True, key_share=True)
        )
        rows = [
            {"portfolio_id": portfolio_id, "currency": currency, "occurred_at": at, "amount": amount}
            for currency, amount in sorted(deposits.items())
        ]
        self._session.execute(insert(RehearsedDepositRow).values(rows).on_conflict_do_nothing())
        self._session.execute(
            select(RehearsedDepositRow.currency)
            .where(RehearsedDepositRow.portfolio_id == portfolio_id)
            .order_by(RehearsedDepositRow.currency)
            .with_for_update()
        )

    def latest(self, portfolio_id: UUID) -> datetime | None:
        """The due time of the last attempt that is stored."""
        return self._session.scalar(
            select(func.max(RebalanceRow.started_at)).where(
                RebalanceRow.portfolio_id == portfolio_id,
                RebalanceRow.triggered_by == TriggeredBy.BACKFILL.value,
                RebalanceRow.dry_run,
            )
        )

    def units(self, portfolio_id: UUID) -> Mapping[Currency, Decimal]:
        """What the play money has become; currencies that sum to zero are left out."""
        sums = self._session.execute(
            select(_ENTRY.c.currency, func.sum(_ENTRY.c.amount))
            .where(_ENTRY.c.portfolio_id == portfolio_id, _ENTRY.c.basis == HistoryBasis.REHEARSED.value)
            .group_by(_ENTRY.c.currency)
        )
        return {Currency(currency): amount for currency, amount in sums if amount}

    def add(self, attempts: Sequence[RehearsedRebalance]) -> None:
        """Store attempts with all that they rest on and came to."""
        orders = [(each, order) for each in attempts for order in each.orders]
        copy_rows(self._session, RebalanceRow, [_rebalance_columns(each) for each in attempts])
        copy_rows(
            self._session,
            PriceMarkRow,
            [mark_columns(each.rebalance.id, mark) for each in attempts for mark in each.marks],
        )
        copy_rows(
            self._session,
            PortfolioPositionRow,
            [
                position_columns(each.rebalance.id, phase, position)
                for each in attempts
                for phase, positions in ((PositionPhase.BEFORE, each.before), (PositionPhase.AFTER, each.after))
                for position in positions
            ],
        )
        copy_rows(self._session, OrderIntentRow, [_order_columns(each, order) for each, order in orders])
        copy_rows(
            self._session,
            FillRow,
            [
                {
                    "id": uuid5(order.id, fill.trade_id),
                    "order_intent_id": order.id,
                    "account_id": each.rebalance.account_id,
                    **fill_columns(fill),
                }
                for each, order in orders
                for fill in order.fills
            ],
        )
        PostgresHistory(self._session).add([each.record for each in attempts])


def _rebalance_columns(rehearsed: RehearsedRebalance) -> dict[str, Any]:
    rebalance = rehearsed.rebalance
    return {
        **column_values(rebalance),
        "status": rebalance.status.value,
        "triggered_by": rebalance.triggered_by.value,
        "confirmed": [],
        "plan": rehearsed.plan,
    }


def _order_columns(rehearsed: RehearsedRebalance, order: Order) -> dict[str, Any]:
    rebalance = rehearsed.rebalance
    return {
        **order_columns(order),
        "account_id": rebalance.account_id,
        "portfolio_id": rebalance.portfolio_id,
        "dry_run": rebalance.dry_run,
        "venue_order_id": order.venue_order_id,
        # By the recording's clock, as everything about it.
        "created_at": rebalance.started_at,
        "updated_at": rebalance.started_at,
    }
