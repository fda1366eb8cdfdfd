"""The program's ports as `open_ports` makes them, but on a clock of a test's own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from rebalancer_pipelines.adapters.kill_file import KillFile
from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from rebalancer_pipelines.adapters.prices.bar_sources import BarRegistry
from rebalancer_pipelines.adapters.venues.registry import VenueRegistry
from rebalancer_pipelines.application.ports import Clock, Ports
from rebalancer_pipelines.domain.notification import NotificationKind


@contextmanager
def ports_on(
    database_url: str, clock: Clock, data_dir: Path, *, notified: Collection[NotificationKind] = ()
) -> Iterator[Ports]:
    """The program's ports, on a clock of one's own. `notified`: the facts that people are told of."""
    with open_engine(database_url) as engine:
        yield Ports(
            transactions=lambda: PostgresUnitOfWork(engine, notified=notified),
            venues=VenueRegistry(engine, clock, key_file=data_dir / "credentials.key"),
            bar_sources=BarRegistry(clock),
            clock=clock,
            kill_file=KillFile(data_dir),
        )
