"""A process dies at any step of a rebalance; the next one settles with the venue what it left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from rebalancer_pipelines.adapters.clock import SystemClock
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.domain.values import Currency
from tests.support.killed_process import LaterClock, ports_until
from tests.support.paper_account import open_paper_account
from tests.support.rebalancing import rebalance
from tests.support.stored import MORNING, Stored

_REPOSITORY = Path(__file__).parents[3]

Process = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def process(ready_database: str) -> Process:
    """Run `tests.support.killed_process` to its end, by its own hand or regularly."""

    def run(what: str, where: str = "never") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tests.support.killed_process", what, "core", where],
            cwd=_REPOSITORY,
            env={**os.environ, "DATABASE_URL": ready_database},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def core(ports: Ports, stored: Stored) -> None:
    """A portfolio that has to sell one currency and to buy two, beside another whose money is not its own."""
    stored.show_recording(MORNING)
    deposits = {Currency("BTC"): Decimal(1), Currency("EUR"): Decimal(500)}
    open_paper_account(ports, deposits, settings={"lease_seconds": "1"})
    for name, weights, owned in (
        ("core", "BTC=30,ETH=30,XRP=20,EUR=20", {Currency("BTC"): Decimal(1)}),
        ("other", "EUR=100", {Currency("EUR"): Decimal(500)}),
    ):
        create_portfolio(ports, {"name": name, "account": "main", "weights": weights}, allocations=owned)


ORDERS = 3
"""Of `core`: sell BTC, buy ETH, buy XRP."""

DEATHS = {
    # Where it dies, and how many orders are at the venue then.
    "after:started:1": 0,
    "before:planned:1": 0,
    "after:planned:1": 0,
    "before:SENDING:1": 0,
    "after:SENDING:1": 0,
    "before:submit:1": 0,
    "after:submit:1": 1,
    "before:OPEN:1": 1,
    "after:OPEN:1": 1,
    "before:booked:1": 1,
    "after:booked:1": 1,
    "after:SENDING:2": 1,
    "after:submit:2": 2,
    "before:booked:3": 3,
    "after:booked:3": 3,
    "before:closed:1": 3,
    "after:closed:1": 3,
}


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize("where", DEATHS)
def test_what_a_dead_process_left_is_settled(where: str, process: Process, stored: Stored, ready_database: str) -> None:
    sent = DEATHS[where]
    assert process("rebalance", where).returncode == -signal.SIGKILL
    assert count_orders_at_venue(stored) == sent
    is_closed = where == "after:closed:1"

    recovered = process("recover")
    assert (recovered.returncode, recovered.stderr) == (0, "")
    assert json.loads(recovered.stdout) == []

    assert_settled(stored)
    assert count_orders_at_venue(stored) == sent
    (row,) = stored.history("core")
    assert row["success"] is is_closed
    assert row["orders_executed"] == sent
    assert row["orders_failed"] == row["orders_planned"] - sent
    codes = [error["code"] for error in row["errors"] or []]
    assert codes[:1] == ([] if is_closed else ["INTERRUPTED"])
    assert len(codes) == (0 if is_closed else 1 + row["orders_failed"])
    assert stored.book("other") == {"EUR": Decimal(500)}

    settled = stored.everything()
    with ports_until(ready_database, "never", LaterClock()) as ports:
        assert recover_abandoned_accounts(ports) == []
    assert stored.everything() == settled

    # Whoever comes next finds a sound account, and only the rest is left to be traded.
    with ports_until(ready_database, "never", SystemClock()) as ports:
        record = rebalance(ports, "core")
    assert record.success
    assert record.orders_planned == ORDERS - sent
    assert_settled(stored)
    assert len(stored.history("core")) == 2


@pytest.mark.usefixtures("core")
def test_a_process_that_dies_before_it_wrote_anything_leaves_a_lease_that_runs_out(
    process: Process, stored: Stored, ready_database: str
) -> None:
    assert process("rebalance", "before:started:1").returncode == -signal.SIGKILL
    assert stored.held_leases() == ["main"]
    with ports_until(ready_database, "never", SystemClock()) as ports:
        assert recover_abandoned_accounts(ports) == []
        assert stored.history("core") == []
        assert rebalance(ports, "core").success
    assert_settled(stored)


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize("where", ["after:SENDING:1", "after:submit:2", "before:closed:1"])
def test_the_dagster_job_dies_and_is_settled_alike(where: str, process: Process, stored: Stored) -> None:
    assert process("launch", where).returncode == -signal.SIGKILL
    assert json.loads(process("recover").stdout) == []
    assert_settled(stored)
    assert count_orders_at_venue(stored) == DEATHS[where]
    assert [row["errors"][0]["code"] for row in stored.history("core")] == ["INTERRUPTED"]


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize("where", ["before:booked:1", "after:booked:1", "before:closed:1"])
def test_a_recovery_that_dies_itself_is_taken_up_by_the_next(where: str, process: Process, stored: Stored) -> None:
    assert process("rebalance", "after:submit:1").returncode == -signal.SIGKILL
    assert process("recover", where).returncode == -signal.SIGKILL
    assert json.loads(process("recover").stdout) == []
    assert_settled(stored)
    assert count_orders_at_venue(stored) == 1
    assert [row["orders_executed"] for row in stored.history("core")] == [1]


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize("where", ["after:SENDING:1", "after:submit:1", "after:booked:2"])
def test_the_next_rebalance_of_the_account_settles_first(
    where: str, process: Process, stored: Stored, ready_database: str
) -> None:
    assert process("rebalance", where).returncode == -signal.SIGKILL
    with ports_until(ready_database, "never", LaterClock()) as ports:
        assert rebalance(ports, "other").success
    assert [row["errors"][0]["code"] for row in stored.history("core")] == ["INTERRUPTED"]
    (settled,), (later,) = stored.history("core"), stored.history("other")
    assert settled["executed_at"] <= later["executed_at"]
    assert stored.book("other") == {"EUR": Decimal(500)}
    assert_settled(stored)


@pytest.mark.usefixtures("core")
def test_recovery_has_nothing_to_do_after_a_regular_end(process: Process, stored: Stored) -> None:
    ended = process("rebalance")
    assert (ended.returncode, ended.stderr) == (0, "")
    before = stored.everything()
    assert json.loads(process("recover").stdout) == []
    assert stored.everything() == before
    assert_settled(stored)


def count_orders_at_venue(stored: Stored) -> int:
    return stored.row("SELECT count(*) AS number FROM paper_order")["number"]


def assert_settled(stored: Stored) -> None:
    """Books and venue agree in every balance, order and trade, and nothing is left under way."""
    assert stored.ledger_sums() == stored.venue_balances()
    assert stored.rows(
        "SELECT trade_id, quantity, price, fee, fee_currency FROM fill ORDER BY trade_id"
    ) == stored.rows("SELECT trade_id, quantity, price, fee, fee_currency FROM paper_trade ORDER BY trade_id")
    at_venue = stored.rows("SELECT client_order_id, id::text AS venue_order_id, quantity FROM paper_order ORDER BY 1")
    sent = stored.rows(
        "SELECT client_order_id, venue_order_id, quantity FROM order_intent WHERE venue_order_id IS NOT NULL ORDER BY 1"
    )
    assert sent == at_venue
    ids = [order["client_order_id"] for order in at_venue]
    assert len(ids) == len(set(ids))
    assert (
        stored.rows(
            "SELECT state FROM order_intent WHERE state IN ('PLANNED', 'SENDING', 'UNKNOWN', 'OPEN', 'NEEDS_REVIEW')"
        )
        == []
    )
    assert stored.rows("SELECT id FROM rebalance WHERE status <> 'finished'") == []
    assert stored.rows("SELECT id FROM rebalance ORDER BY id") == stored.rows(
        "SELECT id FROM rebalance_history ORDER BY id"
    )
    assert stored.held_leases() == []
