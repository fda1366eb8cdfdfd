"""`rebalancer plan`, `run` and `history` where everything is in order."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.support.stored import Stored

Done = Callable[..., Any]

PLAN_KEYS = {
    "portfolio",
    "portfolio_value",
    "valuation_currency",
    "expected_cost",
    "orders",
    "skipped",
    "weights",
    "denials",
    "plan_hash",
    "priced_at",
    "price_source",
    "recorded_at",
}
HISTORY_KEYS = {
    "id",
    "portfolio",
    "portfolio_id",
    "executed_at",
    "scheduled_for",
    "success",
    "dry_run",
    "portfolio_value",
    "orders_planned",
    "orders_executed",
    "orders_failed",
    "total_value_traded",
    "fees_paid",
    "value_crossed",
    "fees_saved",
    "orders",
    "errors",
    "triggered_by",
    "duration_ms",
    "price_source",
    "plan_hash",
    "dagster_run_id",
}


@pytest.fixture
def portfolio(done: Done) -> str:
    """Two portfolios on one account: what `core` does must not touch the money of `other`."""
    done("account", "add", "main", "--venue", "paper", "--deposit", "EUR=5000", "--deposit", "BTC=1")
    weights = "BTC=30,ETH=30,XRP=20,EUR=20"
    done("portfolio", "create", "core", "--account", "main", "--weights", weights, "--allocate", "BTC=1")
    done("portfolio", "create", "other", "--account", "main", "--weights", "EUR=100", "--allocate", "EUR=5000")
    return "core"


def is_decimal(text: object) -> bool:
    return isinstance(text, str) and Decimal(text).is_finite() and "E" not in text.upper()


def test_a_plan_in_json(done: Done, portfolio: str) -> None:
    plan = done("plan", portfolio)
    assert set(plan) == PLAN_KEYS
    assert (plan["portfolio"], plan["valuation_currency"], plan["price_source"]) == ("core", "EUR", "recorded")
    assert [order["market"] for order in plan["orders"]] == ["BTC/EUR", "ETH/EUR", "XRP/EUR"]
    assert [order["side"] for order in plan["orders"]] == ["sell", "buy", "buy"]
    for order in plan["orders"]:
        assert set(order) == {"side", "market", "quantity", "price", "notional", "fee"}
        assert all(is_decimal(order[key]) for key in ("quantity", "price", "notional", "fee"))
        assert Decimal(order["notional"]) == Decimal(order["quantity"]) * Decimal(order["price"])
        assert Decimal(order["fee"]) == Decimal(order["notional"]) * Decimal("0.004")
    for weight in plan["weights"]:
        assert set(weight) == {"currency", "current", "target", "drift", "after"}
        assert all(is_decimal(weight[key]) for key in ("current", "target", "drift", "after"))
    assert {weight["currency"]: weight["target"] for weight in plan["weights"]} == {
        "BTC": "30",
        "ETH": "30",
        "EUR": "20",
        "XRP": "20",
    }
    assert all({"currency", "reason"} <= set(skipped) for skipped in plan["skipped"])
    assert is_decimal(plan["portfolio_value"])
    assert len(plan["plan_hash"]) == 64


def test_the_same_state_gives_the_same_plan_and_nothing_is_stored(done: Done, portfolio: str, stored: Stored) -> None:
    before = stored.everything()
    first, second = done("plan", portfolio), done("plan", portfolio)
    assert {**first, "priced_at": ""} == {**second, "priced_at": ""}
    assert first["plan_hash"] == second["plan_hash"]
    assert stored.everything() == before


def test_other_weights_give_another_hash(done: Done, portfolio: str) -> None:
    first = done("plan", portfolio)["plan_hash"]
    done("portfolio", "update", portfolio, "--weights", "BTC=30,ETH=31,XRP=20,EUR=19")
    assert done("plan", portfolio)["plan_hash"] != first


def test_a_run_trades_what_was_planned_and_a_second_run_nothing(done: Done, portfolio: str, stored: Stored) -> None:
    plan = done("plan", portfolio)
    row = done("run", portfolio)
    assert set(row) == HISTORY_KEYS
    assert (row["success"], row["dry_run"], row["triggered_by"], row["errors"]) == (True, False, "manual", None)
    assert row["plan_hash"] == plan["plan_hash"]
    assert (row["orders_planned"], row["orders_executed"], row["orders_failed"]) == (3, 3, 0)
    sent = [order for order in row["orders"] if order["state"] != "SKIPPED"]
    assert [(o["side"], o["market"], o["quantity"]) for o in sent] == [
        (o["side"], o["market"], o["quantity"]) for o in plan["orders"]
    ]
    assert Decimal(row["fees_paid"]) == sum(Decimal(order["fee"]) for order in sent)
    assert Decimal(row["total_value_traded"]) == sum(Decimal(order["notional"]) for order in sent)
    assert stored.ledger_sums() == stored.venue_balances()
    assert stored.book("other") == {"EUR": Decimal(5000)}
    assert stored.held_leases() == []

    at_venue = stored.venue_balances()
    second = done("run", portfolio)
    assert (second["success"], second["orders_planned"]) == (True, 0)
    assert {order["state"] for order in second["orders"]} == {"SKIPPED"}
    assert stored.venue_balances() == at_venue

    assert done("history") == [second, row]
    assert done("history", portfolio, "--limit", "1") == [second]
    assert done("history", "other") == []


def test_a_dry_run_leaves_balances_and_books_alone(
    done: Done, cli: Callable[..., Any], portfolio: str, stored: Stored
) -> None:
    traded = ("paper_balance", "paper_order", "paper_trade", "ledger_entry")
    before = stored.everything()
    row = done("run", portfolio, "--dry-run")
    after = stored.everything()
    assert {table: after[table] for table in traded} == {table: before[table] for table in traded}
    assert (row["dry_run"], row["success"], row["orders_planned"], row["orders_executed"]) == (True, True, 3, 3)
    assert done("portfolio", "show", portfolio)["last_rebalanced_at"] is None
    shown = cli("history", portfolio)
    assert shown.code == 0
    assert "dry run" in shown.out


def test_a_failed_run_exits_1_and_says_why(cli: Callable[..., Any], portfolio: str, stored: Stored) -> None:
    stored.change("UPDATE paper_balance SET total = total - 1 WHERE currency = 'EUR'")
    outcome = cli("run", portfolio)
    assert outcome.code == 1
    assert "BOOKS_DIFFER" in outcome.out
    assert "EUR -1" in outcome.out
    (row,) = stored.history(portfolio)
    assert row["success"] is False


def test_a_plan_that_would_be_denied_exits_1_with_one_line(
    cli: Callable[..., Any], portfolio: str, stored: Stored
) -> None:
    stored.change("UPDATE paper_balance SET total = total - 1 WHERE currency = 'EUR'")
    outcome = cli("plan", portfolio)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("Error: BOOKS_DIFFER")
