"""What a command works in: the services for its duration, a current schema, and the ports over them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rebalancer_pipelines.adapters.assembly import open_ports
from rebalancer_pipelines.adapters.embedded.data_directory import prepared_data_dir
from rebalancer_pipelines.adapters.embedded.services import Services, running_services
from rebalancer_pipelines.adapters.postgres.schema import migrate
from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Session:
    """A command's surroundings. `services` holds URLs with passwords: not for output.

    `owns_database` and `owns_cache` say that these are the embedded ones, which this program starts and stops.
    """

    data_dir: Path
    owns_database: bool
    owns_cache: bool
    services: Services
    ports: Ports


def chosen_data_dir(data_dir: Path | None) -> Path:
    """The folder that the option, the environment or the default names."""
    return (data_dir or Settings().data_dir).expanduser().absolute()


def make_data_dir(folder: Path) -> None:
    """Make the data folder unless it is there. Raises `InvalidInputError` when it cannot be."""
    try:
        prepared_data_dir(folder)
    except OSError as error:
        raise InvalidInputError(
            "data_dir", str(folder), f"cannot be made: {error.strerror}; choose another --data-dir"
        ) from None


@contextmanager
def open_session(data_dir: Path | None) -> Generator[Session]:
    """Provide the database and the ports, starting embedded services when nobody else has.

    Raises `InvalidInputError` when `DATABASE_URL` leads nowhere, `EmbeddedServiceError` when ours cannot start.
    """
    settings = Settings()
    folder = chosen_data_dir(data_dir)
    if settings.database_url is None:
        make_data_dir(folder)
    with running_services(folder, database_url=settings.database_url, redis_url=settings.redis_url) as services:
        migrate(services.database_url)
        with open_ports(services.database_url, folder, redis_url=services.redis_url) as ports:
            yield Session(folder, settings.database_url is None, settings.redis_url is None, services, ports)
