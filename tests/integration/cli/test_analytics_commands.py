"""`rebalancer analytics …`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.stored import Stored

Cli = Callable[..., Any]


def test_the_marts_are_built_and_documented(done: Callable[..., Any], cli: Cli, stored: Stored) -> None:
    assert done("analytics", "build") == {"built": True, "full": False}
    assert stored.rows("SELECT * FROM analytics.rebalance_statistics") == []
    runs = stored.rows("SELECT pipeline_name, status FROM dagster.runs")
    assert [(row["pipeline_name"], row["status"]) for row in runs] == [("analytics_build", "SUCCESS")]
    page = Path(done("analytics", "docs")["page"])
    assert page.is_file()
    assert "rebalance_statistics" in page.read_text()


def test_a_build_that_fails_names_the_test_and_its_rows(cli: Cli, stored: Stored) -> None:
    stored.change("INSERT INTO account (name, venue, price_source) VALUES ('main', 'paper', 'recorded')")
    stored.change("INSERT INTO portfolio (name, account_id) SELECT 'core', id FROM account")
    stored.change(
        "INSERT INTO daily_portfolio_value (portfolio_id, basis, day, valuation_currency, value, inflow, outflow, "
        "entry_count) SELECT id, 'booked', '2018-03-01', 'EUR', 7, 0, 0, 0 FROM portfolio"
    )
    failed = cli("analytics", "build")
    assert failed.code == 1
    assert failed.err.startswith(
        "Error: the marts are not up to date: test value_is_explained_without_residual: 1 row, such"
    )
    assert "residual 7" in failed.err
