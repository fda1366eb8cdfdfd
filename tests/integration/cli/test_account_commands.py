"""`rebalancer account …` where everything is in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.stored import Stored

Done = Callable[..., Any]


def test_a_new_account_books_its_deposit_as_opening_balance(done: Done, stored: Stored) -> None:
    opened = done("account", "add", "main", "--venue", "paper", "--deposit", "EUR=1000.50", "--deposit", "btc=0.25")
    assert (opened["name"], opened["venue"], opened["prices"]) == ("main", "paper", "recorded")
    assert opened["trading_state"] == "active"
    assert opened["balances"] == [
        {"currency": "BTC", "total": "0.25", "free": "0.25", "locked": "0"},
        {"currency": "EUR", "total": "1000.5", "free": "1000.5", "locked": "0"},
    ]
    assert opened["books"] == [
        {"portfolio": None, "currency": "BTC", "amount": "0.25"},
        {"portfolio": None, "currency": "EUR", "amount": "1000.5"},
    ]
    assert opened["differences"] == {}
    assert done("account", "show", "main") == opened
    assert stored.ledger_sums() == stored.venue_balances()


def test_an_account_without_a_deposit_is_empty(done: Done) -> None:
    opened = done("account", "add", "empty", "--venue", "paper")
    assert (opened["balances"], opened["books"], opened["differences"]) == ([], [], {})


def test_accounts_are_listed_by_name(done: Done) -> None:
    assert done("account", "list") == []
    for name in ("zeta", "alpha"):
        done("account", "add", name, "--venue", "paper")
    listed = done("account", "list")
    assert [account["name"] for account in listed] == ["alpha", "zeta"]
    assert set(listed[0]) == {"id", "name", "venue", "prices", "trading_state", "trading_state_reason", "created_at"}


def test_show_names_what_books_and_venue_do_not_agree_on(done: Done, stored: Stored) -> None:
    done("account", "add", "main", "--venue", "paper", "--deposit", "EUR=1000")
    stored.change("UPDATE paper_balance SET total = total - 0.01")
    assert done("account", "show", "main")["differences"] == {"EUR": "-0.01"}


def test_a_deleted_account_leaves_nothing_but_the_log(done: Done, stored: Stored) -> None:
    before = stored.everything()
    done("account", "add", "main", "--venue", "paper", "--deposit", "EUR=1000")
    assert done("account", "delete", "main") == {"deleted": "main"}
    after = stored.everything()
    log = after.pop("activity_log")
    before.pop("activity_log")
    assert after == before
    assert [line.count("account.") for line in log] == [1, 1]


def test_tables_for_people_say_the_same(cli: Callable[..., Any]) -> None:
    assert cli("account", "add", "main", "--venue", "paper", "--deposit", "EUR=1000").code == 0
    listed, shown = cli("account", "list"), cli("account", "show", "main")
    assert (listed.code, shown.code) == (0, 0)
    assert "main" in listed.out
    assert "recorded" in listed.out
    assert "1000" in shown.out
    assert "Books and venue agree." in shown.out
