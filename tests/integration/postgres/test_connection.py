"""Reaching the database: what a session is like, and one line for people when there is none."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, make_url, text

from rebalancer_pipelines.adapters.postgres.database import (
    DatabaseUnavailableError,
    create_schema,
    database_time,
    open_engine,
    ping,
    server_version,
)


def changed(url: str, *, scheme: str | None = None, password: str | None = None, path: str | None = None) -> str:
    parts = urlsplit(url)
    if password is not None:
        parts = parts._replace(netloc=f"{parts.username}:{password}@{parts.hostname}:{parts.port}")
    return urlunsplit(parts._replace(scheme=scheme or parts.scheme, path=path or parts.path))


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_way_to_write_the_scheme_leads_to_the_same_driver(url: str, scheme: str) -> None:
    with open_engine(changed(url, scheme=scheme)) as engine:
        assert engine.dialect.driver == "psycopg"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("TimeZone", "UTC"),
        ("synchronous_commit", "on"),
        ("search_path", "public"),
        ("application_name", "rebalancer"),
        ("idle_in_transaction_session_timeout", "1min"),
    ],
)
def test_every_session_is_set_the_same_whatever_server_and_role_prefer(url: str, setting: str, value: str) -> None:
    role = urlsplit(url).username or ""
    preferred = {
        "TimeZone": "Asia/Tokyo",
        "synchronous_commit": "off",
        "search_path": "nowhere",
        "application_name": "other",
        "idle_in_transaction_session_timeout": "1h",
    }[setting]
    with psycopg.connect(url, autocommit=True) as connection:
        names = {"role": sql.Identifier(role), "setting": sql.Identifier(setting.lower()), "value": preferred}
        connection.execute(sql.SQL("ALTER ROLE {role} SET {setting} = {value}").format(**names))
        try:
            with open_engine(url) as engine, engine.connect() as ours:
                assert ours.execute(text(f"SHOW {setting}")).scalar_one() == value
        finally:
            connection.execute(sql.SQL("ALTER ROLE {role} RESET {setting}").format(**names))


def test_options_of_the_address_are_kept_where_they_are_not_ours(url: str) -> None:
    given = make_url(url).update_query_dict({"options": "-c statement_timeout=5s -c synchronous_commit=off"})
    address = given.render_as_string(hide_password=False)
    with open_engine(address) as engine, engine.connect() as connection:
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "5s"
        assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"


def test_moments_come_back_in_utc(engine: Engine) -> None:
    with engine.connect() as connection:
        moment = connection.execute(text("SELECT timestamptz '2026-07-01 12:00+02'")).scalar_one()
    assert moment.isoformat() == "2026-07-01T10:00:00+00:00"


def test_connections_that_the_server_has_ended_are_replaced_and_live_ones_are_kept(url: str) -> None:
    def session() -> int:
        return connection.execute(text("SELECT pg_backend_pid()")).scalar_one()

    with open_engine(url) as engine, psycopg.connect(url, autocommit=True) as administrator:
        with engine.connect() as connection:
            first = session()
        with engine.connect() as connection:
            assert session() == first
        # It answers once the session is gone.
        assert administrator.execute("SELECT pg_terminate_backend(%s, 10000)", (first,)).fetchone() == (True,)
        with engine.connect() as connection:
            assert session() != first


def test_what_is_asked_of_a_server_is_answered(url: str) -> None:
    ping(url)
    assert database_time(url).utcoffset() is not None
    assert int(server_version(url).split(".")[0]) >= 18


def test_a_schema_is_made_once(database_server: str) -> None:
    create_schema(database_server, "dagster")
    create_schema(database_server, "dagster")


@pytest.mark.parametrize(
    "address", ["", "secret", "postgresql://user:secret@host:port/name", "://", "host=localhost password=secret"]
)
def test_a_malformed_address_is_explained_without_being_shown(address: str) -> None:
    with pytest.raises(DatabaseUnavailableError, match="is not an address; write it like postgresql://") as caught:
        ping(address)
    assert "secret" not in str(caught.value)


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(DatabaseUnavailableError, match="'mysql' is not PostgreSQL"):
        ping("mysql://user:secret@host/name")


def test_a_port_where_nobody_listens_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(DatabaseUnavailableError) as caught:
            ping(f"postgresql://user:secret@127.0.0.1:{port}/name")
    assert str(caught.value) == (
        f"DATABASE_URL: '127.0.0.1:{port}/name' cannot be used: "
        "nobody listens there; start the server or correct host and port"
    )


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(DatabaseUnavailableError, match=r"'db\.invalid:5432/name'.*the host name is unknown"):
        ping("postgresql://user:secret@db.invalid/name")


def test_a_wrong_password_is_told_and_never_shown(url: str) -> None:
    with pytest.raises(DatabaseUnavailableError, match="user or password is wrong") as caught:
        ping(changed(url, password="s3cret-word"))
    assert "s3cret-word" not in f"{caught.value!s} {caught.value!r}"


def test_an_unknown_database_is_named(url: str) -> None:
    with pytest.raises(
        DatabaseUnavailableError, match=r"/missing' cannot be used: the database or user does not exist"
    ):
        ping(changed(url, path="/missing"))


def test_the_words_of_the_server_are_passed_on_when_nothing_better_is_known(url: str) -> None:
    name = urlsplit(url).path[1:]
    refuse = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(changed(url, path="/postgres"), autocommit=True) as connection:
        connection.execute(refuse.format(sql.Identifier(name), sql.SQL("false")))
        try:
            with pytest.raises(DatabaseUnavailableError, match="is not currently accepting connections; check the"):
                ping(url)
        finally:
            connection.execute(refuse.format(sql.Identifier(name), sql.SQL("true")))
