"""A PostgreSQL server for tests, and an empty database per test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

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
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
