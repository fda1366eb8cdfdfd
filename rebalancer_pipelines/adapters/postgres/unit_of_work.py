"""One transaction over all repositories."""

from __future__ import annotations

from collections.abc import Collection
from types import TracebackType
from typing import Self

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.database import is_unavailable, unavailable
from rebalancer_pipelines.adapters.postgres.repositories.accounts import PostgresAccounts
from rebalancer_pipelines.adapters.postgres.repositories.activity import PostgresActivityLog
from rebalancer_pipelines.adapters.postgres.repositories.history import PostgresHistory
from rebalancer_pipelines.adapters.postgres.repositories.kill_switch import PostgresKillSwitch
from rebalancer_pipelines.adapters.postgres.repositories.ledger import PostgresLedger
from rebalancer_pipelines.adapters.postgres.repositories.notifications import PostgresNotifications
from rebalancer_pipelines.adapters.postgres.repositories.orders import PostgresOrders
from rebalancer_pipelines.adapters.postgres.repositories.portfolio_days import PostgresPortfolioDays
from rebalancer_pipelines.adapters.postgres.repositories.portfolios import PostgresPortfolios
from rebalancer_pipelines.adapters.postgres.repositories.rebalances import PostgresRebalances
from rebalancer_pipelines.application.ports import (
    Accounts,
    ActivityLog,
    History,
    KillSwitch,
    Ledger,
    Notifications,
    Orders,
    PortfolioDays,
    Portfolios,
    Rebalances,
)
from rebalancer_pipelines.domain.notification import NotificationKind

# Every read shows what is stored now: rows that the session has seen before are not taken from its memory.
_AS_STORED = {"populate_existing": True, "synchronize_session": False}


class PostgresUnitOfWork:
    """A transaction that is undone unless `commit` is called; implements `ports.UnitOfWork`.

    Leaving it raises `DatabaseUnavailableError` when the database went away meanwhile or another session stood in the
    way. Whether a commit that was cut off so took effect is then unknown: read it again before acting on it.
    """

    def __init__(self, engine: Engine, *, notified: Collection[NotificationKind] = ()) -> None:
        """Prepare a transaction on a connection of the engine's pool. `notified`: the facts that people are told."""
        self._url = engine.url
        self._session = Session(engine, expire_on_commit=False, execution_options=_AS_STORED)
        self.accounts: Accounts = PostgresAccounts(self._session)
        self.portfolios: Portfolios = PostgresPortfolios(self._session)
        self.ledger: Ledger = PostgresLedger(self._session)
        self.rebalances: Rebalances = PostgresRebalances(self._session)
        self.orders: Orders = PostgresOrders(self._session)
        self.history: History = PostgresHistory(self._session)
        self.activity: ActivityLog = PostgresActivityLog(self._session)
        self.kill_switch: KillSwitch = PostgresKillSwitch(self._session)
        self.notifications: Notifications = PostgresNotifications(self._session, notified)
        self.portfolio_days: PortfolioDays = PostgresPortfolioDays(self._session)

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
        self._session.commit()
