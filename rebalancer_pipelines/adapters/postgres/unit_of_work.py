"""One transaction over all repositories."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.repositories.accounts import PostgresAccounts
from rebalancer_pipelines.adapters.postgres.repositories.activity import PostgresActivityLog
from rebalancer_pipelines.adapters.postgres.repositories.history import PostgresHistory
from rebalancer_pipelines.adapters.postgres.repositories.ledger import PostgresLedger
from rebalancer_pipelines.adapters.postgres.repositories.orders import PostgresOrders
from rebalancer_pipelines.adapters.postgres.repositories.portfolios import PostgresPortfolios
from rebalancer_pipelines.adapters.postgres.repositories.rebalances import PostgresRebalances


class PostgresUnitOfWork:
    """A transaction that is undone unless `commit` is called."""

    def __init__(self, engine: Engine) -> None:
        """Prepare a transaction on a connection of the engine's pool."""
        self._session = Session(engine, expire_on_commit=False)
        self.accounts = PostgresAccounts(self._session)
        self.portfolios = PostgresPortfolios(self._session)
        self.ledger = PostgresLedger(self._session)
        self.rebalances = PostgresRebalances(self._session)
        self.orders = PostgresOrders(self._session)
        self.history = PostgresHistory(self._session)
        self.activity = PostgresActivityLog(self._session)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def commit(self) -> None:
        """Make it durable; returns once the database has acknowledged."""
        self._session.commit()
