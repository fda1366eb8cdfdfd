"""The rows that people read: history and the activity log."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, text

from rebalancer_pipelines.domain.portfolio import Portfolio
from rebalancer_pipelines.domain.rebalance import RebalanceRecord, TriggeredBy

from .stored import NOON, Transactions, a_stored_portfolio, an_account


def a_record(portfolio: Portfolio, **changes: Any) -> RebalanceRecord:
    fields: dict[str, Any] = {
        "id": uuid4(),
        "portfolio_id": portfolio.id,
        "executed_at": NOON,
        "scheduled_for": None,
        "success": True,
        "dry_run": False,
        "portfolio_value": Decimal("1000.01"),
        "orders_planned": 2,
        "orders_executed": 1,
        "orders_failed": 1,
        "total_value_traded": Decimal("12.3456789012345678901234567890"),
        "fees_paid": Decimal("0.04"),
        "orders": [{"symbol": "BTC/EUR", "quantity": "0.10"}],
        "errors": None,
        "triggered_by": TriggeredBy.SCHEDULER,
        "duration_ms": 1500,
        "price_source": "recorded",
        "plan_hash": "abc",
        "dagster_run_id": "run",
    }
    return RebalanceRecord(**{**fields, **changes})


def add(transactions: Transactions, *records: RebalanceRecord) -> None:
    with transactions() as work:
        for record in records:
            work.history.add([record])
        work.commit()


def test_a_record_comes_back_as_it_was_stored(transactions: Transactions) -> None:
    portfolio = a_stored_portfolio(transactions)
    done = a_record(portfolio)
    refused = a_record(
        portfolio,
        success=False,
        portfolio_value=None,
        orders=[],
        errors=[{"code": "PRICE_STALE", "message": "ü"}],
        scheduled_for=NOON,
        plan_hash=None,
        dagster_run_id=None,
        triggered_by=TriggeredBy.BACKFILL,
    )
    add(transactions, done, refused)
    with transactions() as work:
        assert work.history.get(done.id) == done
        assert work.history.get(refused.id) == refused
        assert work.history.get(uuid4()) is None


def test_no_errors_are_a_null_that_reports_can_ask_for(transactions: Transactions, engine: Engine) -> None:
    add(transactions, a_record(a_stored_portfolio(transactions)))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT errors IS NULL FROM rebalance_history")).scalar_one()


def test_a_rebalance_that_was_settled_months_later_has_a_record(transactions: Transactions) -> None:
    late = a_record(a_stored_portfolio(transactions), duration_ms=int(timedelta(days=90).total_seconds() * 1000))
    add(transactions, late)
    with transactions() as work:
        assert work.history.get(late.id) == late


def test_the_newest_come_first_of_one_portfolio_or_of_all(transactions: Transactions) -> None:
    account = an_account(transactions)
    first = a_stored_portfolio(transactions, account, name="first")
    second = a_stored_portfolio(transactions, account, name="second")
    oldest = a_record(first, executed_at=NOON - timedelta(days=2))
    newest = a_record(first, executed_at=NOON)
    middle = a_record(second, executed_at=NOON - timedelta(days=1))
    add(transactions, newest, oldest, middle)
    with transactions() as work:
        assert work.history.newest(None, 10) == [("first", newest), ("second", middle), ("first", oldest)]
        assert work.history.newest(None, 2) == [("first", newest), ("second", middle)]
        assert work.history.newest(first.id, 10) == [("first", newest), ("first", oldest)]
        assert work.history.newest(uuid4(), 10) == []


def test_an_act_is_noted(transactions: Transactions, engine: Engine) -> None:
    with transactions() as work:
        work.activity.add("portfolio.created", "long-term", {"account": "main"}, NOON)
        work.commit()
    with engine.connect() as connection:
        row = connection.execute(text("SELECT action, subject, detail, occurred_at FROM activity_log")).one()
    assert tuple(row) == ("portfolio.created", "long-term", {"account": "main"}, NOON)


def test_what_really_happened_on_an_account_is_told_newest_first(transactions: Transactions) -> None:
    account, other = an_account(transactions), an_account(transactions, "other")
    first = a_stored_portfolio(transactions, account, name="first")
    second = a_stored_portfolio(transactions, account, name="second")
    elsewhere = a_stored_portfolio(transactions, other, name="elsewhere")
    errors = [{"code": "UNEXPECTED", "message": "a test"}]
    oldest = a_record(
        first, executed_at=NOON - timedelta(days=2), success=False, errors=errors, dagster_run_id="oldest"
    )
    middle = a_record(second, executed_at=NOON - timedelta(days=1), orders_executed=7, dagster_run_id="middle")
    newest = a_record(first, executed_at=NOON, orders_executed=1, dagster_run_id="newest")
    beside = a_record(second, executed_at=NOON, orders_executed=2, dagster_run_id="newest")
    add(transactions, newest, beside, oldest, middle, a_record(first, dry_run=True), a_record(elsewhere))
    with transactions() as work:
        runs = work.history.newest_live_runs(account.id, 10, None)
        assert [{attempt.orders_executed for attempt in run} for run in runs[:2]] == [{1, 2}, {7}]
        assert [(attempt.success, attempt.errors) for attempt in runs[2]] == [(False, errors)]
        assert work.history.newest_live_runs(account.id, 2, None) == runs[:2]
        assert work.history.newest_live_runs(account.id, 10, NOON - timedelta(days=1)) == runs[:2]
        assert work.history.newest_live_runs(account.id, 10, NOON + timedelta(seconds=1)) == []
