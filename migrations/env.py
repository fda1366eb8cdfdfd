"""How Alembic reaches the database: by a connection that the program hands in, else by DATABASE_URL."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection, text

from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.tables import Base
from rebalancer_pipelines.domain.errors import InvalidInputError

# Two starts at once migrate once: the second waits for this lock and finds nothing left to do.
_LOCK = 7_214_960_331


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    """Dagster and dbt keep their tables in schemas of their own in the same database."""
    return kind != "schema" or name is None


def _run(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
    # A migration must not queue behind a long transaction, since every rebalance would queue behind it.
    connection.execute(text("SET lock_timeout = '30s'"))
    connection.commit()
    try:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            include_name=_ours,
            compare_server_default=True,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
        connection.execute(text("RESET lock_timeout"))
        connection.commit()


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
