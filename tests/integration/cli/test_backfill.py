"""`rebalancer backfill` as a person types it, stops it the hard way, and types it again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.values import Currency
from tests.integration.cli.conftest import Cli
from tests.support.paper_account import open_paper_account
from tests.support.stored import Stored

SUMMER = ("--from", "2018-06-10", "--to", "2018-09-05")
PROGRAM = [sys.executable, "-c", "from rebalancer_pipelines.cli.app import main; main()", "backfill", *SUMMER]


@pytest.fixture
def core(ports: Ports, stored: Stored) -> None:
    """A portfolio that has held Bitcoin since the middle of June 2018."""
    open_paper_account(ports, {Currency("EUR"): Decimal(100)})
    create_portfolio(ports, {"name": "core", "account": "main", "weights": "BTC=60,EUR=40"})
    stored.change(
        "INSERT INTO ledger_entry (account_id, portfolio_id, kind, currency, amount, cause, occurred_at) "
        "SELECT account_id, id, 'deposit', 'BTC', 2, 'test', '2018-06-15 08:00+00' FROM portfolio"
    )


def versions(stored: Stored, until: str = "2018-12-31") -> list[str]:
    """Every row of values with the transaction that wrote it."""
    rows = stored.rows(
        "SELECT v.xmin || v::text || h.xmin || h::text AS line FROM daily_portfolio_value v "
        "JOIN daily_holding h USING (portfolio_id, basis, day) WHERE day <= %s ORDER BY 1",
        until,
    )
    return [row["line"] for row in rows]


def test_it_says_what_it_did_and_the_second_time_that_nothing_was_left(
    cli: Cli, done: Callable[..., Any], core: None, stored: Stored
) -> None:
    first = done("backfill", *SUMMER, "--portfolio", "core")
    assert first["values"] == {"days": 83, "changed": 83}
    assert (first["bars"]["added"], first["bars"]["unread"], first["missing"]) == (88 * 5, [], [])
    before = versions(stored)
    outcome = cli("backfill", *SUMMER)
    assert outcome.code == 0
    assert "0 prices are new, 0 were changed" in outcome.out
    assert "83 values of portfolios, of which 0 are new or changed" in outcome.out
    assert versions(stored) == before


def test_one_that_was_killed_goes_on(done: Callable[..., Any], core: None, stored: Stored, ready_database: str) -> None:
    stored.change(
        "CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_advisory_xact_lock(42); RETURN NEW; END $$"
    )
    stored.change(
        "CREATE TRIGGER hold_up BEFORE INSERT ON daily_portfolio_value FOR EACH ROW "
        "WHEN (NEW.day = '2018-08-10') EXECUTE FUNCTION hold_up()"
    )
    with psycopg.connect(ready_database) as august:
        august.execute("SELECT pg_advisory_xact_lock(42)")
        killed = subprocess.Popen(PROGRAM, env=dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            waits = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            assert wait_until(lambda: bool(stored.rows(waits)) or killed.poll() is not None, 60)
            assert killed.poll() is None, killed.communicate()
        finally:
            killed.kill()
            killed.communicate()
    june_and_july = versions(stored)
    assert len(june_and_july) == 16 + 31
    document = json.loads(subprocess.run([*PROGRAM, "--json"], capture_output=True, check=True, timeout=120).stdout)
    assert document["values"] == {"days": 83, "changed": 36}
    assert versions(stored, until="2018-07-31") == june_and_july
