"""Sensors: what Dagster looks after by itself.

Here: evaluations that ask a use case and hand its answer to Dagster. Not here: decisions about portfolios.
"""

from collections.abc import Iterable

import dagster as dg

from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.application.claims import LOOK_AHEAD, check_clock, claim_due
from rebalancer_pipelines.application.drift_watch import watch_drift
from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.orchestration.dead_runs import fail_dead_runs
from rebalancer_pipelines.orchestration.jobs import rebalance_batch
from rebalancer_pipelines.orchestration.partitions import PORTFOLIOS
from rebalancer_pipelines.orchestration.resources import Rebalancer
from rebalancer_pipelines.orchestration.triggers import (
    MOST_BATCHES,
    batch_run,
    is_time,
    served_portfolios,
    unfinished_batches,
)

STATUS = dg.DefaultSensorStatus.RUNNING if Settings().starts_scheduler else dg.DefaultSensorStatus.STOPPED
"""What rebalances by itself runs from the first start on, unless SCHEDULER_AUTO_START says otherwise."""


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
def portfolio_partitions(
    context: dg.SensorEvaluationContext, rebalancer: Rebalancer
) -> dg.SensorResult | dg.SkipReason:
    """Add new portfolios, remove deleted ones."""
    with rebalancer.ports() as ports, ports.transactions() as work:
        stored = [portfolio.name for portfolio in work.portfolios.all()]
    known = context.instance.get_dynamic_partitions(PORTFOLIOS.name or "")
    changes = partition_changes(stored, known)
    if not changes:
        return dg.SkipReason("no portfolio has come or gone")
    return dg.SensorResult(dynamic_partitions_requests=changes)


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


@dg.sensor(
    name="due_portfolios",
    job=rebalance_batch,
    minimum_interval_seconds=30,
    default_status=STATUS,
    description="Rebalances everything that is due and that no schedule serves, whenever the due check is set to run; "
    "and launches again what was claimed but never brought to an end.",
)
def due_portfolios(context: dg.SensorEvaluationContext, rebalancer: Rebalancer) -> dg.SensorResult | dg.SkipReason:
    """Claim what is due."""
    settings = Settings()
    if not settings.schedules_itself:
        return dg.SkipReason("SCHEDULER_ENABLED is false")
    with rebalancer.ports() as ports:
        now = ports.clock.now()
        check_clock(ports)
        requests = unfinished_batches(context.instance, ports)
        if not is_time(settings.check_cron, context.cursor, now):
            return _found(requests, context.cursor or now.isoformat())
        served, withheld = served_portfolios(context.instance, context.repository_def)
        while (batch := claim_due(ports, look_ahead=LOOK_AHEAD, served=served, withheld=withheld)) is not None:
            requests.append(batch_run(batch))
            if len(requests) >= MOST_BATCHES:
                return dg.SensorResult(requests, cursor=context.cursor)
    return _found(requests, now.isoformat())


def _found(requests: list[dg.RunRequest], cursor: str) -> dg.SensorResult:
    return dg.SensorResult(requests, cursor=cursor, skip_reason=None if requests else "nothing is due")


@dg.sensor(
    name="drifted_portfolios",
    job=rebalance_batch,
    minimum_interval_seconds=60,
    default_status=STATUS,
    description="Rebalances portfolios that have left their drift band between their due times.",
)
def drifted_portfolios(context: dg.SensorEvaluationContext, rebalancer: Rebalancer) -> dg.SensorResult | dg.SkipReason:
    """Claim what has drifted."""
    if not Settings().schedules_itself:
        return dg.SkipReason("SCHEDULER_ENABLED is false")
    with rebalancer.ports() as ports:
        _, withheld = served_portfolios(context.instance, context.repository_def)
        report = watch_drift(ports, withheld=withheld)
    for line in report.unread:
        context.log.warning(f"its prices could not be read: {line}")
    if report.batch is None:
        return dg.SkipReason("; ".join(report.unread) or "nothing has left its band")
    return dg.SensorResult([batch_run(report.batch)])


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
