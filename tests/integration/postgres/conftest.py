"""A database with the program's schema, migrated once and emptied after every test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine

from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.schema import migrate
from rebalancer_pipelines.adapters.postgres.tables import Base
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from tests.support.postgres import database_server as database_server  # noqa: PLC0414 - pytest finds fixtures by name

_NAME = "stored"

Transactions = Callable[[], PostgresUnitOfWork]


@pytest.fixture(scope="session")
def migrated(database_server: str) -> str:
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_NAME)))
    url = urlunsplit(urlsplit(database_server)._replace(path=f"/{_NAME}"))
    migrate(url)
    return url


@pytest.fixture
def url(migrated: str) -> Iterator[str]:
    """URL of a database with the schema and without rows."""
    yield migrated
    with psycopg.connect(migrated) as connection:
        tables = sql.SQL(", ").join(map(sql.Identifier, Base.metadata.tables))
        # The ledger's triggers refuse to let it be emptied.
        connection.execute("ALTER TABLE ledger_entry DISABLE TRIGGER USER")
        connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(tables))
        connection.execute("ALTER TABLE ledger_entry ENABLE TRIGGER USER")


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    with open_engine(url) as engine:
        yield engine


@pytest.fixture
def transactions(engine: Engine) -> Transactions:
    return lambda: PostgresUnitOfWork(engine)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=8) as pool:
        yield pool
