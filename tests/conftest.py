"""Fixtures for every test: a database that is ready to use, and the program's ports over it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from rebalancer_pipelines.adapters.assembly import open_ports
from rebalancer_pipelines.adapters.postgres.schema import migrate
from rebalancer_pipelines.application.ports import Ports
from tests.support.postgres import drop_database
from tests.support.stored import Stored

pytest_plugins = ["tests.support.postgres"]

_TEMPLATE = "migrated"
_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-schedules", default=2000, help="how many random fault schedules to run")
    parser.addoption("--fault-schedules-from", default=0, help="the seed of the first of them")


@pytest.fixture(scope="session")
def _migrated(database_server: str) -> str:
    """URL of a server with a migrated database to copy from: a copy takes a tenth of the time of a migration."""
    _run(database_server, "CREATE DATABASE {}", _TEMPLATE)
    migrate(urlunsplit(urlsplit(database_server)._replace(path=f"/{_TEMPLATE}")))
    return database_server


@pytest.fixture(scope="module")
def module_database(_migrated: str) -> Iterator[str]:
    """URL of a migrated database for the tests of one module, which must leave it as it was."""
    with _copy(_migrated) as url:
        yield url


@pytest.fixture
def ready_database(_migrated: str) -> Iterator[str]:
    """URL of a migrated database that belongs to one test."""
    with _copy(_migrated) as url:
        yield url


@pytest.fixture
def ports(ready_database: str) -> Iterator[Ports]:
    """The program's ports over `ready_database`."""
    with open_ports(ready_database) as opened:
        yield opened


@pytest.fixture
def stored(ready_database: str) -> Iterator[Stored]:
    """A look at `ready_database` from outside the program."""
    with Stored(ready_database) as look:
        yield look


@contextmanager
def _copy(server: str) -> Iterator[str]:
    name = f"ready_{next(_numbers)}"
    _run(server, "CREATE DATABASE {} TEMPLATE {}", name, _TEMPLATE)
    yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    drop_database(server, name)


def _run(server: str, statement: LiteralString, *names: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
