"""A migrated database that the tests of a module share; each works on an account of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import Engine, insert

from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.tables import AccountRow
from rebalancer_pipelines.domain.account_settings import parse_settings
from rebalancer_pipelines.domain.portfolio import Account, TradingState
from tests.support.manual_clock import ManualClock

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def engine(module_database: str) -> Iterator[Engine]:
    with open_engine(module_database) as engine:
        yield engine


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def account(engine: Engine, request: pytest.FixtureRequest) -> Account:
    return open_paper_account(engine, request.node.nodeid)


def open_paper_account(engine: Engine, name: str) -> Account:
    """A stored account that holds nothing yet."""
    with engine.begin() as connection:
        account_id: UUID = connection.execute(
            insert(AccountRow).values(name=name, venue="paper", price_source="recorded").returning(AccountRow.id)
        ).scalar_one()
    settings = parse_settings({}, is_paper=True)
    return Account(account_id, name, "paper", "recorded", TradingState.ACTIVE, None, NOON, settings)
