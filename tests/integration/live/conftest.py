"""A live account at the Kraken double, for the tests that ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rebalancer_pipelines.adapters.postgres.database import open_engine
from tests.support.kraken_bench import KrakenBench, kraken_bench
from tests.support.kraken_double.gate import DEFAULT_KEY, DEFAULT_SECRET
from tests.support.postgres import empty_database
from tests.support.stored import Stored


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The double's key, where the account looks for it."""
    monkeypatch.setenv("KRAKEN_API_KEY", DEFAULT_KEY)
    monkeypatch.setenv("KRAKEN_API_SECRET", DEFAULT_SECRET)


@pytest.fixture(scope="module")
def engine(module_database: str) -> Iterator[Engine]:
    with open_engine(module_database) as engine:
        yield engine


@pytest.fixture
def bench(engine: Engine, module_database: str, tmp_path: Path) -> Iterator[KrakenBench]:
    """A database of one's own for every test would take as long as the test itself: this one is emptied instead."""
    with Stored(module_database) as stored, kraken_bench(engine, stored, tmp_path) as opened:
        yield opened
    empty_database(module_database)
