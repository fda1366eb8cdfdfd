"""Reaching PostgreSQL: engines, and one clear line when it cannot be reached."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.schema import CreateSchema

from rebalancer_pipelines.domain.errors import InvalidInputError

_CONNECT_SECONDS = 10


class DatabaseUnavailableError(InvalidInputError):
    """The database that `DATABASE_URL` names cannot be used. The text never holds its password."""

    def __init__(self, place: str, remedy: str) -> None:
        """Name the `place` (host, port and database) and the remedy."""
        super().__init__("DATABASE_URL", place, remedy)


@contextmanager
def open_engine(database_url: str) -> Generator[Engine]:
    """A connection pool for a block. Raises `DatabaseUnavailableError` when the database does not answer."""
    engine = _engine(database_url)
    try:
        with _explained(database_url), engine.connect():
            pass
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


def _engine(database_url: str) -> Engine:
    try:
        url = make_url(database_url)
    except ArgumentError:
        raise DatabaseUnavailableError(
            "the given address", "is not an address; write it like postgresql://user:password@host:5432/database"
        ) from None
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise DatabaseUnavailableError(url.drivername, "is not PostgreSQL; use postgresql://…")
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_size=2,
        max_overflow=8,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": "rebalancer",
            # What was acknowledged must survive a crash: an order is sent only after its intent is durable.
            "options": "-c timezone=UTC -c synchronous_commit=on",
        },
    )


@contextmanager
def _explained(database_url: str) -> Generator[None]:
    try:
        yield
    except OperationalError as error:
        raise DatabaseUnavailableError(_place(database_url), f"cannot be used: {_cause(error)}") from None


def _place(database_url: str) -> str:
    parts = urlsplit(database_url)
    try:
        port = parts.port or 5432
    except ValueError:
        port = 5432
    return f"{parts.hostname or 'localhost'}:{port}{parts.path}"


def _cause(error: DBAPIError) -> str:
    """The server's own words, in one line; libpq never repeats a password in them."""
    words = " ".join(str(error.orig).split()).lower()
    remedies = {
        "password authentication failed": "user or password is wrong; correct them",
        "does not exist": "the database or user does not exist; create it or correct the name",
        "connection refused": "nobody listens there; start the server or correct host and port",
        "timeout": "no answer in time; check host, port and firewall",
        "resolve": "the host name is unknown; correct it",
        "could not translate": "the host name is unknown; correct it",
    }
    known = (remedy for sign, remedy in remedies.items() if sign in words)
    return next(known, "the connection failed; check host, port, user and database")
