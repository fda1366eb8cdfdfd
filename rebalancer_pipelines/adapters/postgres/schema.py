"""The schema's version: bring it up to the program's, and refuse one that the program does not know."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.domain.errors import RebalancerError

_MIGRATIONS = Path(__file__).resolve().parents[3] / "migrations"
_OLDEST_SERVER = 180000


class SchemaError(RebalancerError):
    """The database's schema does not fit the program; nothing was changed."""


def migrate(database_url: str) -> None:
    """Bring the schema up to the program's version; nothing happens when it is there already.

    Of several at once one migrates and the others wait. Raises `SchemaError` when the schema is newer than the program,
    the server too old or a migration refused, `DatabaseUnavailableError` when the database does not answer.
    """
    with open_engine(database_url) as engine, engine.connect() as connection:
        _check_server(connection)
        config = _config()
        script = ScriptDirectory.from_config(config)
        current = _current(connection)
        _check_known(script, current)
        if current != script.get_current_head():
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except (CommandError, DBAPIError) as error:
                cause = error.orig if isinstance(error, DBAPIError) else error
                raise SchemaError(
                    f"the schema could not be brought up to date: {_first_line(cause)}; "
                    "the step that failed was undone. Mend the cause and start again"
                ) from error


def check_schema(database_url: str) -> str:
    """Say which version the schema has. Raises `SchemaError` unless it is the program's."""
    with open_engine(database_url) as engine, engine.connect() as connection:
        _check_server(connection)
        script = ScriptDirectory.from_config(_config())
        current = _current(connection)
    _check_known(script, current)
    if current != script.get_current_head():
        raise SchemaError(f"the schema is at {current or 'nothing'}, older than this version; run 'rebalancer up'")
    return f"at {current}, the program's own version"


def _config() -> Config:
    if not (_MIGRATIONS / "env.py").is_file():
        raise SchemaError(
            f"the migrations are missing at {_MIGRATIONS}; run the program from a clone of its repository"
        )
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _current(connection: Connection) -> str | None:
    current = MigrationContext.configure(connection).get_current_revision()
    connection.commit()
    return current


def _check_known(script: ScriptDirectory, current: str | None) -> None:
    known = {revision.revision for revision in script.walk_revisions()}
    if current is not None and current not in known:
        raise SchemaError(
            f"the database's schema is at {current}, which this version does not know: it is newer. "
            "Update the program (git pull); nothing was changed"
        )


def _check_server(connection: Connection) -> None:
    version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    if version < _OLDEST_SERVER:
        raise SchemaError(
            f"PostgreSQL {version // 10000} is too old; use 18 or newer, or unset DATABASE_URL for the embedded one"
        )


def _first_line(cause: BaseException | None) -> str:
    return str(cause).strip().partition("\n")[0]
