"""`rebalancer account …` where everything is in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rebalancer_pipelines.domain.account_settings import SETTINGS
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
    assert set(listed[0]) == {
        "id",
        "name",
        "venue",
        "prices",
        "live_trading",
        "trading_state",
        "trading_state_reason",
        "endpoint",
        "created_at",
    }


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


def test_an_account_shows_how_it_trades_and_every_setting(done: Done) -> None:
    opened = done("account", "add", "main", "--venue", "paper", "--set", "max_turnover=40%")
    assert set(opened["settings"]) == set(SETTINGS)
    assert opened["settings"]["max_turnover"] == "0.4"
    assert opened["settings_set"] == ["max_turnover"]
    assert (opened["live_trading"], opened["kill_reason"], opened["endpoint"]) == (False, None, None)
    assert opened["credentials"] is None


def test_settings_are_changed_and_put_back(done: Done) -> None:
    before = done("account", "add", "main", "--venue", "paper")["settings"]
    changed = done("account", "set", "main", "max_turnover=0.5", "quote_age_seconds=7.5", "--set", "max_drawdown=10%")
    assert changed["settings_set"] == ["max_drawdown", "max_turnover", "quote_age_seconds"]
    assert changed["settings"] == {
        **before,
        "max_turnover": "0.5",
        "quote_age_seconds": "7.5",
        "max_drawdown": "0.1",
    }
    assert done("account", "show", "main")["settings"] == changed["settings"]
    back = done("account", "set", "main", "max_turnover=default", "max_drawdown=DEFAULT", "quote_age_seconds=default")
    assert (back["settings"], back["settings_set"]) == (before, [])


def test_the_settings_table_names_all_with_their_meaning(cli: Callable[..., Any], done: Done) -> None:
    done("account", "add", "main", "--venue", "paper", "--set", "max_turnover=0.5")
    for arguments in (["account", "show", "main"], ["account", "set", "main", "max_turnover=0.5"]):
        shown = cli(*arguments)
        assert shown.code == 0
        lines = {words[1]: words for line in shown.out.splitlines() if len(words := line.split()) > 4}
        assert set(SETTINGS) <= set(lines)
        assert [lines["max_turnover"][3], lines["max_turnover"][5]] == ["0.5", "set"]
        assert [lines["max_drawdown"][3], lines["max_drawdown"][5]] == ["off", "default"]


def test_a_currency_that_no_portfolio_names_is_told(cli: Callable[..., Any], done: Done) -> None:
    done("account", "add", "main", "--venue", "paper", "--deposit", "EUR=100", "--deposit", "XRP=5")
    done("portfolio", "create", "core", "--account", "main", "--weights", "BTC=60,EUR=40")
    assert done("account", "show", "main")["without_portfolio"] == ["XRP"]
    assert "No portfolio names XRP: shown, and never traded." in cli("account", "show", "main").out


def test_a_review_without_findings(cli: Callable[..., Any], done: Done) -> None:
    done("account", "add", "main", "--venue", "paper", "--deposit", "EUR=1000")
    found = done("account", "review", "main")
    assert (found["clear"], found["orders"], found["differences"], found["movements"]) == (True, [], {}, [])
    assert "books and venue agree" in cli("account", "review", "main").out


def test_a_difference_is_shown_and_booked_once_a_person_accepts_it(
    cli: Callable[..., Any], done: Done, stored: Stored
) -> None:
    done("account", "add", "main", "--venue", "paper", "--deposit", "EUR=1000")
    stored.change("UPDATE paper_balance SET total = total - 0.01")
    shown, told = cli("account", "review", "main", "--json"), cli("account", "review", "main")
    assert (shown.code, told.code) == (1, 1)
    assert (shown.json["clear"], shown.json["differences"]) == (False, {"EUR": "-0.01"})
    assert "-0.01" in told.out
    assert "rebalancer account review main --accept-balances" in told.out
    assert stored.ledger_sums() != stored.venue_balances()

    assert done("account", "review", "main", "--accept-balances")["clear"] is True
    assert stored.ledger_sums() == stored.venue_balances()
    entry = stored.row("SELECT kind, amount, cause FROM ledger_entry WHERE amount < 0")
    assert (entry["kind"], str(entry["amount"])) == ("adjustment", "-0.01")


def test_tables_for_people_say_the_same(cli: Callable[..., Any]) -> None:
    assert cli("account", "add", "main", "--venue", "paper", "--deposit", "EUR=1000").code == 0
    listed, shown = cli("account", "list"), cli("account", "show", "main")
    assert (listed.code, shown.code) == (0, 0)
    assert "main" in listed.out
    assert "recorded" in listed.out
    assert "1000" in shown.out
    assert "Books and venue agree." in shown.out
