"""Sensors: what Dagster looks after by itself.

Here: evaluations that ask a use case and hand its answer to Dagster. Not here: decisions about portfolios.
"""

from collections.abc import Iterable

import dagster as dg

from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.orchestration.dead_runs import fail_dead_runs
from rebalancer_pipelines.orchestration.partitions import PORTFOLIOS
from rebalancer_pipelines.orchestration.resources import Rebalancer


def partition_changes(
    stored: Iterable[str], known: Iterable[str]
) -> list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]:
    """The requests that make Dagster's partitions equal to the stored portfolios."""
    added, removed = _added_and_removed(stored, known)
    requests: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
    if added:
        requests.append(PORTFOLIOS.build_add_request(added))
    if removed:
        requests.append(PORTFOLIOS.build_delete_request(removed))
    return requests


@dg.sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps the portfolio partitions equal to the table of portfolios.",
)
def portfolio_partitions(context: dg.SensorEvaluationContext, rebalancer: Rebalancer) -> dg.SensorResult:
    """Add new portfolios, remove deleted ones."""
    with rebalancer.ports() as ports, ports.transactions() as work:
        stored = [portfolio.name for portfolio in work.portfolios.all()]
    known = context.instance.get_dynamic_partitions(PORTFOLIOS.name or "")
    return dg.SensorResult(dynamic_partitions_requests=partition_changes(stored, known))


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Settles rebalances whose process was stopped, and ends their Dagster runs.",
)
def abandoned_rebalances(context: dg.SensorEvaluationContext, rebalancer: Rebalancer) -> dg.SkipReason:
    """Recover accounts that nobody holds any more."""
    with rebalancer.ports() as ports:
        unsettled = recover_abandoned_accounts(ports)
        ended = fail_dead_runs(context.instance, ports)
    return dg.SkipReason("; ".join(unsettled) or f"{len(ended)} stopped runs were closed")


def sync_partitions(instance: dg.DagsterInstance, stored: Iterable[str]) -> None:
    """The same at once, for whoever has just changed a portfolio and will not wait for the sensor."""
    name = PORTFOLIOS.name or ""
    added, removed = _added_and_removed(stored, instance.get_dynamic_partitions(name))
    if added:
        instance.add_dynamic_partitions(name, added)
    for key in removed:
        instance.delete_dynamic_partition(name, key)


def _added_and_removed(stored: Iterable[str], known: Iterable[str]) -> tuple[list[str], list[str]]:
    wanted, present = set(stored), set(known)
    return sorted(wanted - present), sorted(present - wanted)
