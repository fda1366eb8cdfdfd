"""A PostgreSQL server for tests, and an empty database per test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.adapters.embedded.services import running_database
from rebalancer_pipelines.adapters.postgres.tables import Base

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def database_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server that lives as long as the session, one per pytest-xdist worker; it may lose its data."""
    with running_database(tmp_path_factory.mktemp("server") / "data", durable=False) as url:
        yield url


@pytest.fixture
def database(database_server: str) -> Iterator[str]:
    """URL of a database that is empty and belongs to one test."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield urlunsplit(urlsplit(database_server)._replace(path=f"/{name}"))
    drop_database(database_server, name)


def empty_database(url: str) -> None:
    """Delete every row of the program's tables, and begin to count from 1 again.

    TRUNCATE would make a new file for each of a hundred tables and indexes, for the few rows of a test.
    """
    with psycopg.connect(url) as connection:
        # A test that leaves a transaction open has to fail, not to stop all the others.
        connection.execute("SET lock_timeout = '30s'")
        # The ledger's triggers refuse to let it be emptied.
        connection.execute("ALTER TABLE ledger_entry DISABLE TRIGGER USER")
        # Those that refer to others first.
        tables = [sql.Identifier(table.name) for table in reversed(Base.metadata.sorted_tables)]
        connection.execute(sql.SQL("; ").join(sql.SQL("DELETE FROM {}").format(table) for table in tables))
        connection.execute("ALTER TABLE ledger_entry ENABLE TRIGGER USER")
        connection.execute(
            "SELECT setval(oid::regclass, 1, false) FROM pg_class "
            "WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace"
        )


def drop_database(server: str, name: str) -> None:
    """Drop a database with whoever is connected to it; the server's own vacuuming may take it a moment to end."""
    statement = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))

    def dropped() -> bool:
        try:
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            # It is vacuumed at this moment, by a process that nobody but a superuser may end.
            return False
        return True

    assert wait_until(dropped, 30.0), f"{name} is vacuumed for ever"
