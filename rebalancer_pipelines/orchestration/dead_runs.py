"""Dagster runs whose process is gone.

Here: telling Dagster that such a run has ended, so that nobody watches it for ever. Not here: what became of its orders
and its history row; recovery has settled those before.
"""

import dagster as dg

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.errors import NotFoundError
from rebalancer_pipelines.domain.rebalance import RebalanceStatus

_UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_PARTITION_TAG = "dagster/partition"


def fail_dead_runs(instance: dg.DagsterInstance, ports: Ports) -> list[str]:
    """Mark as failed every unfinished run whose rebalance recovery has closed; returns their ids."""
    dead = [
        run
        for run in instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED))
        if _is_closed(ports, run.run_id, run.tags.get(_PARTITION_TAG))
    ]
    for run in dead:
        instance.report_run_failed(
            run, "The program was stopped during this run; its rebalance was settled afterwards."
        )
    return [run.run_id for run in dead]


def _is_closed(ports: Ports, run_id: str, portfolio: str | None) -> bool:
    if portfolio is None:
        return False
    try:
        with ports.transactions() as work:
            rebalance = work.rebalances.of_run(run_id, work.portfolios.get(portfolio).id)
    except NotFoundError:
        return True
    return rebalance is not None and rebalance.status is RebalanceStatus.FINISHED
