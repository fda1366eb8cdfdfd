"""How Alembic reaches the database: by a connection that the program hands in, else by DATABASE_URL."""

from __future__ import annotations

import os
import time

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, text

from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.tables import Base
from rebalancer_pipelines.domain.errors import InvalidInputError

_LOCK = 7_214_960_331
_PATIENCE_SECONDS = 300
_PAUSE_SECONDS = 0.1


def _wait_for_turn(connection: Connection) -> None:
    """Two starts at once migrate once: the second waits here and then finds nothing left to do.

    It asks again and again, since a session that waits inside a statement would block CREATE INDEX CONCURRENTLY.
    The turn ends with the session, also when the process is killed.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        mine = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}).scalar_one()
        connection.commit()
        if mine:
            return
        if time.monotonic() > deadline:
            raise CommandError(
                "another process has been migrating this database for minutes; try again when it is done"
            )
        time.sleep(_PAUSE_SECONDS)


def _run(connection: Connection) -> None:
    _wait_for_turn(connection)
    # A migration must not queue behind a long transaction, since every rebalance would queue behind it.
    connection.execute(text("SET lock_timeout = '30s'"))
    connection.commit()
    # Only `public` is looked at, the sessions' search path: Dagster and dbt have schemas of their own beside it.
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _main() -> None:
    handed_in = context.config.attributes.get("connection")
    if handed_in is not None:
        _run(handed_in)
        return
    url = os.environ.get("DATABASE_URL")
    if not url:
        raise InvalidInputError("DATABASE_URL", None, "is not set; name the database to migrate")
    with open_engine(url) as engine, engine.connect() as connection:
        _run(connection)


_main()
