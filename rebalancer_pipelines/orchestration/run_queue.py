"""The queue in Redis over which runs reach workers, on this machine and on others.

Here: what whoever sends and whoever takes a run must agree on. Not here: either of them (`run_launcher`, `run_worker`).
"""

from typing import Any

import dagster as dg
from celery import Celery
from dagster._core.storage.runs import SqlRunStorage
from dagster_celery.make_app import make_app

RUN_TASK = "rebalancer.execute_run"
"""The one task. Its argument is the run's id and nothing else: a worker has its own instance, folders and code."""

_VISIBILITY_SECONDS = 3600
"""Redis hands out again what was taken and not acknowledged for so long; longer than any run may take."""

_CONNECT_SECONDS = 5
_RUNS_PER_PROCESS = 1000

SETTINGS: dict[str, Any] = {
    # Acknowledged before it begins: the run of a worker that dies is settled by recovery, never executed again.
    "task_acks_late": False,
    "task_reject_on_worker_lost": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    # A worker that is busy must leave the next run to another one.
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    # What became of a run stands in Dagster's storage.
    "task_ignore_result": True,
    "broker_transport_options": {
        "visibility_timeout": _VISIBILITY_SECONDS,
        "global_keyprefix": "rebalancer:",
        "socket_connect_timeout": _CONNECT_SECONDS,
    },
    # Who sends gives up at once and says so; a worker waits for Redis as long as it takes.
    "task_publish_retry": False,
    "broker_connection_timeout": _CONNECT_SECONDS,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    # A process that has grown is replaced now and then. Becoming ready takes a while on a busy machine.
    "worker_max_tasks_per_child": _RUNS_PER_PROCESS,
    "worker_proc_alive_timeout": 120,
    # Dagster captures the output of a run by itself.
    "worker_redirect_stdouts": False,
}


def queue_app(broker: str) -> Celery:
    """The Celery application over a Redis; nothing is connected yet."""
    return make_app({"broker": broker, "backend": None, "include": [], "config_source": SETTINGS})


def queue_name(instance: dg.DagsterInstance) -> str:
    """The queue of one installation: several of them may share a Redis, and none may take another's runs."""
    storage = instance.run_storage
    if not isinstance(storage, SqlRunStorage):
        raise TypeError("Dagster's storage is a database")
    return f"runs-{storage.get_run_storage_id()}"
