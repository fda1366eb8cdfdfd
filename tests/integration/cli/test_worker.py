"""What `rebalancer worker` and `up --workers` refuse: one line that names the variable and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Cli = Callable[..., Any]
NOBODY = "postgresql://somebody:secret@127.0.0.1:1/none"


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL"])
def test_a_worker_needs_both_addresses(cli: Cli, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(variable)
    outcome = cli("worker")
    assert outcome.code == 2
    assert outcome.err.startswith(f"Error: {variable}: is needed: the address of")
    assert outcome.err.count("\n") == 1


def test_a_worker_needs_both_services(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = cli("worker")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        "Error: REDIS_URL: no answer from 127.0.0.1:1 (ConnectionError); "
        "workers need it: start it, or correct the address\n"
    )
    monkeypatch.setenv("DATABASE_URL", NOBODY)
    outcome = cli("worker")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("Error: DATABASE_URL: '127.0.0.1:1/none' cannot be used: nobody listens there")
    assert "secret" not in outcome.err


@pytest.mark.parametrize("number", ["0", "65", "-1", "two"])
def test_a_number_of_processes_that_is_none_is_refused(cli: Cli, number: str) -> None:
    assert cli("worker", f"--concurrency={number}").err == (
        f"Error: concurrency: '{number}' must be a whole number from 1 to 64\n"
    )


def test_up_refuses_workers_without_redis(cli: Cli) -> None:
    assert cli("up", "--workers=many").err == "Error: workers: 'many' must be a whole number from 0 to 64\n"
    outcome = cli("up", "--no-demo", "--port", "3979", "--workers", "1")
    assert outcome.code == 1
    assert "workers need it" in outcome.err
