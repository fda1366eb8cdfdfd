"""`rebalancer prune` as a person types it; what may go is told in the tests of the retention itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

Cli = Callable[..., Any]


@pytest.fixture
def old_runs(ready_database: str, cli: Cli) -> None:
    """Three finished runs, 40 days old."""
    assert cli("prune").code == 0, "the first one makes Dagster's tables"
    with psycopg.connect(ready_database, options="-c search_path=dagster") as connection:
        connection.execute(
            "INSERT INTO runs (run_id, pipeline_name, status, run_body, update_timestamp) "
            "SELECT gen_random_uuid(), 'rebalance', 'SUCCESS', '', now() - interval '40 days' "
            "FROM generate_series(1, 3)"
        )


@pytest.mark.usefixtures("old_runs")
def test_it_tells_what_it_deleted(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("prune", "--older-than", "41").out == "Deleted 0 runs with 0 events, older than 41 days.\n"
    assert cli("prune", "--dry-run").out == "Would delete 3 runs with 0 events, older than 30 days.\n"
    monkeypatch.setenv("EVENT_LOG_DAYS", "41")
    assert cli("prune", "--json").json == {"runs": 0, "events": 0, "kept": 0, "older_than_days": 41, "dry_run": False}
    assert cli("prune", "--older-than", "1", "--json").json["runs"] == 3
    assert cli("prune", "--older-than", "1", "--json").json["runs"] == 0


@pytest.mark.parametrize("days", ["0", "-1", "3651", "1.5", "a month", ""])
def test_a_number_of_days_that_is_none_is_refused(cli: Cli, days: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = cli("prune", f"--older-than={days}")
    assert (outcome.code, outcome.err) == (
        2,
        f"Error: older_than: '{days}' must be a whole number from 1 to 3650\n",
    )
    if days:
        monkeypatch.setenv("EVENT_LOG_DAYS", days)
        assert cli("prune").err == f"Error: EVENT_LOG_DAYS: '{days}' must be a whole number from 1 to 3650\n"
