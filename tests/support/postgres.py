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
