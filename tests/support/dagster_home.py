"""A Dagster instance as an installation has it: its storage in PostgreSQL, its settings those of the project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from rebalancer_pipelines.orchestration.instance import dagster_environment, prepare_home


@contextmanager
def installed_instance(
    data_dir: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, *, workers_over: str | None = None
) -> Iterator[dg.DagsterInstance]:
    """The instance of an installation in a data folder; the environment is that of its processes.

    `workers_over`: the Redis over which it sends its runs to workers.
    """
    home = prepare_home(data_dir, database_url, on_workers=workers_over is not None)
    for name, value in dagster_environment(data_dir, home, database_url, workers_over).items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.get() as instance:
        yield instance
