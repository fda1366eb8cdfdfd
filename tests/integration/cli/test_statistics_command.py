"""`rebalancer stats` as a person types it, on marts that are as dbt leaves them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.analytics import Marts, ToldHistory, tell

Cli = Callable[..., Any]


@pytest.fixture
def marts(cli: Cli, done: Callable[..., Any], ready_database: str) -> Marts:
    """Empty marts, and a portfolio `core`."""
    done("account", "add", "main", "--venue", "paper", "--prices", "recorded", "--deposit", "EUR=10000")
    done("portfolio", "create", "core", "--account", "main", "--weights", "BTC=50,ETH=30,EUR=20")
    return Marts(ready_database)


def test_before_the_analytics_are_built_it_says_what_to_run(cli: Cli) -> None:
    outcome = cli("stats")
    assert (outcome.code, outcome.err) == (
        1,
        "Error: analytics: are not built yet; run 'rebalancer analytics build'\n",
    )


@pytest.mark.usefixtures("marts")
def test_an_unknown_portfolio_is_one_line(cli: Cli) -> None:
    outcome = cli("stats", "nobody")
    assert (outcome.code, outcome.err) == (2, "Error: portfolio: 'nobody' is unknown; there is core\n")


@pytest.mark.usefixtures("marts")
def test_empty_marts_are_no_error(cli: Cli) -> None:
    assert cli("stats").out == "No rebalance of any portfolio is in the analytics yet.\n"
    assert cli("stats", "core").out == "No rebalance of core is in the analytics yet.\n"
    assert cli("stats", "--json").json["recent_rebalances"] == []


def test_live_and_rehearsed_are_never_summed_up(cli: Cli, marts: Marts) -> None:
    tell(marts, ToldHistory("core", first=date(2019, 2, 5), days=10, every=3, failed=[1]))
    tell(marts, ToldHistory("core", basis="rehearsed", run_mode="backfill", days=30))
    for document in (cli("stats", "core", "--json").json, cli("stats", "--json").json):
        rates = document["rebalance_success_rate"]
        assert [(r["run_mode"], r["rebalances"], r["success_rate"]) for r in rates] == [
            ("live", 4, "75"),
            ("backfill", 5, "100"),
        ]
        assert [row["run_mode"] for row in document["rebalance_statistics"]] == ["live", "backfill"]
        assert [(row["basis"], row["day"]) for row in document["portfolio_performance"]] == [
            ("booked", "2019-02-14"),
            ("rehearsed", "2017-10-30"),
        ]
        (reason,) = document["failure_reasons"]
        assert (reason["run_mode"], reason["code"], reason["occurrences"]) == ("live", "PRICE_STALE", 1)
    told = cli("stats", "core").out
    for title in ("Success rate", "Rebalances", "Traded value", "Execution quality", "Performance", "Failures"):
        assert title in told
    assert "backfill" in told
    assert "no money moved" in told


def test_decimals_are_text_in_full_and_times_iso(cli: Cli, marts: Marts) -> None:
    tell(marts, ToldHistory("core", first=date(2019, 2, 5), days=4, every=3))
    document = cli("stats", "core", "--json").json

    def numbers(found: Any) -> list[Any]:
        if isinstance(found, dict | list):
            return [n for inner in (found.values() if isinstance(found, dict) else found) for n in numbers(inner)]
        return [found]

    assert not [found for found in numbers(document) if isinstance(found, float)]
    (figures,) = document["rebalance_statistics"]
    assert Decimal(figures["total_value_traded"]) > 8_000
    assert figures["p95_duration_ms"] == "1011"
    assert document["recent_rebalances"][0]["executed_at"] == "2019-02-08T09:30:00+00:00"
    assert document["portfolio"] == "core"


def test_the_ten_newest_rebalances_newest_first(cli: Cli, marts: Marts) -> None:
    tell(marts, ToldHistory("core", first=date(2019, 2, 5), days=14, every=1))
    recent = cli("stats", "--json").json["recent_rebalances"]
    days = [date.fromisoformat(row["executed_at"][:10]) for row in recent]
    assert days == [date(2019, 2, 18) - timedelta(days=n) for n in range(10)]


def test_the_performance_is_that_of_the_newest_day_with_a_value(cli: Cli, marts: Marts) -> None:
    tell(marts, ToldHistory("core", first=date(2019, 2, 5), days=5, lost=[date(2019, 2, 8), date(2019, 2, 9)]))
    (row,) = cli("stats", "core", "--json").json["portfolio_performance"]
    assert row["day"] == "2019-02-07"
    assert row["value"] is not None
