"""The database and the cache that a command works with: given from outside, or embedded ones of our own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rebalancer_pipelines.adapters.embedded.data_directory import prepared_data_dir
from rebalancer_pipelines.adapters.embedded.errors import EmbeddedServiceError
from rebalancer_pipelines.adapters.embedded.postgres_server import postgres_server
from rebalancer_pipelines.adapters.embedded.shared_server import shared
from rebalancer_pipelines.adapters.embedded.valkey_server import valkey_server

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """Where the services are. The URLs contain passwords, so a representation leaves them out."""

    database_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    """None: there is no cache, and everything works without it."""


@contextmanager
def running_services(
    data_dir: Path, *, database_url: str | None = None, redis_url: str | None = None
) -> Iterator[Services]:
    """Provide the services for a block, starting embedded ones under `data_dir` for those without a URL.

    Processes that use one `data_dir` share its servers; the last one to leave stops them. With both URLs
    given nothing is started and `data_dir` is not touched. A Valkey that cannot be started is a warning.

    Raises:
        EmbeddedServiceError: the embedded database cannot be used.

    """
    with ExitStack() as stack:
        database = database_url or stack.enter_context(running_database(data_dir))
        cache = redis_url or stack.enter_context(running_cache(data_dir))
        yield Services(database, cache)


@contextmanager
def running_database(data_dir: Path, *, durable: bool = True) -> Iterator[str]:
    """Provide the embedded PostgreSQL of `data_dir` for a block and yield its URL.

    Without `durable` a power failure can destroy the data, and everything is faster: for tests only.

    Raises:
        EmbeddedServiceError: it cannot be used.

    """
    folder = _usable(data_dir)
    with shared(postgres_server(folder, durable=durable), folder) as url:
        yield url


@contextmanager
def running_cache(data_dir: Path) -> Iterator[str | None]:
    """Provide the embedded Valkey of `data_dir` for a block and yield its URL; None when it cannot be started."""
    with ExitStack() as stack:
        try:
            folder = _usable(data_dir)
            url = stack.enter_context(shared(valkey_server(folder), folder))
        except EmbeddedServiceError as error:
            logger.warning("Going on without a cache. %s", error)
            url = None
        yield url


def _usable(data_dir: Path) -> Path:
    if not Path("/proc/self").exists():
        raise EmbeddedServiceError(
            "The embedded servers need Linux with /proc; set DATABASE_URL (and REDIS_URL) to servers of your own"
        )
    try:
        return prepared_data_dir(data_dir)
    except OSError as error:
        raise EmbeddedServiceError(
            f"The data folder {data_dir} cannot be made: {error.strerror or error}; choose another --data-dir"
        ) from error
