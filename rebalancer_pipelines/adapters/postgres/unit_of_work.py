"""One transaction over all repositories."""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import ORMExecuteState, Session

from rebalancer_pipelines.adapters.postgres.database import is_unavailable, unavailable
from rebalancer_pipelines.adapters.postgres.repositories.accounts import PostgresAccounts
from rebalancer_pipelines.adapters.postgres.repositories.activity import PostgresActivityLog
from rebalancer_pipelines.adapters.postgres.repositories.bars import PostgresBars
from rebalancer_pipelines.adapters.postgres.repositories.claims import PostgresClaims
from rebalancer_pipelines.adapters.postgres.repositories.daily_values import PostgresDailyValues
from rebalancer_pipelines.adapters.postgres.repositories.drift_watch import PostgresDriftWatch
from rebalancer_pipelines.adapters.postgres.repositories.history import PostgresHistory
from rebalancer_pipelines.adapters.postgres.repositories.kill_switch import PostgresKillSwitch
from rebalancer_pipelines.adapters.postgres.repositories.ledger import PostgresLedger
from rebalancer_pipelines.adapters.postgres.repositories.notifications import PostgresNotifications
from rebalancer_pipelines.adapters.postgres.repositories.orders import PostgresOrders
from rebalancer_pipelines.adapters.postgres.repositories.portfolio_days import PostgresPortfolioDays
from rebalancer_pipelines.adapters.postgres.repositories.portfolios import PostgresPortfolios
from rebalancer_pipelines.adapters.postgres.repositories.rebalances import PostgresRebalances
from rebalancer_pipelines.adapters.postgres.repositories.rehearsals import PostgresRehearsals
from rebalancer_pipelines.adapters.postgres.repositories.statistics import PostgresStatistics
from rebalancer_pipelines.adapters.postgres.tables import PortfolioDueRow, PortfolioRow, TargetWeightRow
from rebalancer_pipelines.application.ports import (
    Accounts,
    ActivityLog,
    Bars,
    Claims,
    DailyValues,
    DriftWatch,
    History,
    KillSwitch,
    Ledger,
    Notifications,
    Orders,
    PortfolioDays,
    Portfolios,
    Rebalances,
    Rehearsals,
    Statistics,
)
from rebalancer_pipelines.domain.notification import NotificationKind

# Every read shows what is stored now: rows that the session has seen before are not taken from its memory.
_AS_STORED = {"populate_existing": True, "synchronize_session": False}

_PORTFOLIO_ROWS = frozenset({PortfolioRow, PortfolioDueRow, TargetWeightRow})


class PostgresUnitOfWork:
    """A transaction that is undone unless `commit` is called; implements `ports.UnitOfWork`.

    Leaving it raises `DatabaseUnavailableError` when the database went away meanwhile or another session stood in the
    way. Whether a commit that was cut off so took effect is then unknown: read it again before acting on it.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        notified: Collection[NotificationKind] = (),
        on_portfolio_change: Callable[[], None] | None = None,
    ) -> None:
        """Prepare a transaction on a connection of the engine's pool.

        `notified`: the facts that people are told of. `on_portfolio_change` is called after a commit that may have
        changed a portfolio, so that nobody who writes one can forget to.
        """
        self._url = engine.url
        self._session = Session(engine, expire_on_commit=False, execution_options=_AS_STORED)
        self._on_portfolio_change = on_portfolio_change
        self._portfolio_changed = False
        if on_portfolio_change is not None:
            event.listen(self._session, "do_orm_execute", self._note_change)
        self.accounts: Accounts = PostgresAccounts(self._session)
        self.portfolios: Portfolios = PostgresPortfolios(self._session)
        self.drift_watch: DriftWatch = PostgresDriftWatch(self._session)
        self.claims: Claims = PostgresClaims(self._session)
        self.ledger: Ledger = PostgresLedger(self._session)
        self.rebalances: Rebalances = PostgresRebalances(self._session)
        self.orders: Orders = PostgresOrders(self._session)
        self.history: History = PostgresHistory(self._session)
        self.activity: ActivityLog = PostgresActivityLog(self._session)
        self.kill_switch: KillSwitch = PostgresKillSwitch(self._session)
        self.notifications: Notifications = PostgresNotifications(self._session, notified)
        self.portfolio_days: PortfolioDays = PostgresPortfolioDays(self._session)
        self.daily_values: DailyValues = PostgresDailyValues(self._session)
        self.bars: Bars = PostgresBars(self._session)
        self.rehearsals: Rehearsals = PostgresRehearsals(self._session)
        self.statistics: Statistics = PostgresStatistics(self._session)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()
        if isinstance(error, SQLAlchemyError) and is_unavailable(error):
            raise unavailable(self._url, error) from error

    def commit(self) -> None:
        """Make it durable; returns once the database has acknowledged."""
        try:
            self._session.commit()
        finally:
            # Also when the commit was cut off: it may have taken effect.
            if self._portfolio_changed and self._on_portfolio_change is not None:
                self._on_portfolio_change()
            self._portfolio_changed = False

    def _note_change(self, state: ORMExecuteState) -> None:
        writes = state.is_insert or state.is_update or state.is_delete
        if writes and state.bind_mapper is not None and state.bind_mapper.class_ in _PORTFOLIO_ROWS:
            self._portfolio_changed = True
