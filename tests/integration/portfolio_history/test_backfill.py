"""Backfilling a range of days: what comes of it, what is refused, and what it never holds up."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

from rebalancer_pipelines.application.portfolio_history.backfill import PRICES, VALUES, backfill
from rebalancer_pipelines.application.portfolio_history.build import build_days, months_of, outdated_span, value_curves
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.errors import InvalidInputError, NotFoundError
from rebalancer_pipelines.domain.history_basis import HistoryBasis
from rebalancer_pipelines.domain.ledger import LedgerEntry, LedgerEntryKind
from rebalancer_pipelines.domain.values import Currency
from tests.support.paper_account import open_paper_account
from tests.support.rebalancing import rebalance
from tests.support.stored import Stored

EUR, BTC = Currency("EUR"), Currency("BTC")
SUMMER = DaySpan(date(2018, 6, 10), date(2018, 9, 5))


def book(
    ports: Ports, day: date, currency: Currency, amount: str, kind: str = "deposit", portfolio: str = "core"
) -> None:
    """Enter a movement of that day's noon in a portfolio's book, now."""
    with ports.transactions() as work:
        owner = work.portfolios.get(portfolio)
        at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        entry = LedgerEntry(owner.account_id, owner.id, LedgerEntryKind(kind), currency, Decimal(amount), "test", at)
        work.ledger.append([entry])
        work.commit()


@pytest.fixture
def core(past: Ports) -> UUID:
    """A portfolio that has held money since the middle of June."""
    open_paper_account(past, {EUR: Decimal(100)})
    portfolio = create_portfolio(past, {"name": "core", "account": "main", "weights": "BTC=60,EUR=40"})
    book(past, date(2018, 6, 15), EUR, "1000")
    book(past, date(2018, 6, 15), BTC, "0.5")
    return portfolio.id


def values(stored: Stored) -> dict[date, Decimal | None]:
    return {row["day"]: row["value"] for row in stored.rows("SELECT day, value FROM daily_portfolio_value")}


def versions(stored: Stored) -> list[str]:
    """Every row of the history with the transaction that wrote it."""
    tables = ("price_bar", "daily_portfolio_value", "daily_holding")
    return [
        row["line"]
        for table in tables
        for row in stored.rows(f"SELECT xmin || to_jsonb({table})::text AS line FROM {table} ORDER BY 1")  # type: ignore[arg-type]
    ]


def test_a_book_is_worth_its_units_at_the_days_close(past: Ports, core: UUID, stored: Stored) -> None:
    steps: list[tuple[str, int, int]] = []
    found = backfill(past, SUMMER, None, progress=lambda *step: steps.append(step))
    assert (found.books, found.changed, found.missing) == (83, 83, [])
    assert steps[-1] == (VALUES, SUMMER.length, SUMMER.length)
    assert {step for step, _, _ in steps} == {PRICES, VALUES}
    closes = {
        row["opened_at"].date(): row["close"]
        for row in stored.rows("SELECT opened_at, close FROM price_bar WHERE symbol = 'BTC/EUR' AND timeframe = '1d'")
    }
    days = [date(2018, 6, 15) + timedelta(days=number) for number in range(83)]
    assert values(stored) == {day: 1000 + closes[day] / 2 for day in days}
    first = stored.row("SELECT * FROM daily_portfolio_value ORDER BY day LIMIT 1")
    assert (first["basis"], first["inflow"], first["outflow"], first["entry_count"]) == ("booked", first["value"], 0, 2)


def test_the_largest_books_are_drawn_day_by_day(past: Ports, core: UUID, stored: Stored) -> None:
    backfill(past, SUMMER, None)
    of_core = values(stored)
    create_portfolio(past, {"name": "side", "account": "main", "weights": "EUR=100"})
    book(past, date(2018, 6, 20), EUR, "7", portfolio="side")
    backfill(past, SUMMER, "side")
    (largest,) = value_curves(past, SUMMER.last, 1)
    assert (largest.portfolio, largest.basis, dict(largest.days)) == ("core", HistoryBasis.BOOKED, of_core)
    assert [(one.portfolio, one.among) for one in value_curves(past, SUMMER.last, 2)] == [("core", 2), ("side", 2)]


def test_twice_changes_nothing_and_whatever_stopped_it_is_made_good(past: Ports, core: UUID, stored: Stored) -> None:
    months = build_days(past, [core], SUMMER)
    backfill(past, DaySpan(SUMMER.first, SUMMER.first), None)
    next(months)
    next(months)
    months.close()  # type: ignore[attr-defined]
    assert max(values(stored)) == date(2018, 7, 31)
    backfill(past, SUMMER, None)
    whole = versions(stored)
    again = backfill(past, SUMMER, "core")
    assert (again.books, again.changed) == (83, 0)
    assert versions(stored) == whole


def test_a_late_entry_marks_the_days_from_its_own_on(past: Ports, core: UUID, stored: Stored) -> None:
    until_now = DaySpan(SUMMER.first, date(2018, 10, 31))
    backfill(past, until_now, None)
    assert outdated_span(past) is None
    before = values(stored)
    book(past, date(2018, 9, 20), EUR, "-100", "fee")
    span = outdated_span(past)
    assert span == DaySpan(date(2018, 9, 20), date(2018, 10, 31))
    (month, rest) = list(build_days(past, [core], until_now))[-2:]
    assert [day.day for day in month if day.changed] == list(DaySpan(span.first, date(2018, 9, 30)).days())
    assert all(day.changed for day in rest)
    late = {day: value for day, value in values(stored).items() if value != before[day]}
    assert set(late) == set(span.days())
    assert outdated_span(past) is None


def test_a_corrected_close_marks_its_own_day_alone(past: Ports, core: UUID, stored: Stored) -> None:
    backfill(past, DaySpan(SUMMER.first, date(2018, 10, 31)), None)
    stored.change(
        "UPDATE price_bar SET close = low WHERE symbol = 'BTC/EUR' AND opened_at = '2018-08-01 00:00+00' "
        "AND timeframe = '1d'"
    )
    assert outdated_span(past) == DaySpan(date(2018, 8, 1), date(2018, 8, 1))


def test_yesterday_is_to_be_built_once_it_has_ended(past: Ports, core: UUID) -> None:
    backfill(past, DaySpan(SUMMER.first, date(2018, 10, 30)), None)
    assert outdated_span(past) == DaySpan(date(2018, 10, 31), date(2018, 10, 31))


def test_a_day_without_a_close_has_no_value_and_says_of_what(past: Ports, core: UUID, stored: Stored) -> None:
    backfill(past, SUMMER, None)
    stored.change("DELETE FROM price_bar WHERE opened_at = '2018-08-01 00:00+00'")
    ((day,),) = build_days(past, [core], DaySpan(date(2018, 8, 1), date(2018, 8, 1)))
    ((portfolio, currencies),) = [(one.portfolio, one.currencies) for one in day.missing]
    assert (portfolio, currencies) == ("core", (BTC,))
    row = stored.row("SELECT * FROM daily_portfolio_value WHERE day = '2018-08-01'")
    assert (row["value"], row["inflow"], row["outflow"], row["missing"]) == (None, None, None, ["BTC"])
    assert stored.row("SELECT units FROM daily_holding WHERE day = '2018-08-01' AND currency = 'BTC'")[
        "units"
    ] == Decimal("0.5")


@pytest.mark.parametrize(
    ("span", "portfolio", "kind", "said"),
    [
        (DaySpan(date(2018, 10, 1), date(2018, 11, 1)), None, InvalidInputError, "to: '2018-11-01' has not ended"),
        (DaySpan(date(2018, 10, 1), date(2018, 11, 2)), None, InvalidInputError, "to: '2018-11-02' lies in the future"),
        (SUMMER, "ghost", NotFoundError, "portfolio: 'ghost' is unknown"),
    ],
)
def test_what_cannot_be_built_is_refused(
    past: Ports, core: UUID, stored: Stored, span: DaySpan, portfolio: str | None, kind: type[Exception], said: str
) -> None:
    before = stored.everything()
    with pytest.raises(kind, match=said):
        backfill(past, span, portfolio)
    assert stored.everything() == before


def test_a_range_without_prices_is_refused_and_values_nothing(past: Ports, core: UUID, stored: Stored) -> None:
    book(past, date(2017, 9, 1), BTC, "1")
    with pytest.raises(InvalidInputError, match="have no closing price of BTC/EUR; choose other days"):
        backfill(past, DaySpan(date(2017, 9, 1), date(2017, 9, 10)), "core")
    assert values(stored) == {}


def test_a_span_in_months() -> None:
    assert months_of(DaySpan(date(2018, 1, 31), date(2018, 3, 1))) == [
        DaySpan(date(2018, 1, 31), date(2018, 1, 31)),
        DaySpan(date(2018, 2, 1), date(2018, 2, 28)),
        DaySpan(date(2018, 3, 1), date(2018, 3, 1)),
    ]


@pytest.fixture
def held_up(ready_database: str, stored: Stored) -> Iterator[psycopg.Connection]:
    """A connection on whose transaction every builder waits in the middle of its own, with its rows written."""
    stored.change(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$"
    )
    stored.change(
        "CREATE CONSTRAINT TRIGGER hold_up AFTER INSERT ON daily_holding DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION wait()"
    )
    with psycopg.connect(ready_database) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(42)")
        yield connection


def test_a_rebalance_waits_for_no_backfill(
    past: Ports, core: UUID, stored: Stored, held_up: psycopg.Connection
) -> None:
    stored.change(
        "INSERT INTO recorded_clock (recorded_at, started_at, speed) VALUES ('2018-11-01 12:30+00', %s, 1)",
        past.clock.now(),
    )
    stored.change("UPDATE paper_balance SET total = 1100 WHERE currency = 'EUR'")
    stored.change("INSERT INTO paper_balance (account_id, currency, total) SELECT id, 'BTC', 0.5 FROM account")
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(backfill, past, SUMMER, None)
        try:
            while not stored.rows("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                assert not building.done(), building.result()
            assert rebalance(past, "core").success
            assert not building.done()
        finally:
            held_up.rollback()
        assert building.result().changed == 83
