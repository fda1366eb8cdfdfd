"""Rehearsing portfolios over the recorded year: what is stored, and all that must not notice it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from rebalancer_pipelines.adapters.venues.paper.recorded_market import RecordedMarket
from rebalancer_pipelines.application.demo import demo_deposits, seed_demo
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rehearsal.rehearse import rehearsal_progress, rehearse
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.values import Currency
from tests.support.paper_account import open_paper_account
from tests.support.rebalancing import rebalance
from tests.support.stored import MORNING, Stored

EUR = Currency("EUR")
MONEY = {EUR: Decimal(10_000)}
REHEARSED_TABLES = {
    "rebalance",
    "price_mark",
    "portfolio_position",
    "order_intent",
    "fill",
    "rebalance_history",
    "rehearsed_deposit",
}


@pytest.fixture
def portfolio(ports: Ports, stored: Stored) -> str:
    stored.show_recording(MORNING)
    open_paper_account(ports, MONEY)
    fields = {"name": "core", "account": "main", "weights": "BTC=50,ETH=30,EUR=20", "interval": "daily"}
    return create_portfolio(ports, {**fields, "enabled": True}).name


_ATTEMPTS = """
    SELECT
        portfolio_value,
        units_before,
        units_after,
        value_after,
        coalesce(cost, 0) AS cost
    FROM rebalance
    CROSS JOIN LATERAL (
        SELECT
            jsonb_object_agg(currency, trim_scale(quantity)::text) FILTER (WHERE phase = 'before') AS units_before,
            jsonb_object_agg(currency, trim_scale(quantity)::text) FILTER (WHERE phase = 'after') AS units_after,
            sum(value) FILTER (WHERE phase = 'after') AS value_after
        FROM portfolio_position WHERE rebalance_id = rebalance.id
    ) AS positions
    CROSS JOIN LATERAL (
        -- What was paid above mid, or got below it, and the fees.
        SELECT sum(fee + CASE side WHEN 'buy' THEN 1 ELSE -1 END * (notional - fill.quantity * mid)) AS cost
        FROM order_intent
        JOIN fill ON order_intent_id = order_intent.id
        JOIN price_mark USING (rebalance_id, symbol)
        WHERE rebalance_id = rebalance.id
    ) AS costs
    ORDER BY started_at
"""


def rehearse_all(ports: Ports, name: str) -> int:
    return sum(len(month) for month in rehearse(ports, RecordedMarket(), name, MONEY))


def test_a_year_of_days_is_rehearsed_from_the_first_price_on(ports: Ports, portfolio: str, stored: Stored) -> None:
    assert rehearse_all(ports, portfolio) == 365
    rows = stored.history(portfolio)
    assert [row["executed_at"] for row in rows] == [
        datetime(2017, 10, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(365)
    ]
    assert {(r["dry_run"], r["triggered_by"], r["price_source"]) for r in rows} == {(True, "backfill", "recorded")}
    assert all(row["scheduled_for"] == row["executed_at"] for row in rows)
    assert rows[7]["dagster_run_id"] == "rehearsal:2017-10-08T01:00Z"
    assert (rows[0]["portfolio_value"], rows[0]["orders_executed"]) == (10_000, 2)
    assert stored.rows("SELECT * FROM rehearsed_deposit") == [
        {
            "portfolio_id": rows[0]["portfolio_id"],
            "currency": "EUR",
            "occurred_at": datetime(2017, 10, 1, tzinfo=UTC),
            "amount": Decimal(10_000),
        }
    ]
    assert rehearsal_progress(ports, [portfolio]).is_complete


def test_money_is_carried_on_and_every_attempt_conserves_it(ports: Ports, portfolio: str, stored: Stored) -> None:
    rehearse_all(ports, portfolio)
    attempts = stored.rows(_ATTEMPTS)
    assert len(attempts) == 365
    assert all(one["portfolio_value"] == one["value_after"] + one["cost"] for one in attempts)
    assert attempts[0]["units_before"] == {"BTC": "0", "ETH": "0", "EUR": "10000"}
    assert all(later["units_before"] == earlier["units_after"] for earlier, later in pairwise(attempts))
    entries = stored.rows(
        "SELECT currency, sum(amount) AS amount FROM book_entry WHERE basis = 'rehearsed' GROUP BY currency"
    )
    assert {row["currency"]: row["amount"] for row in entries} == {
        currency: Decimal(units) for currency, units in attempts[-1]["units_after"].items()
    }


def test_a_missing_price_is_a_denied_attempt_that_says_so(ports: Ports, stored: Stored) -> None:
    stored.show_recording(MORNING)
    open_paper_account(ports, MONEY)
    create_portfolio(ports, {"name": "core", "account": "main", "weights": "BTC,EOS", "interval": "hourly"})
    denied: list[dict[str, Any]] = []
    months = rehearse(ports, RecordedMarket(), "core", MONEY)
    for _ in months:
        denied = [row for row in stored.history("core") if not row["success"]]
        if denied:
            break
    months.close()  # type: ignore[attr-defined]
    assert denied[0]["portfolio_value"] is None
    assert (denied[0]["orders_planned"], denied[0]["orders"], denied[0]["plan_hash"]) == (0, [], None)
    (error,) = denied[0]["errors"]
    assert error["code"] == "PRICE_INVALID"
    assert "no price for" in error["message"]
    assert stored.rows("SELECT * FROM price_mark WHERE rebalance_id = %s", denied[0]["id"]) == []


def test_it_changes_nothing_but_its_own_rows_and_nothing_the_second_time(
    ports: Ports, portfolio: str, stored: Stored
) -> None:
    rebalance(ports, portfolio)
    before = stored.everything()
    rehearse_all(ports, portfolio)
    after = stored.everything()
    assert {table for table, rows in after.items() if rows != before[table]} == REHEARSED_TABLES
    assert all(set(rows) <= set(after[table]) for table, rows in before.items())
    assert rehearse_all(ports, portfolio) == 0
    assert stored.everything() == after


def test_one_that_was_stopped_goes_on_and_comes_to_the_same(ports: Ports, portfolio: str, stored: Stored) -> None:
    months = rehearse(ports, RecordedMarket(), portfolio, MONEY)
    for _ in range(3):
        next(months)
    months.close()  # type: ignore[attr-defined]
    assert len(stored.history(portfolio)) == 31 + 30 + 31
    assert not rehearsal_progress(ports, [portfolio]).is_complete
    rehearse_all(ports, portfolio)
    resumed = rehearsed_rows(stored)
    stored.change("DELETE FROM rebalance WHERE triggered_by = 'backfill'")
    stored.change("DELETE FROM rebalance_history WHERE triggered_by = 'backfill'")
    assert rehearse_all(ports, portfolio) == 365
    assert rehearsed_rows(stored) == resumed


def rehearsed_rows(stored: Stored) -> dict[str, list[str]]:
    """What a rehearsal stores, when it was stored aside."""
    rows = stored.everything()
    return {
        table: [str(stored.rows("SELECT %s::jsonb - 'stored_at' AS row", line)[0]["row"]) for line in rows[table]]
        if table == "rebalance_history"
        else rows[table]
        for table in REHEARSED_TABLES
    }


def test_only_the_recorded_market_can_be_rehearsed(ports: Ports, portfolio: str, stored: Stored) -> None:
    stored.change("UPDATE account SET price_source = 'live'")
    with pytest.raises(InvalidInputError, match="is not on the recorded market"):
        rehearse_all(ports, portfolio)
    assert stored.rows("SELECT * FROM rehearsed_deposit") == []


def test_what_decides_and_tells_of_real_runs_knows_nothing_of_it(ports: Ports, portfolio: str, stored: Stored) -> None:
    """Rehearsed before the first real run, it is all that there is."""
    rehearse_all(ports, portfolio)
    with ports.transactions() as work:
        found = work.portfolios.get(portfolio)
        ever = datetime(2017, 1, 1, tzinfo=UTC)
        assert work.rebalances.newest_prices(found.account_id, ["BTC/EUR"]) == {}
        assert work.rebalances.highest_value(found.id, ports.clock.now() - timedelta(days=1)) is None
        assert work.history.newest(found.id, 5, rehearsed=False) == []
        assert work.history.newest_live_runs(found.account_id, 5, None) == []
        assert work.orders.possibly_at_venue(found.account_id) == []
        assert (work.orders.count_sent(found.account_id, ever), work.orders.newest_fill_at(found.account_id)) == (
            0,
            None,
        )
        assert work.orders.notional_sent(found.account_id, EUR, ever) == 0
        (day,) = work.portfolio_days.since(ports.clock.now() - timedelta(days=1))
        assert (day.value, day.valued_at, day.value_before, day.dry_runs) == (None, None, None, 0)
        assert (found.last_rebalanced_at, found.failures_in_a_row) == (None, 0)
        assert dict(work.ledger.books(found.account_id).of(found.id)) == {EUR: Decimal(10_000)}
    record = rebalance(ports, portfolio)
    assert record.success
    with ports.transactions() as work:
        assert work.rebalances.newest_prices(found.account_id, ["BTC/EUR"])["BTC/EUR"].recorded_at == MORNING.replace(
            minute=0
        )
        assert work.history.newest(found.id, 1)[0][1].id == record.id


@pytest.fixture
def demo(ports: Ports, stored: Stored) -> Ports:
    stored.show_recording(MORNING)
    seed_demo(ports)
    return ports


def test_the_demo_is_rehearsed_once_it_has_been_rebalanced(demo: Ports) -> None:
    assert demo_deposits(demo) == {}
    rebalance(demo, "demo-bands")
    assert demo_deposits(demo) == {"demo-bands": {EUR: Decimal(25_000)}}
