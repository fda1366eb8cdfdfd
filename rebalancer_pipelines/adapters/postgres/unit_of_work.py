"""One transaction over all repositories."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.database import is_unavailable, unavailable
from rebalancer_pipelines.adapters.postgres.repositories.accounts import PostgresAccounts
from rebalancer_pipelines.adapters.postgres.repositories.activity import PostgresActivityLog
from rebalancer_pipelines.adapters.postgres.repositories.claims import PostgresClaims
from rebalancer_pipelines.adapters.postgres.repositories.drift_watch import PostgresDriftWatch
from rebalancer_pipelines.adapters.postgres.repositories.history import PostgresHistory
from rebalancer_pipelines.adapters.postgres.repositories.kill_switch import PostgresKillSwitch
from rebalancer_pipelines.adapters.postgres.repositories.ledger import PostgresLedger
from rebalancer_pipelines.adapters.postgres.repositories.orders import PostgresOrders
from rebalancer_pipelines.adapters.postgres.repositories.portfolios import PostgresPortfolios
from rebalancer_pipelines.adapters.postgres.repositories.rebalances import PostgresRebalances
from rebalancer_pipelines.application.ports import (
    Accounts,
    ActivityLog,
    Claims,
    DriftWatch,
    History,
    KillSwitch,
    Ledger,
    Orders,
    Portfolios,
    Rebalances,
)

# Every read shows what is stored now: rows that the session has seen before are not taken from its memory.
_AS_STORED = {"populate_existing": True, "synchronize_session": False}


class PostgresUnitOfWork:
    """A transaction that is undone unless `commit` is called; implements `ports.UnitOfWork`.

    Leaving it raises `DatabaseUnavailableError` when the database went away meanwhile or another session stood in the
    way. Whether a commit that was cut off so took effect is then unknown: read it again before acting on it.
    """

    def __init__(self, engine: Engine) -> None:
        """Prepare a transaction on a connection of the engine's pool."""
        self._url = engine.url
        self._session = Session(engine, expire_on_commit=False, execution_options=_AS_STORED)
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
