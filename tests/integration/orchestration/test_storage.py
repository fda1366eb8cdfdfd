"""Dagster's own storage on PostgreSQL: few connections, and nothing that the UI shows gets lost by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.orchestration.partitions import PORTFOLIOS
from tests.support.dagster_home import installed_instance

from .conftest import Launcher, materialized, passed_checks
from .test_rebalance_job import ASSETS, CHECKS

_ALL_FOR_A_RUN = 10
"""Two or three of Dagster's, the others those of the program's own ports; stock dagster-postgres opens 270."""


def connections(look: psycopg.Connection) -> tuple[int, int]:
    """How many others to the same database are open now, and how many were ever opened."""
    row = look.execute(
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = d.datname AND pid <> pg_backend_pid()), "
        "sessions FROM pg_stat_database d WHERE d.datname = current_database()"
    ).fetchone()
    assert row is not None
    return row


def test_a_rebalance_opens_a_few_connections_and_shows_everything(
    furnish: Callable[..., None], ready_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish("core")
    with psycopg.connect(ready_database, autocommit=True) as look:
        with installed_instance(tmp_path, ready_database, monkeypatch):
            pass
        open_before, opened_before = connections(look)
        with installed_instance(tmp_path, ready_database, monkeypatch) as instance:
            result = Launcher(ready_database, instance)("core")
            stored = instance.all_logs(result.run_id)
            for asset in ASSETS:
                assert instance.get_materialized_partitions(dg.AssetKey(asset)) == {"core"}
        # A connection has been counted at the latest when it is closed.
        assert wait_until(lambda: connections(look)[0] <= open_before, 10)
        assert 0 < connections(look)[1] - opened_before <= _ALL_FOR_A_RUN
    assert list(materialized(result)) == ASSETS
    assert passed_checks(result) == dict.fromkeys(CHECKS, True)
    assert {e.event_type for e in result.all_events} <= {e.dagster_event_type for e in stored}


def test_a_portfolio_whose_run_failed_is_shown_as_failed(
    ready_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed_instance(tmp_path, ready_database, monkeypatch) as instance:
        assert not Launcher(ready_database, instance)("nobody").success
        for asset in ASSETS:
            shown = instance.get_status_by_partition(dg.AssetKey(asset), ["nobody"], PORTFOLIOS)
            assert shown == {"nobody": AssetPartitionStatus.FAILED}, asset


def test_the_pool_outlives_a_restart_of_the_database(
    ready_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed_instance(tmp_path, ready_database, monkeypatch) as instance:
        instance.add_dynamic_partitions("portfolio", ["core"])
        with psycopg.connect(ready_database, autocommit=True) as connection:
            ended = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
        assert ended is not None
        assert ended[0] > 0
        assert instance.get_dynamic_partitions("portfolio") == ["core"]
        assert instance.get_runs() == []
        assert instance.all_instigator_state() == []
