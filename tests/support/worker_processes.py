"""Workers: the program in processes of its own, which may die, stand still, or be at work together.

They are forked from a server process that has loaded the program and has no threads: loading it takes seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy.orm import configure_mappers

from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.application.accounts import look_into_account
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.application.review import review_account
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from tests.support.batches import rebalance_together
from tests.support.killed_steps import NEVER, Steps, die, make_steps_of_requests, stepwise_ports, stop
from tests.support.rebalancing import rebalance
from tests.support.worker_clocks import SharedClock

_PRELOADED = (__name__, "ccxt", "sqlalchemy.dialects.postgresql.psycopg", "pytest")
"""`pytest` too: multiprocessing may load the program that was started in every child."""

# Before anybody is forked: every worker would do it again.
configure_mappers()

_PATIENCE_SECONDS = 60.0
CONFIRMED = frozenset({DenialReason.TURNOVER, DenialReason.PRICE_COLLAR})


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a worker works: the database, the data folder, the clock of all, and the environment's variables."""

    database_url: str
    data_dir: Path
    clock: SharedClock
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker does, and what happens to it at one place of `killed_steps`.

    `what` is the name of an act. `stops`: it stands still there instead of dying. `session`: a statement that its
    connections to the database begin with. `start`: it begins when all who wait there have come.
    """

    what: str
    arguments: dict[str, Any] = field(default_factory=dict)
    where: str = NEVER
    stops: bool = False
    session: str | None = None
    lease_patience: timedelta = timedelta(seconds=150)
    start: Barrier | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a worker ended: killed, or with a result, or with an error and its code where it is a denial."""

    was_killed: bool
    result: Any = None
    error: str | None = None
    code: DenialReason | None = None
    details: str = ""


class Worker:
    """A process at its task."""

    def __init__(self, process: multiprocessing.Process, answers: Connection) -> None:
        self._process = process
        self._answers = answers

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still."""
        return psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED

    def wait_until_stopped(self) -> None:
        """Wait until it stands still at its place."""
        assert wait_until(lambda: self.is_stopped or self._answers.poll(), _PATIENCE_SECONDS), "it has not stopped"
        assert self.is_stopped, f"it has not come by the place where it was to stop: {self.ending()}"

    def go_on(self) -> None:
        """Continue one that stands still."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def ending(self) -> Ending:
        """Wait for its end."""
        assert self._answers.poll(_PATIENCE_SECONDS), "a worker has not ended in time"
        ending = Ending(was_killed=True)
        with suppress(EOFError):
            ending = self._answers.recv()
        self._process.join(_PATIENCE_SECONDS)
        assert self._process.exitcode == (-signal.SIGKILL if ending.was_killed else 0)
        self._answers.close()
        return ending

    def kill(self) -> None:
        """End it, whatever it does."""
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


class Workers:
    """Starts workers."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(_PRELOADED))
        self._started: list[Worker] = []

    def start(self, bench: Bench, task: Task) -> Worker:
        """Let a worker begin."""
        answers, answering = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(bench, task, answering), daemon=True)
        process.start()
        answering.close()
        worker = Worker(process, answers)  # type: ignore[arg-type]
        self._started.append(worker)
        return worker

    def run(self, bench: Bench, task: Task) -> Ending:
        """Let a worker begin and wait for its end."""
        return self.start(bench, task).ending()

    def starting_line(self, workers: int) -> Barrier:
        """A line at which so many workers wait for each other."""
        return self._context.Barrier(workers)

    def kill_all(self) -> None:
        """End all that are left."""
        for worker in self._started:
            worker.kill()
        self._started.clear()


@contextmanager
def hiring() -> Iterator[Workers]:
    """Workers for a block; none outlives it."""
    workers = Workers()
    try:
        yield workers
    finally:
        workers.kill_all()


def _work(bench: Bench, task: Task, answering: Connection) -> None:
    os.environ.update(bench.environment)
    steps = Steps(task.where, stop if task.stops else die)
    make_steps_of_requests(steps)
    try:
        with stepwise_ports(
            bench.database_url,
            steps,
            bench.clock,
            bench.data_dir,
            lease_patience=task.lease_patience,
            session=task.session,
        ) as ports:
            if task.start is not None:
                task.start.wait(_PATIENCE_SECONDS)
            ending = Ending(was_killed=False, result=_ACTS[task.what](ports, **task.arguments))
    except Exception as error:  # noqa: BLE001 - whatever it is, the test has to see it
        code = error.reason if isinstance(error, DeniedError) else None
        told = f"{type(error).__name__}: {error}"
        ending = Ending(was_killed=False, error=told, code=code, details=traceback.format_exc())
    # A call that was given up goes on by itself, and so it would in a process that lives longer.
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(_PATIENCE_SECONDS)
    answering.send(ending)


def _rebalance(ports: Ports, portfolio: str, requested_at: datetime | None = None) -> Any:
    return rebalance(ports, portfolio, requested_at=requested_at, confirmed=CONFIRMED)


def _batch(ports: Ports, portfolios: list[str], dry_run: bool = False) -> dict[str, bool | None]:
    """Rebalance together; returns of each whether it went through, None while its row has to wait."""
    outcomes = rebalance_together(ports, portfolios, dry_run=dry_run)
    return {name: outcome.record.success if outcome.record else None for name, outcome in outcomes.items()}


def _recover(ports: Ports) -> list[str]:
    return recover_abandoned_accounts(ports)


def _look(ports: Ports, account: str, until: Path) -> int:
    """Look into an account again and again, until a file is there; returns how often."""
    looks = 0
    while not until.exists():
        look_into_account(ports, account)
        looks += 1
        ports.clock.sleep(timedelta(seconds=1))
    return looks


def _review(ports: Ports, account: str) -> bool:
    return review_account(ports, account).is_clear


_ACTS: dict[str, Callable[..., Any]] = {
    "rebalance": _rebalance,
    "batch": _batch,
    "recover": _recover,
    "look": _look,
    "review": _review,
}
