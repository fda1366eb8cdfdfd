"""A database with the program's schema, emptied after every test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from tests.support.postgres import empty_database

Transactions = Callable[[], PostgresUnitOfWork]


@pytest.fixture
def url(module_database: str) -> Iterator[str]:
    """URL of a database with the schema and without rows."""
    yield module_database
    empty_database(module_database)


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
