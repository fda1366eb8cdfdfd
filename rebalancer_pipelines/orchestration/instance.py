"""The Dagster instance of this installation: its home folder, its storage, its environment.

Here: what Dagster itself needs before anything can run. Not here: our own tables, services or processes.
"""

from pathlib import Path
from urllib.parse import urlencode, urlsplit, urlunsplit

from rebalancer_pipelines.adapters.embedded.file_lock import FileLock
from rebalancer_pipelines.adapters.postgres.database import create_schema
from rebalancer_pipelines.domain.errors import InvalidInputError

_SCHEMA = "dagster"
"""Dagster's tables stand in the same database as ours, in a schema of their own."""

LOCATION = "rebalancer_pipelines"
"""The code location that rebalances, as `workspace.yaml` names it."""

ANALYTICS_LOCATION = "rebalancer_analytics"
"""The code location that builds the marts."""

DEFINITIONS = {
    LOCATION: "rebalancer_pipelines.definitions",
    ANALYTICS_LOCATION: "rebalancer_pipelines.analytics_definitions",
}
"""The module of each code location, as `workspace.yaml` names it."""

_WORKER_LAUNCHER = """
run_launcher:
  module: rebalancer_pipelines.orchestration.run_launcher
  class: WorkerRunLauncher
  config:
    broker:
      env: REDIS_URL
"""
"""What `dagster.yaml` says besides where runs go to workers."""

_PATIENCE_SECONDS = 10.0

PROJECT_ROOT = Path(__file__).resolve().parents[2]
"""Where `dagster.yaml` stands."""


def storage_url(database_url: str) -> str:
    """The database as dagster-postgres must be told it: its driver is psycopg2, its schema its own."""
    parts = urlsplit(database_url)
    options = urlencode({"options": f"-csearch_path={_SCHEMA}"})
    query = f"{parts.query}&{options}" if parts.query else options
    return urlunsplit(("postgresql+psycopg2", parts.netloc, parts.path, query, ""))


def dagster_environment(data_dir: Path, home: Path, database_url: str, redis_url: str | None) -> dict[str, str]:
    """The variables that Dagster's processes and our code inside them read; the URLs contain passwords."""
    environment = {
        "DAGSTER_HOME": str(home),
        "DAGSTER_POSTGRES_URL": storage_url(database_url),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        # A step's events of one kind are written in one statement. DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS
        # would save more where a run has many partitions, but then the UI shows no portfolio as failed any more.
        "DAGSTER_EVENT_BATCH_SIZE": "1000",
        "DATABASE_URL": database_url,
        "REBALANCER_DATA_DIR": str(data_dir),
    }
    if redis_url:
        environment["REDIS_URL"] = redis_url
    return environment


def prepare_home(data_dir: Path, database_url: str, *, on_workers: bool | None = None) -> Path:
    """Make the Dagster home under the data directory, with the project's settings, and the schema of its tables.

    `on_workers`: whether runs are sent to workers; None leaves that as it is.
    """
    home = data_dir / "dagster"
    try:
        home.mkdir(parents=True, exist_ok=True)
        # Containers share the folder and each counts its processes from 1: no name is one's own there, but a lock is.
        with FileLock(home / "settings.lock").exclusive(_PATIENCE_SECONDS):
            _write_settings(home / "dagster.yaml", on_workers=on_workers)
    except TimeoutError as error:
        raise InvalidInputError("data_dir", str(data_dir), f"cannot be made ready: {error}; try again") from None
    except OSError as error:
        raise InvalidInputError(
            "data_dir", str(data_dir), f"cannot be written: {error.strerror}; choose another --data-dir"
        ) from None
    create_schema(database_url, _SCHEMA)
    return home


def _write_settings(file: Path, *, on_workers: bool | None) -> None:
    settings = (PROJECT_ROOT / "dagster.yaml").read_text(encoding="utf-8")
    if on_workers is None:
        on_workers = file.exists() and file.read_text(encoding="utf-8").endswith(_WORKER_LAUNCHER)
    # Another process may be reading it.
    written = file.with_suffix(".new")
    written.write_text(settings + _WORKER_LAUNCHER if on_workers else settings, encoding="utf-8")
    written.replace(file)
