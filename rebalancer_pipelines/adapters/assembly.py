"""Putting the adapters together: the ports over one database."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rebalancer_pipelines.adapters.clock import SystemClock
from rebalancer_pipelines.adapters.kill_file import KillFile
from rebalancer_pipelines.adapters.notifier import open_notifier
from rebalancer_pipelines.adapters.postgres.database import database_mark, open_engine
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from rebalancer_pipelines.adapters.prices.bar_sources import BarRegistry
from rebalancer_pipelines.adapters.redis.cache import open_cache
from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.adapters.venues.registry import VenueRegistry
from rebalancer_pipelines.application.ports import Ports

_KEY_FILE = "credentials.key"


@contextmanager
def open_ports(database_url: str, data_dir: Path | None = None, *, redis_url: str | None = None) -> Generator[Ports]:
    """The program's ports for a block; the connections are closed at its end.

    `data_dir` holds the key that opens stored credentials, and the file that stops everything; the environment names
    it otherwise, and the Redis that may serve as a cache, too.

    Raises `InvalidInputError` when the database cannot be used, or the environment says something odd.
    """
    settings = Settings()
    folder = data_dir or settings.data_dir
    clock = SystemClock()
    notified = settings.notified_at_least
    with (
        open_engine(database_url) as engine,
        open_cache(redis_url or settings.redis_url, database_mark(engine)) as cache,
    ):
        yield Ports(
            transactions=lambda: PostgresUnitOfWork(
                engine, notified=notified, on_portfolio_change=cache.forget_portfolios
            ),
            venues=VenueRegistry(engine, clock, key_file=folder / _KEY_FILE),
            bar_sources=BarRegistry(clock),
            clock=clock,
            kill_file=KillFile(folder),
            dry_run_only=settings.dry_run_only,
            notifier=open_notifier(settings),
            cache=cache,
        )
