"""`rebalancer portfolio …` where everything is in order."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.stored import Stored

Done = Callable[..., Any]

RULES = (
    *("--interval", "daily"),
    *("--threshold", "25.5"),
    *("--band", "5"),
    *("--band-kind", "relative"),
    *("--max-orders", "3"),
    *("--cash-reserve", "0.02"),
    *("--time-zone", "Europe/Berlin"),
    *("--description", "for later"),
    "--enable",
)


@pytest.fixture
def account(done: Done) -> str:
    done("account", "add", "main", "--venue", "paper", "--deposit", "EUR=1000", "--deposit", "BTC=1")
    return "main"


def create(done: Done, name: str, account: str, *options: str, weights: str = "BTC=60,EUR=40") -> dict[str, Any]:
    return done("portfolio", "create", name, "--account", account, "--weights", weights, *options)


def test_every_rule_of_a_new_portfolio_is_kept(done: Done, account: str) -> None:
    created = create(done, "core", account, *RULES, weights="BTC=50,ETH,XRP,EUR=20")
    expected = {
        "name": "core",
        "account": "main",
        "weights": {"BTC": "50", "ETH": None, "EUR": "20", "XRP": None},
        "description": "for later",
        "valuation_currency": "EUR",
        "interval": "daily",
        "threshold": "25.5",
        "band": "5",
        "band_kind": "relative",
        "max_orders": 3,
        "cash_reserve": "0.02",
        "time_zone": "Europe/Berlin",
        "enabled": True,
        "target_weights": {"BTC": "50", "ETH": "15", "EUR": "20", "XRP": "15"},
        "last_rebalanced_at": None,
    }
    assert {key: created[key] for key in expected} == expected
    assert set(created) - set(expected) == {
        "id",
        "book",
        "next_rebalance_at",
        "paused_at",
        "paused_reason",
        "created_at",
        "updated_at",
    }
    assert done("portfolio", "show", "core") == {**created, "worth": None}
    assert done("portfolio", "list") == [created]


def test_defaults(done: Done, account: str) -> None:
    created = create(done, "core", account)
    kept = ("interval", "threshold", "band", "max_orders", "cash_reserve", "time_zone", "enabled")
    assert [created[key] for key in kept] == ["weekly", "10", None, None, "0.01", "UTC", False]
    assert created["next_rebalance_at"] is None


def test_the_only_portfolio_owns_what_its_account_holds(done: Done, account: str) -> None:
    assert create(done, "core", account)["book"] == {"BTC": "1", "EUR": "1000"}


def test_a_second_portfolio_owns_what_it_was_given_and_no_more(done: Done, account: str, stored: Stored) -> None:
    create(done, "first", account, "--allocate", "EUR=300")
    assert create(done, "second", account, "--allocate", "EUR=200", "--allocate", "BTC=0.5")["book"] == {
        "BTC": "0.5",
        "EUR": "200",
    }
    assert create(done, "third", account)["book"] == {}
    assert stored.book("first") == {"EUR": Decimal(300)}
    assert done("account", "show", account)["differences"] == {}


def test_allocating_moves_money_between_books_and_nothing_at_the_venue(
    done: Done, account: str, stored: Stored
) -> None:
    create(done, "first", account, "--allocate", "EUR=300")
    create(done, "second", account)
    at_venue = stored.venue_balances()
    assert done("portfolio", "allocate", "second", "EUR=100", "BTC=1")["book"] == {"BTC": "1", "EUR": "100"}
    moved = done("portfolio", "allocate", "second", "EUR=300", "--from", "first")
    assert moved["book"] == {"BTC": "1", "EUR": "400"}
    assert stored.book("first") == {}
    assert stored.venue_balances() == at_venue == stored.ledger_sums()


def test_releasing_gives_money_back_to_the_unallocated_book(done: Done, account: str, stored: Stored) -> None:
    create(done, "first", account, "--allocate", "EUR=300")
    create(done, "second", account)
    at_venue = stored.venue_balances()
    assert done("portfolio", "release", "first", "EUR=120.5")["book"] == {"EUR": "179.5"}
    assert {"portfolio": None, "currency": "EUR", "amount": "820.5"} in done("account", "show", account)["books"]
    assert stored.venue_balances() == at_venue == stored.ledger_sums()


def test_an_update_changes_what_is_given_and_keeps_the_rest(done: Done, account: str) -> None:
    created = create(done, "core", account, *RULES)
    updated = done("portfolio", "update", "core", "--weights", "ETH=100", "--threshold", "7", "--max-orders", "none")
    changed = {
        "weights": {"ETH": "100"},
        "target_weights": {"ETH": "100"},
        "threshold": "7",
        "max_orders": None,
        "updated_at": updated["updated_at"],
    }
    assert updated == {**created, **changed}
    assert updated["updated_at"] > created["updated_at"]
    assert done("portfolio", "show", "core") == {**updated, "worth": None}


def test_removing_a_band_removes_its_kind(done: Done, account: str) -> None:
    create(done, "core", account, *RULES)
    updated = done("portfolio", "update", "core", "--band", "none")
    assert (updated["band"], updated["band_kind"]) == (None, None)


def test_enabling_makes_a_portfolio_due_at_once(done: Done, account: str) -> None:
    created = create(done, "core", account)
    enabled = done("portfolio", "update", "core", "--enable")
    assert enabled["enabled"] is True
    assert created["updated_at"] < enabled["next_rebalance_at"] <= datetime.now(UTC).isoformat()
    assert done("portfolio", "update", "core", "--disable")["enabled"] is False


def test_a_deleted_portfolio_leaves_its_money_unallocated(done: Done, account: str, stored: Stored) -> None:
    create(done, "core", account)
    assert done("portfolio", "delete", "core") == {"deleted": "core"}
    assert done("portfolio", "list") == []
    books = done("account", "show", account)["books"]
    assert books == [
        {"portfolio": None, "currency": "BTC", "amount": "1"},
        {"portfolio": None, "currency": "EUR", "amount": "1000"},
    ]
    assert stored.held_leases() == []
    assert done("account", "delete", account) == {"deleted": account}


def test_what_was_exported_is_imported_alike(done: Done, cli: Callable[..., Any], account: str, tmp_path: Path) -> None:
    create(done, "plain", account, "--allocate", "EUR=500")
    create(done, "ruled", account, *RULES, weights="BTC=33.333,ETH,EUR=20")
    file = tmp_path / "portfolios.json"
    assert cli("portfolio", "export", "--out", str(file)).code == 0
    exported = json.loads(file.read_text())
    assert done("portfolio", "export") == exported
    assert [entry["name"] for entry in exported["portfolios"]] == ["plain", "ruled"]
    assert done("portfolio", "export", "ruled")["portfolios"] == exported["portfolios"][1:]
    for name in ("plain", "ruled"):
        done("portfolio", "delete", name)
    imported = done("portfolio", "import", str(file))
    assert [portfolio["name"] for portfolio in imported] == ["plain", "ruled"]
    assert done("portfolio", "export") == exported


def test_an_import_may_write_weights_as_json_numbers(done: Done, account: str, tmp_path: Path) -> None:
    file = tmp_path / "portfolios.json"
    entry = '{"name": "core", "account": "main", "weights": {"BTC": 33.1, "EUR": 66.9}, "threshold": 0.1}'
    file.write_text(f'{{"version": 1, "portfolios": [{entry}]}}')
    (imported,) = done("portfolio", "import", str(file))
    assert (imported["weights"], imported["threshold"]) == ({"BTC": "33.1", "EUR": "66.9"}, "0.1")


def test_a_description_is_shown_as_it_was_written(done: Done, cli: Callable[..., Any], account: str) -> None:
    create(done, "core", account, "--description", "[/red] 50 [bold]%")
    assert "[/red] 50 [bold]%" in cli("portfolio", "show", "core").out


def test_tables_for_people_say_the_same(done: Done, cli: Callable[..., Any], account: str) -> None:
    create(done, "core", account, weights="BTC=60,ETH,EUR=10")
    listed, shown = cli("portfolio", "list"), cli("portfolio", "show", "core")
    assert (listed.code, shown.code) == (0, 0)
    assert "core" in listed.out
    assert "BTC=60, ETH=equal share, EUR=10" in shown.out
