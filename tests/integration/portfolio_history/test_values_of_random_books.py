"""Daily values of books that nobody thought of, against plain Python, to the last digit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from sqlalchemy import Engine

from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from rebalancer_pipelines.domain.day_span import DaySpan
from tests.support.builders import NOON, a_portfolio
from tests.support.daily_books import (
    SPAN,
    Bars,
    Entry,
    bars,
    books,
    built,
    expected,
    row_versions,
    write_bars,
    write_entries,
)

_PIECES = [DaySpan(SPAN.first, SPAN.first + timedelta(days=2)), DaySpan(SPAN.first + timedelta(days=3), SPAN.last)]


@pytest.fixture(scope="module")
def engine(module_database: str) -> Iterator[Engine]:
    with open_engine(module_database) as opened:
        yield opened


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    # A coin that came and went on a day of no prices at all; then its market has some, of another day.
    early=[
        Entry("booked", datetime(2018, 9, 27, 8, tzinfo=UTC), "deposit", "XYZ", Decimal(1)),
        Entry("booked", datetime(2018, 9, 27, 9, tzinfo=UTC), "withdrawal", "XYZ", Decimal(-1)),
    ],
    late=[],
    closes={},
    later_closes={("XYZ", date(2018, 9, 29)): Decimal(3)},
)
@given(early=books, late=books, closes=bars, later_closes=bars)
def test_every_day_is_its_entries_times_its_closes_however_late_they_come(
    engine: Engine, early: list[Entry], late: list[Entry], closes: Bars, later_closes: Bars
) -> None:
    late = [entry for entry in late if not (entry.basis == "rehearsed" and entry.kind == "deposit")]
    # Nothing is committed: every example sees an empty database.
    with PostgresUnitOfWork(engine) as work:
        account = work.accounts.add("main", "paper", "recorded", NOON)
        portfolio = replace(a_portfolio(), id=uuid4(), account_id=account.id)
        work.portfolios.add(portfolio)
        ids, session = [portfolio.id], work._session

        write_entries(session, account.id, portfolio.id, early)
        write_bars(session, closes)
        first = expected(early, closes)
        assert work.daily_values.outdated(ids, SPAN) == sorted({day for _, day in first})
        for piece in _PIECES:
            work.daily_values.build(ids, piece)
        assert built(session, portfolio.id) == first
        assert work.daily_values.outdated(ids, SPAN) == []

        write_entries(session, account.id, portfolio.id, late)
        write_bars(session, later_closes)
        second = expected([*early, *late], {**closes, **later_closes})
        changed = sorted({day for (basis, day), worth in second.items() if first.get((basis, day)) != worth})
        assert work.daily_values.outdated(ids, SPAN) == changed
        rebuilt = work.daily_values.build(ids, SPAN)
        assert built(session, portfolio.id) == second
        assert [day.day for day in rebuilt if day.changed] == changed

        before = row_versions(session)
        again = [day for piece in _PIECES for day in work.daily_values.build(ids, piece)]
        assert not any(day.changed for day in again)
        assert row_versions(session) == before
        assert {(one.basis.value, one.day): one.currencies for day in again for one in day.missing} == {
            key: day.missing for key, day in second.items() if day.missing
        }
