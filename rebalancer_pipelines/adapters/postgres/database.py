"""Reaching PostgreSQL: engines, and one clear line when it cannot be reached."""

from __future__ import annotations

import hashlib
import select
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    InvalidatePoolError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.schema import CreateSchema

from rebalancer_pipelines.domain.errors import InvalidInputError

_CONNECT_SECONDS = 10

_SESSION_SETTINGS = " ".join(
    f"-c {setting}"
    for setting in (
        "timezone=UTC",
        # A user named like a schema (`dagster`) would otherwise work in that one.
        "search_path=public",
        # What was acknowledged must survive a crash: an order is sent only after its intent is durable.
        "synchronous_commit=on",
        # A worker that was paused inside a transaction must not keep others from taking its account over for ever.
        "idle_in_transaction_session_timeout=60s",
    )
)

_REMEDIES = {
    "password authentication failed": "user or password is wrong; correct them",
    "no password supplied": "it asks for a password; add it as postgresql://user:password@…",
    "invalid connection option": "it has an option that PostgreSQL does not know; remove what follows the ?",
    "does not exist": "the database or user does not exist; create it or correct the name",
    "connection refused": "nobody listens there; start the server or correct host and port",
    "queuepool limit": "this program has taken all the connections it allows itself; try again when it does less",
    "deadlock detected": "two sessions waited for each other and this one was undone; try again",
    "could not serialize": "another session changed the same rows and this one was undone; try again",
    "lock timeout": "another session held the same rows for too long and this one was undone; try again",
    "timeout expired": "no answer in time; check host, port and firewall",
    "timed out": "no answer in time; check host, port and firewall",
    "resolve": "the host name is unknown; correct it",
    "could not translate": "the host name is unknown; correct it",
    "too many": "all its connections are taken; close other programs or raise max_connections",
}
"""What to do, by a sign in the words of libpq or the server."""

_AWAY = ("08", "40001", "40P01", "53", "55P03", "57P", "58")
"""Prefixes of SQLSTATEs: connection lost, undone for another session's sake (not serializable, deadlock), resources
used up (a full disk), a lock not had in time, shutting down, system error."""


class DatabaseUnavailableError(InvalidInputError):
    """The database that `DATABASE_URL` names cannot be used. The text never holds its password."""

    def __init__(self, place: str | None, remedy: str) -> None:
        """Name the `place` (host, port and database), where it can be read from the address, and the remedy."""
        super().__init__("DATABASE_URL", place, remedy)


@contextmanager
def open_engine(database_url: str) -> Generator[Engine]:
    """A connection pool for a block. Raises `DatabaseUnavailableError` when the database does not answer."""
    engine = _engine(database_url)
    try:
        try:
            with engine.connect():
                pass
        except (OperationalError, ProgrammingError) as error:
            raise unavailable(engine.url, error) from None
        yield engine
    finally:
        engine.dispose()


def create_schema(database_url: str, name: str) -> None:
    """Create a schema that may exist already."""
    with open_engine(database_url) as engine, engine.begin() as connection:
        connection.execute(CreateSchema(name, if_not_exists=True))


def ping(database_url: str) -> None:
    """Ask for a sign of life. Raises `DatabaseUnavailableError`."""
    database_time(database_url)


def database_time(database_url: str) -> datetime:
    """The database's clock. Raises `DatabaseUnavailableError`."""
    with open_engine(database_url) as engine, engine.connect() as connection:
        return connection.execute(text("SELECT clock_timestamp()")).scalar_one()


def server_version(database_url: str) -> str:
    """The server's version, such as 18.6. Raises `DatabaseUnavailableError`."""
    with open_engine(database_url) as engine, engine.connect() as connection:
        return str(connection.execute(text("SHOW server_version")).scalar_one()).split()[0]


def database_mark(engine: Engine) -> str:
    """A short mark of where the database is, by which copies of its rows are told from those of another."""
    return hashlib.sha256(_place(engine.url).encode()).hexdigest()[:16]


def is_unavailable(error: SQLAlchemyError) -> bool:
    """Whether the database itself is away, at its limits or in use, rather than one statement of ours at fault."""
    if isinstance(error, PoolTimeoutError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return True
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    return state is None or state.startswith(_AWAY)


def unavailable(url: URL, error: SQLAlchemyError) -> DatabaseUnavailableError:
    """Say in one line where the database is, why it cannot be used and what to do."""
    words = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
    remedy = next((remedy for sign, remedy in _REMEDIES.items() if sign in words.lower()), None)
    if remedy is None:
        remedy = f"{words.rsplit('FATAL:', 1)[-1].strip()}; check the server and its log"
    if url.password:
        remedy = remedy.replace(str(url.password), "***")
    return DatabaseUnavailableError(_place(url), f"cannot be used: {remedy}")


def _engine(database_url: str) -> Engine:
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise DatabaseUnavailableError(
            None, "is not an address; write it like postgresql://user:password@host:5432/database"
        ) from None
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise DatabaseUnavailableError(url.drivername, "is not PostgreSQL; use postgresql://…")
    engine = create_engine(
        url.set(drivername="postgresql+psycopg").difference_update_query(["options"]),
        pool_size=2,
        max_overflow=8,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": "rebalancer",
            "options": f"{_given_options(url)} {_SESSION_SETTINGS}".strip(),
        },
    )
    event.listen(engine, "checkout", _check_alive)
    return engine


def _check_alive(connection: Any, _record: object, _proxy: object) -> None:
    """Take no connection from the pool whose server has gone; the pool then opens another.

    A server that ends a session says so on its socket, where nothing else is to be read between statements. A ping
    would tell no more, and cost every transaction a round trip.
    """
    if connection.closed or _has_something_to_read(connection.pgconn.socket):
        raise InvalidatePoolError


def _has_something_to_read(socket: int) -> bool:
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


def _given_options(url: URL) -> str:
    """The server options of the address itself; ours follow and win."""
    given = url.query.get("options", "")
    return given if isinstance(given, str) else " ".join(given)


def _place(url: URL) -> str:
    host = url.host or url.query.get("host") or "localhost"
    return f"{host if isinstance(host, str) else ','.join(host)}:{url.port or 5432}/{url.database or ''}"
