"""Migrating: from nothing, once, by one of many, and never a schema that the program does not know."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from rebalancer_pipelines.adapters.postgres import schema
from rebalancer_pipelines.adapters.postgres.database import DatabaseUnavailableError, open_engine
from rebalancer_pipelines.adapters.postgres.schema import SchemaError, check_schema, migrate
from rebalancer_pipelines.adapters.postgres.tables import Base
from tests.support.alembic_command import alembic
from tests.support.postgres import drop_database

_ROOT = Path(__file__).parents[3]
_HEAD = "0005"
_MIGRATION_LOCK = 7_214_960_331


def ask(url: str, statement: str) -> list[tuple]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def tables(url: str, schema_name: str = "public") -> set[str]:
    return {name for (name,) in ask(url, f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema_name}'")}


def migrating_process(url: str) -> subprocess.Popen[str]:
    program = "import sys; from rebalancer_pipelines.adapters.postgres.schema import migrate; migrate(sys.argv[1])"
    return subprocess.Popen([sys.executable, "-c", program, url], cwd=_ROOT, stderr=subprocess.PIPE, text=True)


def set_version(url: str, version: str) -> None:
    ask(url, f"UPDATE alembic_version SET version_num = '{version}'")


@contextmanager
def migration_lock_held(url: str) -> Iterator[None]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
        yield


def test_an_empty_database_gets_every_table(database: str) -> None:
    migrate(database)
    assert tables(database) == {*Base.metadata.tables, "alembic_version"}
    assert ask(database, "SELECT version_num FROM alembic_version") == [(_HEAD,)]


def test_migrating_again_changes_nothing(database: str, capfd: pytest.CaptureFixture[str]) -> None:
    migrate(database)
    ask(database, "INSERT INTO account (name, venue, price_source) VALUES ('main', 'paper', 'recorded')")
    migrate(database)
    assert ask(database, "SELECT name FROM account") == [("main",)]
    assert capfd.readouterr() == ("", "")


def test_the_tables_stand_in_public_even_for_a_user_named_like_a_schema(database: str) -> None:
    ask(database, sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(urlsplit(database).username or "")).as_string())
    migrate(database)
    assert tables(database) == {*Base.metadata.tables, "alembic_version"}


def test_of_many_starts_at_once_one_migrates_and_all_go_on(database: str) -> None:
    starts = [migrating_process(database) for _ in range(3)]
    for start in starts:
        _, errors = start.communicate(timeout=120)
        assert (start.returncode, errors) == (0, "")
    assert tables(database) == {*Base.metadata.tables, "alembic_version"}


def test_a_start_waits_while_another_migrates(database: str) -> None:
    with migration_lock_held(database):
        start = migrating_process(database)
        _wait_until_asked_for_the_lock(database, start)
        assert tables(database) <= {"alembic_version"}
        assert start.poll() is None
    _, errors = start.communicate(timeout=120)
    assert (start.returncode, errors) == (0, "")
    assert "account" in tables(database)


def _wait_until_asked_for_the_lock(url: str, start: subprocess.Popen[str]) -> None:
    asked = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_try_advisory_lock%' AND pid <> pg_backend_pid()"
    )
    deadline = time.monotonic() + 60
    with psycopg.connect(url, autocommit=True) as connection:
        while not connection.execute(asked).fetchone()[0]:
            assert start.poll() is None, start.communicate()
            assert time.monotonic() < deadline


def test_the_lock_is_given_back(database: str) -> None:
    migrate(database)
    with psycopg.connect(database) as connection:
        taken = connection.execute("SELECT pg_try_advisory_lock(%s)", (_MIGRATION_LOCK,)).fetchone()
    assert taken == (True,)


def test_a_step_that_fails_is_undone_and_explained(database: str) -> None:
    ask(database, "CREATE TABLE rebalance_history (mine text)")
    with pytest.raises(SchemaError, match='could not be brought up to date: relation "rebalance_history" already'):
        migrate(database)
    assert tables(database) - {"alembic_version"} == {"rebalance_history"}
    ask(database, "DROP TABLE rebalance_history")
    migrate(database)
    assert check_schema(database) == f"at {_HEAD}, the program's own version"


def test_a_schema_from_a_newer_program_is_refused_and_left_alone(database: str) -> None:
    migrate(database)
    set_version(database, "0999")
    for use in (migrate, check_schema):
        with pytest.raises(SchemaError, match=r"is at 0999, which this version does not know.*nothing was changed"):
            use(database)
    assert ask(database, "SELECT version_num FROM alembic_version") == [("0999",)]


def test_a_schema_that_was_never_made_is_told_with_its_remedy(database: str) -> None:
    with pytest.raises(SchemaError, match="the schema is at nothing, older than this version; run 'rebalancer up'"):
        check_schema(database)
    assert tables(database) == set()


def test_a_current_schema_is_told(database: str) -> None:
    migrate(database)
    assert check_schema(database) == f"at {_HEAD}, the program's own version"


def test_an_older_server_is_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_OLDEST_SERVER", 990000)
    for use in (migrate, check_schema):
        with pytest.raises(SchemaError, match=r"PostgreSQL \d+ is too old"):
            use(database)
    assert tables(database) == set()


def test_missing_migrations_are_told(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(schema, "_MIGRATIONS", tmp_path)
    for use in (migrate, check_schema):
        with pytest.raises(SchemaError, match=f"the migrations are missing at {tmp_path}"):
            use(database)


def test_a_database_that_is_away_is_told(database: str) -> None:
    missing = urlunsplit(urlsplit(database)._replace(path="/missing"))
    with pytest.raises(DatabaseUnavailableError, match="/missing"):
        migrate(missing)


def test_models_and_migrations_agree_for_alembic(database: str) -> None:
    assert alembic(database, "upgrade", "head").returncode == 0
    ask(database, "CREATE SCHEMA dagster; CREATE TABLE dagster.runs (id int)")
    check = alembic(database, "check")
    assert check.returncode == 0, check.stdout + check.stderr
    assert "No new upgrade operations detected" in check.stdout


def test_alembic_finds_a_difference(database: str) -> None:
    migrate(database)
    ask(database, "ALTER TABLE account DROP COLUMN venue")
    check = alembic(database, "check")
    assert check.returncode != 0
    assert "venue" in check.stdout + check.stderr


_CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype <> 'n' AND conrelid::regclass::text <> 'alembic_version'
    ORDER BY 1, 2
"""
_INDEXES = """
    SELECT indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1
"""
_COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name NOT IN ('alembic_version', 'book_entry') ORDER BY 1, 2
"""


@pytest.fixture
def modelled(database_server: str) -> Iterator[str]:
    """URL of an empty database for the schema that the models describe."""
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE modelled")
    yield urlunsplit(urlsplit(database_server)._replace(path="/modelled"))
    drop_database(database_server, "modelled")


@pytest.mark.parametrize("question", [_CONSTRAINTS, _INDEXES, _COLUMNS], ids=["constraints", "indexes", "columns"])
def test_models_and_migrations_agree_to_the_letter(database: str, modelled: str, question: str) -> None:
    """Alembic compares no CHECK constraints; PostgreSQL's own description of both schemas does."""
    migrate(database)
    with open_engine(modelled) as engine:
        Base.metadata.create_all(engine)
    found = ask(database, question)
    assert found
    assert found == ask(modelled, question)


def test_alembic_needs_to_be_told_the_database() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    told = subprocess.run(
        [sys.executable, "-m", "alembic", "current"],
        cwd=_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode != 0
    assert "DATABASE_URL: is not set; name the database to migrate" in told.stderr
