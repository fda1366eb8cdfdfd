"""What the history of every portfolio adds up to over a span of time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.repositories.history import IS_REHEARSED
from rebalancer_pipelines.adapters.postgres.tables import (
    AccountRow,
    PortfolioDueRow,
    PortfolioRow,
    RebalanceHistoryRow,
)
from rebalancer_pipelines.domain.portfolio import TradingState
from rebalancer_pipelines.domain.portfolio_day import PortfolioDay
from rebalancer_pipelines.domain.values import ZERO, Currency

_History = RebalanceHistoryRow


class PostgresPortfolioDays:
    """Implements `ports.PortfolioDays`."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def since(self, moment: datetime) -> Sequence[PortfolioDay]:
        """Every portfolio from that moment on, by name: two searches back in time and one sum each."""
        newest, before = _value(true()).lateral("newest"), _value(_History.executed_at < moment).lateral("before")
        live = ~_History.dry_run
        sums = (
            select(
                func.count().filter(live, _History.success).label("rebalances"),
                func.count().filter(live, ~_History.success).label("refusals"),
                func.count().filter(_History.dry_run).label("dry_runs"),
                func.coalesce(func.sum(_History.total_value_traded).filter(live), ZERO).label("traded"),
                func.coalesce(func.sum(_History.fees_paid).filter(live), ZERO).label("fees"),
            )
            .where(_History.portfolio_id == PortfolioRow.id, _History.executed_at >= moment)
            .lateral("sums")
        )
        statement = (
            select(
                PortfolioRow,
                PortfolioDueRow.next_rebalance_at,
                AccountRow.name.label("account"),
                AccountRow.trading_state,
                AccountRow.trading_state_reason,
                newest.c.value,
                newest.c.valued_at,
                before.c.value.label("value_before"),
                *sums.c,
            )
            .join(AccountRow, AccountRow.id == PortfolioRow.account_id)
            .join(PortfolioDueRow, PortfolioDueRow.portfolio_id == PortfolioRow.id)
            .outerjoin(newest, true())
            .outerjoin(before, true())
            .join(sums, true())
            .order_by(PortfolioRow.name)
        )
        return [
            PortfolioDay(
                name=row.PortfolioRow.name,
                valuation_currency=Currency(row.PortfolioRow.valuation_currency),
                value=row.value,
                valued_at=row.valued_at,
                value_before=row.value_before,
                rebalances=row.rebalances,
                refusals=row.refusals,
                dry_runs=row.dry_runs,
                traded=row.traded,
                fees=row.fees,
                enabled=row.PortfolioRow.rebalance_enabled,
                next_rebalance_at=row.next_rebalance_at,
                paused_reason=row.PortfolioRow.paused_reason,
                account=row.account,
                trading_state=TradingState(row.trading_state),
                trading_state_reason=row.trading_state_reason,
            )
            for row in self._session.execute(statement)
        ]


def _value(condition: ColumnElement[bool]):
    """The newest value of the portfolio beside it, with its time; what it was worth in a rehearsal is none of it."""
    return (
        select(_History.portfolio_value.label("value"), _History.executed_at.label("valued_at"))
        .where(
            _History.portfolio_id == PortfolioRow.id,
            _History.portfolio_value.is_not(None),
            ~IS_REHEARSED,
            condition,
        )
        .order_by(_History.executed_at.desc())
        .limit(1)
    )
