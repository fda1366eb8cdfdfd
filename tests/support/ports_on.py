"""The program's ports as `open_ports` makes them, but on a clock of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rebalancer_pipelines.adapters.kill_file import KillFile
from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from rebalancer_pipelines.adapters.venues.registry import VenueRegistry
from rebalancer_pipelines.application.ports import Clock, Ports


@contextmanager
def ports_on(database_url: str, clock: Clock, data_dir: Path) -> Iterator[Ports]:
    """The program's ports, on a clock of one's own."""
    with open_engine(database_url) as engine:
        yield Ports(
            transactions=lambda: PostgresUnitOfWork(engine),
            venues=VenueRegistry(engine, clock, key_file=data_dir / "credentials.key"),
            clock=clock,
            kill_file=KillFile(data_dir),
        )
