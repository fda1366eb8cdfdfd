"""Builds that meet trouble: each other, a missing database, a schema that does not fit, a model that breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rebalancer_pipelines.adapters.analytics.build import build_marts
from rebalancer_pipelines.adapters.analytics.build_mark import build_turn
from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.adapters.postgres.database import DatabaseUnavailableError
from rebalancer_pipelines.adapters.postgres.schema import SchemaError
from rebalancer_pipelines.domain.errors import InvalidInputError
from tests.support.stored import Stored
from tests.support.written_history import WrittenHistory, noon

from .conftest import BuildIt, Marts
from .stories import FIRST

_BUILD = (
    "import sys; from pathlib import Path; from rebalancer_pipelines.adapters.analytics.build import build_marts; "
    "sys.exit('; '.join(build_marts(sys.argv[1], Path(sys.argv[2])).problems) or None)"
)


def test_of_two_builds_at_once_one_waits_and_both_are_right(
    ready_database: str, analytics_folder: Path, history: WrittenHistory, build: BuildIt, marts: Marts, stored: Stored
) -> None:
    core = history.portfolio("core")
    history.rebalance(core, noon(FIRST))
    build()
    history.rebalance(core, noon(FIRST))
    with build_turn(ready_database):
        other = subprocess.Popen(
            [sys.executable, "-c", _BUILD, ready_database, str(analytics_folder)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            stderr=subprocess.PIPE,
            text=True,
        )
        waiting = "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        assert wait_until(lambda: stored.row(waiting)["n"] == 1, 60)
        assert marts("rebalance_statistics", "portfolio_id")[0]["rebalances"] == 1
    build()
    _, said = other.communicate(timeout=120)
    assert (other.returncode, said) == (0, "")
    assert [row["rebalances"] for row in marts("rebalance_statistics", "portfolio_id")] == [2, 2]


def test_a_database_that_is_away_is_one_clear_line(analytics_folder: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match=r"nobody listens there; start the server") as caught:
        build_marts("postgresql://nobody:secret@127.0.0.1:1/none", analytics_folder)
    assert "secret" not in str(caught.value)
    with pytest.raises(InvalidInputError, match="DATABASE_URL"):
        build_marts(None, analytics_folder)


def test_a_database_without_the_tables_is_one_clear_line(database: str, analytics_folder: Path) -> None:
    with pytest.raises(SchemaError, match="run 'rebalancer up'"):
        build_marts(database, analytics_folder)


def test_a_model_that_breaks_is_told_and_what_was_there_stays(
    ready_database: str,
    analytics_folder: Path,
    history: WrittenHistory,
    build: BuildIt,
    marts: Marts,
    stored: Stored,
) -> None:
    core = history.portfolio("core")
    history.rebalance(core, noon(FIRST))
    build()
    stored.change("ALTER TABLE analytics.int_drift_measured RENAME drift_before TO another")
    history.rebalance(core, noon(FIRST))
    problems = build_marts(ready_database, analytics_folder).problems
    assert [line.partition(":")[0] for line in problems] == ["model int_drift_measured"]
    assert "\n" not in problems[0]
    stored.change("ALTER TABLE analytics.int_drift_measured RENAME another TO drift_before")
    build()
    assert marts("rebalance_statistics", "portfolio_id")[0]["rebalances"] == 2
