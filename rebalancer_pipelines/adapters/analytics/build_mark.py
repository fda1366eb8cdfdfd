"""How far the marts have been built, and whose turn it is to build them; both stand in the database itself."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, text

from rebalancer_pipelines.adapters.postgres.database import open_engine

_TURN = 7_214_960_332
"""The database's lock for a build; the number means nothing else."""

_MAKE = """
CREATE SCHEMA IF NOT EXISTS analytics;
CREATE TABLE IF NOT EXISTS analytics.build_mark (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    stored_until timestamptz NOT NULL,
    project text NOT NULL
)
"""

# A row is stored when its transaction commits, but carries the time at which that began: nothing older than the oldest
# transaction under way can still come. A minute more, since clocks are set back now and then.
_HORIZON = """
SELECT least(now(), (
    SELECT min(xact_start) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
)) - interval '1 minute'
"""
_READ = "SELECT stored_until, project FROM analytics.build_mark"
_WRITE = """
INSERT INTO analytics.build_mark (stored_until, project) VALUES (:stored_until, :project)
ON CONFLICT (only_row) DO UPDATE SET stored_until = excluded.stored_until, project = excluded.project
"""
_FORGET = "DELETE FROM history_change WHERE stored_at < :stored_until"


@dataclass(frozen=True, slots=True)
class BuildMark:
    """Everything that was stored before `stored_until` is in the marts, as this version of the project makes them."""

    stored_until: datetime
    project: str


@dataclass(frozen=True, slots=True)
class BuildTurn:
    """The right to build, and the mark that the last whole build has left."""

    engine: Engine
    horizon: datetime
    last: BuildMark | None

    def mark(self, project: str) -> None:
        """Say that everything up to the horizon has been built; what was noted as changed until then is done with."""
        with self.engine.begin() as connection:
            connection.execute(text(_WRITE), {"stored_until": self.horizon, "project": project})
            connection.execute(text(_FORGET), {"stored_until": self.horizon})


@contextmanager
def build_turn(database_url: str) -> Generator[BuildTurn]:
    """Have the marts to oneself for a block; who comes second waits. Raises `DatabaseUnavailableError`."""
    with open_engine(database_url) as engine:
        steady = engine.execution_options(isolation_level="AUTOCOMMIT")
        # The turn ends with the session, also when the process is killed.
        with steady.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:turn)"), {"turn": _TURN})
            try:
                connection.execute(text(_MAKE))
                yield BuildTurn(engine, connection.execute(text(_HORIZON)).scalar_one(), _last(connection))
            finally:
                if not connection.closed and not connection.invalidated:
                    connection.execute(text("SELECT pg_advisory_unlock(:turn)"), {"turn": _TURN})


def _last(connection: Connection) -> BuildMark | None:
    found = connection.execute(text(_READ)).one_or_none()
    return BuildMark(found.stored_until, found.project) if found else None
