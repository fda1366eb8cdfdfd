"""Migrating a database that has traded: no row is lost, and every fill gets what it moved."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.errors import CheckViolation, NotNullViolation, UniqueViolation
from psycopg.rows import dict_row

from rebalancer_pipelines.adapters.postgres.schema import check_schema, migrate
from tests.support.alembic_command import alembic

_TRADED: LiteralString = """
INSERT INTO account (name, venue, price_source, settings) VALUES ('main', 'paper', 'recorded', '{}');
INSERT INTO portfolio (name, account_id) SELECT 'long-term', id FROM account;
INSERT INTO rebalance
    (portfolio_id, account_id, epoch, status, dry_run, triggered_by, dagster_run_id, started_at, finished_at)
    SELECT id, account_id, 1, 'finished', false, 'manual', 'run', now(), now() FROM portfolio;
INSERT INTO order_intent
    (rebalance_id, account_id, portfolio_id, sequence, client_order_id, symbol, base_currency, quote_currency, side,
     quantity, price, limit_price, state, dry_run)
    SELECT id, account_id, portfolio_id, 0, 'C1', 'BTC/EUR', 'BTC', 'EUR', 'buy', 3, 100, 101, 'FILLED', false
    FROM rebalance;
INSERT INTO fill
    (order_intent_id, account_id, trade_id, quantity, price, fee, fee_currency, liquidity_side, executed_at)
    SELECT order_intent.id, account_id, trade.id, trade.quantity, trade.price, 0, 'EUR', 'taker', now()
    FROM order_intent,
    (VALUES ('T1', 1.23456789, 30000.1), ('T2', 0.000000000000000001, 0.00001)) AS trade (id, quantity, price);
INSERT INTO ledger_entry (account_id, portfolio_id, kind, currency, amount, cause, occurred_at, fill_id)
    SELECT account_id, (SELECT id FROM portfolio), 'fill', 'BTC', quantity, 'trade ' || trade_id, now(), id FROM fill;
INSERT INTO ledger_entry (account_id, portfolio_id, kind, currency, amount, cause, occurred_at)
    SELECT id, NULL, 'deposit', 'EUR', 1000.01, 'opening balance', now() FROM account;
"""


@pytest.fixture
def traded(database: str) -> str:
    """URL of a database at 0001 with two fills and three entries in its ledger."""
    alembic(database, "upgrade", "0001").check_returncode()
    with psycopg.connect(database) as connection:
        connection.execute(_TRADED)
    return database


@pytest.fixture
def migrated(traded: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """The same database at the program's version."""
    migrate(traded)
    with psycopg.connect(traded, row_factory=dict_row) as connection:
        yield connection


def test_every_fill_has_moved_quantity_times_price(migrated: psycopg.Connection[dict[str, Any]]) -> None:
    found = migrated.execute("SELECT trade_id, quantity, notional FROM fill ORDER BY trade_id").fetchall()
    assert [tuple(row.values()) for row in found] == [
        ("T1", Decimal("1.23456789"), Decimal("37037.160156789")),
        ("T2", Decimal("0.000000000000000001"), Decimal("1E-23")),
    ]


def test_the_ledger_is_as_it_was_and_knows_no_lines_of_the_venue(migrated: psycopg.Connection[dict[str, Any]]) -> None:
    found = migrated.execute(
        "SELECT kind, currency, amount, cause, fill_id IS NOT NULL AS of_fill, venue_entry_id FROM ledger_entry "
        "ORDER BY cause"
    ).fetchall()
    assert [tuple(row.values()) for row in found] == [
        ("deposit", "EUR", Decimal("1000.01"), "opening balance", False, None),
        ("fill", "BTC", Decimal("1.23456789"), "trade T1", True, None),
        ("fill", "BTC", Decimal("0.000000000000000001"), "trade T2", True, None),
    ]


def test_an_account_starts_without_leave_to_trade_real_money(migrated: psycopg.Connection[dict[str, Any]]) -> None:
    (account,) = migrated.execute("SELECT * FROM account").fetchall()
    assert account["live_trading"] is False
    new = ("endpoint", "credentials", "key_fingerprint", "reconciled_at", "resumed_at")
    assert [account[column] for column in new] == [None] * len(new)
    assert migrated.execute("SELECT confirmed FROM rebalance").fetchall() == [{"confirmed": []}]
    assert migrated.execute("SELECT * FROM kill_switch").fetchall() == []


_REFUSED: dict[str, tuple[LiteralString, type[psycopg.Error]]] = {
    "a fill as the version before stored it": (
        """
        INSERT INTO fill
            (order_intent_id, account_id, trade_id, quantity, price, fee, fee_currency, liquidity_side, executed_at)
            SELECT order_intent_id, account_id, 'T3', 1, 1, 0, 'EUR', 'taker', now() FROM fill LIMIT 1
        """,
        NotNullViolation,
    ),
    "more fills than were ordered": (
        """
        INSERT INTO fill
            (order_intent_id, account_id, trade_id, quantity, price, notional, fee, fee_currency, liquidity_side,
             executed_at)
            SELECT order_intent_id, account_id, 'T3', 2, 1, 2, 0, 'EUR', 'taker', now() FROM fill LIMIT 1
        """,
        CheckViolation,
    ),
    "a change of the ledger": ("UPDATE ledger_entry SET venue_entry_id = 'L1'", CheckViolation),
    "a line of the venue's ledger twice": (
        """
        INSERT INTO ledger_entry (account_id, kind, currency, amount, cause, occurred_at, venue_entry_id)
            SELECT id, 'reward', 'EUR', 1, 'staking', now(), 'L1' FROM account, generate_series(1, 2)
        """,
        UniqueViolation,
    ),
}


@pytest.mark.parametrize("what", list(_REFUSED))
def test_what_the_database_must_refuse_it_refuses_afterwards(
    migrated: psycopg.Connection[dict[str, Any]], what: str
) -> None:
    statement, refusal = _REFUSED[what]
    with pytest.raises(refusal):
        migrated.execute(statement)


def test_an_order_that_was_made_smaller_after_its_fills_does_not_stop_the_migration(traded: str) -> None:
    with psycopg.connect(traded) as connection:
        connection.execute("UPDATE order_intent SET quantity = 1")
    migrate(traded)
    assert check_schema(traded) == "at 0005, the program's own version"


def test_a_transaction_under_way_ends_before_the_migration_begins(traded: str) -> None:
    """It takes its locks as a rebalance does: the account first, the ledger last."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE%'"
    deadline = time.monotonic() + 60
    with ThreadPoolExecutor(1) as pool, psycopg.connect(traded) as connection:
        connection.execute("SELECT id FROM account FOR SHARE")
        migration = pool.submit(migrate, traded)
        with psycopg.connect(traded, autocommit=True) as observer:
            while not observer.execute(waiting).fetchone()[0]:
                assert time.monotonic() < deadline
                assert not migration.done()
        connection.execute("UPDATE order_intent SET reason = 'late'")
        connection.execute(
            "INSERT INTO ledger_entry (account_id, kind, currency, amount, cause, occurred_at) "
            "SELECT id, 'deposit', 'EUR', 1, 'late', now() FROM account"
        )
        connection.commit()
        migration.result(60)
    assert check_schema(traded) == "at 0005, the program's own version"
