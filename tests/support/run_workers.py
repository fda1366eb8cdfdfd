"""Machines with workers: `rebalancer worker` in a group of processes and a data folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.orchestration.run_queue import queue_app

_PROGRAM = [sys.executable, "-c", "from rebalancer_pipelines.cli.app import main; main()"]
_READY_SECONDS = 60


@dataclass
class Machine:
    """A machine with one worker process. It knows the installation by two variables only."""

    folder: Path
    process: subprocess.Popen[bytes]

    def has_executed(self, run_id: str) -> bool:
        """Whether the run has left its logs in this machine's own Dagster home."""
        return (self.folder / "dagster" / "storage" / run_id).is_dir()

    def ask_to_stop(self) -> None:
        """What `docker stop` does."""
        self.process.terminate()

    def lose_power(self) -> None:
        """End every process of it the hard way."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def machine(folder: Path, database_url: str, redis_url: str) -> Iterator[Machine]:
    """A machine whose worker is ready; it ends, politely if it still can, with the block."""
    unrelated = ("DAGSTER_", "REBALANCER_", "DATABASE_URL", "REDIS_URL")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unrelated)}
    ready_before = _ready(redis_url)
    folder.mkdir()
    with (folder / "told").open("wb") as told:
        process = subprocess.Popen(
            [*_PROGRAM, "worker", "--data-dir", str(folder)],
            env={**environment, "DATABASE_URL": database_url, "REDIS_URL": redis_url},
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        ready = wait_until(lambda: _ready(redis_url) > ready_before or process.poll() is not None, _READY_SECONDS)
        assert ready, (folder / "told").read_text()
        assert process.poll() is None, (folder / "told").read_text()
        yield Machine(folder, process)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def _ready(redis_url: str) -> int:
    return len(queue_app(redis_url).control.inspect(timeout=0.5).ping() or {})
