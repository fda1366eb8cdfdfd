"""The worker: executes the runs that are sent to it, one at a time in each of its processes.

    celery -A rebalancer_pipelines.orchestration.run_worker worker

Here: what a process loads before the first run, and the execution of one. Its environment is that of every process of
Dagster on its machine (`instance.dagster_environment`). Not here: the queue (`run_queue`), who starts workers (`cli`).
"""

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any
from uuid import UUID

import ccxt  # noqa: F401 - loaded once for all runs
import dagster as dg
import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401 - loaded once for all runs
from celery import Celery
from celery.signals import celeryd_init, worker_process_init
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.events import EngineEventData
from dagster._core.storage.runs import SqlRunStorage
from dagster._grpc.impl import core_execute_run
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from rebalancer_pipelines.orchestration.instance import DEFINITIONS, LOCATION
from rebalancer_pipelines.orchestration.run_queue import RUN_TASK, queue_app, queue_name

WORKER_TAG = "rebalancer/worker"
"""Says of a run which process of which machine executed it."""

app: Celery = queue_app(os.environ["REDIS_URL"])


@cache
def _code(location: str) -> ReconstructableRepository:
    """What a code location can run; loaded once, when its first run comes."""
    return ReconstructableRepository.for_module(DEFINITIONS[location], "defs")


@cache
def _instance() -> dg.DagsterInstance:
    """The instance of the worker's own machine; it lives, with its connections, as long as the process."""
    return dg.DagsterInstance.get()


@celeryd_init.connect
def _choose_queue(**_: Any) -> None:
    # Closed again before the first fork.
    with dg.DagsterInstance.get() as instance:
        app.amqp.queues.select([queue_name(instance)])


@worker_process_init.connect
def _warm_up(**_: Any) -> None:
    # Each process opens connections of its own: none may be shared by a fork.
    warnings.simplefilter("ignore", dg.PreviewWarning)
    _instance().get_runs(limit=1)
    # The marts' location loads dbt: the first of its runs pays for that.
    _code(LOCATION).get_definition()


@app.task(name=RUN_TASK)
def execute_run(run_id: str) -> None:
    """Execute a run with this machine's code, unless it is at work or over already."""
    instance = _instance()
    with _claim(instance, run_id) as is_ours:
        run = instance.get_run_by_id(run_id)
        if run is None:
            return
        if not is_ours or run.status not in {dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED}:
            instance.report_engine_event("It had begun or ended before; this worker leaves it alone.", run)
            return
        instance.add_run_tags(run_id, {WORKER_TAG: f"{socket.gethostname()}:{os.getpid()}"})
        instance.report_engine_event("Taken by a worker.", run, EngineEventData.in_process(os.getpid()))
        job = _code(_location(run)).get_reconstructable_job(run.job_name)
        for _event in core_execute_run(job, run, instance, inject_env_vars=True):
            pass


def _location(run: dg.DagsterRun) -> str:
    """The code location that a run belongs to; one that was made beside Dagster's workspace is a rebalance."""
    origin = run.remote_job_origin
    return origin.location_name if origin else LOCATION


@contextmanager
def _claim(instance: dg.DagsterInstance, run_id: str) -> Iterator[bool]:
    """Whether this process has the run to itself; the database holds the claim until the end, or until it is dead.

    Dagster ignores a run that has begun, but two workers that are given the same run at once would both begin it.
    """
    storage = instance.run_storage
    if not isinstance(storage, SqlRunStorage):
        raise TypeError("Dagster's storage is a database")
    key = int.from_bytes(UUID(run_id).bytes[:8], signed=True)
    with storage.connect() as connection:
        is_ours = connection.execute(select(func.pg_try_advisory_lock(key))).scalar_one()
        try:
            yield is_ours
        finally:
            if is_ours:
                # A connection that is lost has given the claim up by itself.
                with suppress(SQLAlchemyError):
                    connection.execute(select(func.pg_advisory_unlock(key)))
