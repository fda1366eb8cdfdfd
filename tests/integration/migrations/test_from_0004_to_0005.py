"""Migrating a database that automation has worked in: no due time is lost, and what is taken up stays so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import LiteralString

import psycopg

from rebalancer_pipelines.adapters.postgres.schema import migrate
from tests.support.alembic_command import alembic

_DUE = datetime(2026, 1, 5, 12, tzinfo=UTC)
_CLAIMED = datetime(2026, 1, 5, 12, 1, tzinfo=UTC)

_AUTOMATED: LiteralString = """
INSERT INTO account (name, venue, price_source) VALUES ('main', 'paper', 'recorded');
INSERT INTO portfolio (name, account_id, rebalance_enabled, next_rebalance_at, paused_at, paused_reason)
    SELECT given.name, account.id, given.enabled, given.due, given.paused, 'for a test' || left(given.paused::text, 0)
    FROM account, (VALUES
        ('due', true, timestamptz '2026-01-05 12:00Z', NULL::timestamptz),
        ('taken', true, '2026-01-12 12:00Z', NULL),
        ('answered', true, '2026-01-12 12:00Z', NULL),
        ('paused', true, '2026-01-05 12:00Z', '2026-01-01 12:00Z'),
        ('off', false, NULL, NULL)
    ) AS given (name, enabled, due, paused);
INSERT INTO rebalance_batch (triggered_by, created_at) VALUES ('sensor', '2026-01-05 12:01Z');
INSERT INTO rebalance_claim (portfolio_id, scheduled_for, batch_id, claimed_at, finished_at)
    SELECT portfolio.id, '2026-01-05 12:00Z', batch.id, '2026-01-05 12:01Z', CASE name WHEN 'answered' THEN now() END
    FROM portfolio, rebalance_batch AS batch WHERE name IN ('taken', 'answered');
"""


def test_due_times_and_open_claims_are_kept(database: str) -> None:
    alembic(database, "upgrade", "0004").check_returncode()
    with psycopg.connect(database) as connection:
        connection.execute(_AUTOMATED)
        found = connection.execute("SELECT id FROM rebalance_batch").fetchone()
    assert found is not None
    migrate(database)
    later = datetime(2026, 1, 12, 12, tzinfo=UTC)
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT name, is_scheduled, next_rebalance_at, batch_id, triggered_by, scheduled_for, claimed_at, tries "
            "FROM portfolio_due JOIN portfolio ON portfolio.id = portfolio_id ORDER BY name"
        ).fetchall()
    nobody = (None, None, None, None, 0)
    assert rows == [
        ("answered", True, later, *nobody),
        ("due", True, _DUE, *nobody),
        ("off", False, None, *nobody),
        ("paused", False, _DUE, *nobody),
        ("taken", True, later, found[0], "sensor", _DUE, _CLAIMED, 0),
    ]
