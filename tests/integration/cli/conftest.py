"""The command line, run inside the test's own process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rebalancer_pipelines.cli.app import run
from tests.support.kraken_double.double import KrakenDouble
from tests.support.kraken_double.running import kraken_double
from tests.support.stored import MORNING, Stored

NO_REDIS = "redis://127.0.0.1:1"
"""Nobody listens there: a cache is optional, and commands must not mind."""

KEY_VARIABLES = ("KRAKEN_API_KEY", "KRAKEN_API_SECRET")

_SET_BY_COMMANDS = ("DAGSTER_HOME", "DAGSTER_POSTGRES_URL", "DAGSTER_DISABLE_TELEMETRY")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Outcome]


@pytest.fixture
def command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], Cli]:
    """Makes a command line that works on the database of a URL."""

    def on(database_url: str) -> Cli:
        monkeypatch.setenv("DATABASE_URL", database_url)
        monkeypatch.setenv("REDIS_URL", NO_REDIS)
        monkeypatch.setenv("REBALANCER_DATA_DIR", str(tmp_path / "data"))
        for name in (*KEY_VARIABLES, "SCHEDULER_DRY_RUN"):
            monkeypatch.delenv(name, raising=False)
        for name in _SET_BY_COMMANDS:
            # Commands that launch a job set them; this way they are taken back after the test.
            monkeypatch.setenv(name, "")

        def execute(*arguments: str) -> Outcome:
            capsys.readouterr()
            code = run(list(arguments))
            said = capsys.readouterr()
            return Outcome(code, said.out, said.err)

        return execute

    return on


@pytest.fixture
def cli(command_line: Callable[[str], Cli], ready_database: str, stored: Stored) -> Cli:
    """A command line on a migrated, empty database whose recording shows a quiet morning."""
    stored.show_recording(MORNING)
    return command_line(ready_database)


@pytest.fixture
def kraken() -> Iterator[KrakenDouble]:
    """Kraken, as far as the program can tell, with 10000 EUR on the account."""
    with kraken_double(tier="pro", balances={"EUR": "10000"}) as double:
        yield double


@pytest.fixture
def live(cli: Cli, kraken: KrakenDouble, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line with Kraken's key in its environment; no word of the key may ever be told."""
    for name, value in zip(KEY_VARIABLES, (kraken.key, kraken.secret), strict=True):
        monkeypatch.setenv(name, value)

    def execute(*arguments: str) -> Outcome:
        outcome = cli(*arguments)
        for word in (kraken.key, kraken.secret):
            assert word not in outcome.out + outcome.err
        return outcome

    return execute


@pytest.fixture
def done(cli: Cli) -> Callable[..., Any]:
    """Run a command that must succeed and return its JSON."""

    def execute(*arguments: str) -> Any:
        outcome = cli(*arguments, "--json")
        assert (outcome.code, outcome.err) == (0, ""), outcome
        return outcome.json

    return execute
