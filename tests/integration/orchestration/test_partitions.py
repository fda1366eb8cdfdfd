"""Dagster's partitions follow the table of portfolios."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg
import pytest

from rebalancer_pipelines.application.portfolios import delete_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.definitions import build_definitions
from rebalancer_pipelines.orchestration.resources import Rebalancer
from rebalancer_pipelines.orchestration.sensors import partition_changes, portfolio_partitions, sync_partitions

Furnish = Callable[..., None]


@pytest.mark.parametrize(
    ("stored", "known", "added", "removed"),
    [
        ([], [], [], []),
        (["b", "a"], [], ["a", "b"], []),
        (["a"], ["a", "c", "b"], [], ["b", "c"]),
        (["a", "b"], ["b", "c"], ["a"], ["c"]),
        (["a", "b"], ["b", "a"], [], []),
    ],
)
def test_changes_are_what_differs(stored: list[str], known: list[str], added: list[str], removed: list[str]) -> None:
    requests = partition_changes(stored, known)
    asked = {type(request): list(request.partition_keys) for request in requests}
    expected = {dg.AddDynamicPartitionsRequest: added, dg.DeleteDynamicPartitionsRequest: removed}
    assert asked == {kind: keys for kind, keys in expected.items() if keys}
    assert {request.partitions_def_name for request in requests} <= {"portfolio"}


def test_syncing_leaves_exactly_the_stored_ones() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        for stored in (["a", "b"], ["b", "c"], ["b", "c"], []):
            sync_partitions(instance, stored)
            assert sorted(instance.get_dynamic_partitions("portfolio")) == stored


def test_the_sensor_asks_for_what_the_table_says(ready_database: str, furnish: Furnish, ports: Ports) -> None:
    furnish("core", "other")
    rebalancer = Rebalancer(database_url=ready_database)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("portfolio", ["gone", "other"])
        with dg.build_sensor_context(instance=instance, resources={"rebalancer": rebalancer}) as context:
            first = portfolio_partitions(context)
            assert isinstance(first, dg.SensorResult)
            added, removed = first.dynamic_partitions_requests or ()
            assert (list(added.partition_keys), list(removed.partition_keys)) == (["core"], ["gone"])
            assert first.run_requests == []
            sync_partitions(instance, ["core", "other"])
            again = portfolio_partitions(context)
            assert isinstance(again, dg.SkipReason)
            assert again.skip_message == "no portfolio has come or gone"
            delete_portfolio(ports, "core")
            last = portfolio_partitions(context)
            assert isinstance(last, dg.SensorResult)
            (removed,) = last.dynamic_partitions_requests or ()
            assert list(removed.partition_keys) == ["core"]


def test_an_unknown_portfolio_fails_its_run_with_one_line(ready_database: str) -> None:
    job = build_definitions(Rebalancer(database_url=ready_database)).resolve_job_def("rebalance")
    with dg.DagsterInstance.ephemeral() as instance:
        sync_partitions(instance, ["ghost"])
        result = job.execute_in_process(instance=instance, partition_key="ghost", raise_on_error=False)
    assert not result.success
    (failed,) = result.filter_events(lambda event: event.is_step_failure)
    assert failed.step_key == "account_balances"
    assert "portfolio: 'ghost' is unknown" in failed.step_failure_data.error_display_string
