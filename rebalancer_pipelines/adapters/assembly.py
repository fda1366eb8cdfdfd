"""Putting the adapters together: the ports over one database."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from rebalancer_pipelines.adapters.clock import SystemClock
from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from rebalancer_pipelines.adapters.venues.registry import VenueRegistry
from rebalancer_pipelines.application.ports import Ports


@contextmanager
def open_ports(database_url: str) -> Generator[Ports]:
    """The program's ports for a block; the connections are closed at its end."""
    clock = SystemClock()
    with open_engine(database_url) as engine:
        yield Ports(transactions=lambda: PostgresUnitOfWork(engine), venues=VenueRegistry(engine, clock), clock=clock)
