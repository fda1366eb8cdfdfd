"""A build of what has changed leaves the marts exactly as a build from the beginning does."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from rebalancer_pipelines.adapters.analytics.build import build_marts
from tests.support.stored import Stored
from tests.support.written_history import DAY, WrittenHistory, noon

from .conftest import BuildIt, Marts
from .stories import FIRST, LAST, Story


def test_new_late_changed_and_deleted_rows_come_out_as_in_a_full_build(
    history: WrittenHistory, build: BuildIt, marts: Marts, stored: Stored
) -> None:
    story = Story(history)
    core, other, gone, renamed = story.tell("core", "other", "gone", "in-dollars")
    assert build().full
    # What was stored within the last minute is built again: nothing may be found for that reason alone.
    stored.change("UPDATE analytics.build_mark SET stored_until = now()")

    story.closes(LAST + DAY)
    story.rebalance(core, LAST + DAY)
    story.rebalance(core, FIRST + 3 * DAY)
    story.rebalance(other, FIRST - 40 * DAY, dry_run=True, triggered_by="backfill")
    history.book(other, "deposit", "EUR", Decimal(123), noon(FIRST + 9 * DAY))
    for portfolio in (core, other):
        history.value_days(portfolio, LAST + DAY, since=FIRST + 3 * DAY)
    history.change(
        "UPDATE rebalance_history SET executed_at = executed_at - interval '8 days', total_value_traded = 7 "
        "WHERE id = (SELECT id FROM rebalance_history WHERE portfolio_id = %s ORDER BY executed_at DESC LIMIT 1)",
        other,
    )
    history.change("ALTER TABLE ledger_entry DISABLE TRIGGER USER")
    history.change("DELETE FROM portfolio WHERE id = %s", gone)
    history.change("UPDATE portfolio SET name = 'dollars', valuation_currency = 'USD' WHERE id = %s", renamed)
    assert not build().full
    changed = marts.everything()
    assert build(full=True).full
    assert differences(changed, marts.everything()) == {}
    assert len(changed["int_rebalances_summed"]) > 100
    assert len(changed["portfolio_performance"]) > 70


def test_a_build_touches_only_what_has_changed(history: WrittenHistory, build: BuildIt, stored: Stored) -> None:
    story = Story(history)
    (core,) = story.tell("core")
    build()
    stored.change("UPDATE analytics.build_mark SET stored_until = now()")
    story.rebalance(core, LAST)
    build()
    assert [row["day"] for row in stored.rows("SELECT day FROM analytics.int_days_touched")] == [LAST]
    assert stored.rows("SELECT * FROM analytics.int_portfolio_days_touched") == []


def test_a_row_that_is_committed_late_is_found(
    history: WrittenHistory, ready_database: str, build: BuildIt, marts: Marts
) -> None:
    """Its transaction began before the build did, and ended after it."""
    core = history.portfolio("core")
    with psycopg.connect(ready_database) as slow:
        slow.execute("SELECT 1 FROM portfolio")
        history.rebalance(core, noon(FIRST))
        slow.execute(
            "INSERT INTO rebalance_history (portfolio_id, executed_at, success, dry_run, orders_planned, "
            "orders_executed, orders_failed, total_value_traded, fees_paid, orders, triggered_by, duration_ms, "
            "price_source, stored_at) SELECT portfolio_id, executed_at + interval '1 hour', success, dry_run, "
            "orders_planned, orders_executed, orders_failed, total_value_traded, fees_paid, orders, triggered_by, "
            "duration_ms, price_source, now() FROM rebalance_history"
        )
        build()
        assert [row["rebalances"] for row in marts("rebalance_statistics", "portfolio_id")] == [1, 1]
    build()
    assert [row["rebalances"] for row in marts("rebalance_statistics", "portfolio_id")] == [2, 2]


def test_changes_that_are_built_are_forgotten(history: WrittenHistory, build: BuildIt, stored: Stored) -> None:
    Story(history).tell("core")
    stored.change("UPDATE history_change SET stored_at = stored_at - interval '1 hour'")
    build()
    assert stored.rows("SELECT * FROM history_change") == []


def test_a_build_of_some_models_leaves_the_rest_for_the_next_whole_one(
    history: WrittenHistory, build: BuildIt, marts: Marts, stored: Stored
) -> None:
    core = history.portfolio("core")
    history.rebalance(core, noon(FIRST))
    build()
    history.rebalance(core, noon(FIRST) + timedelta(hours=1))
    mark = stored.row("SELECT * FROM analytics.build_mark")
    build(models=["int_portfolios_named", "int_days_touched", "int_periods_touched", "int_rebalances_summed"])
    assert stored.row("SELECT * FROM analytics.build_mark") == mark
    assert len(marts("recent_rebalances", "id")) == 1
    build()
    assert len(marts("recent_rebalances", "id")) == 2


def test_another_version_of_the_project_builds_from_the_beginning(
    history: WrittenHistory, build: BuildIt, stored: Stored
) -> None:
    history.portfolio("core")
    build()
    assert not build().full
    stored.change("UPDATE analytics.build_mark SET project = 'another'")
    assert build().full


def differences(left: dict[str, list[str]], right: dict[str, list[str]]) -> dict[str, tuple[list[str], list[str]]]:
    """The rows of each table that only one of the two has; the first of them."""
    assert set(left) == set(right)
    found = {name: (set(left[name]) - set(right[name]), set(right[name]) - set(left[name])) for name in left}
    return {name: (sorted(a)[:2], sorted(b)[:2]) for name, (a, b) in found.items() if a or b}


@pytest.mark.parametrize("full", [True, False])
def test_an_empty_installation_has_empty_marts(
    ready_database: str, analytics_folder: Path, marts: Marts, full: bool
) -> None:
    assert build_marts(ready_database, analytics_folder, full=full).problems == []
    assert marts("rebalance_statistics", "portfolio_id") == []
