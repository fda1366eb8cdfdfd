"""A worker stands still, another takes its account over, and then the first goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.support.worker_bench import WorkerAccount, WorkerBench
from tests.support.worker_clocks import SkippingClock
from tests.support.worker_processes import Ending, Task, Worker

SHORT_LEASE = {"lease_seconds": "0.5", "venue_timeout_seconds": "1"}
"""A takeover waits for the key's turn no longer than a call may take."""
RUN = {"portfolio": "core"}
ORDERS = 3

INVALID_NONCE = "EAPI:Invalid nonce"


@pytest.mark.parametrize("order", [1, 2, 3])
def test_an_order_that_leaves_after_the_takeover_is_not_taken(order: int, bench: WorkerBench) -> None:
    with bench.account(settings=SHORT_LEASE) as account:
        ending = pause_and_take_over(account, f"before:write AddOrder:{order}")
        assert_that_it_lost_the_account(ending)
        # It did leave, and the venue refused it: nonces of the new holder had come before.
        assert [(v.endpoint, v.error) for v in account.double.violations] == [("AddOrder", INVALID_NONCE)]
        account.double.violations.clear()
        account.assert_one_story()
        states = [row["state"] for row in runs(bench)[0]["orders"]]
        assert states == ["FILLED"] * (order - 1) + ["NOT_ACCEPTED"] + ["VOID"] * (ORDERS - order)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_an_order_whose_nonce_was_issued_before_the_takeover_does_not_leave(order: int, bench: WorkerBench) -> None:
    with bench.account(settings=SHORT_LEASE) as account:
        ending = pause_and_take_over(account, f"before:clearance:{order}")
        assert_that_it_lost_the_account(ending)
        account.assert_one_story()


@pytest.mark.parametrize("endpoint", ["BalanceEx", "TradeVolume", "QueryOrders", "Ledgers"])
def test_a_question_asked_after_the_takeover_changes_nothing(endpoint: str, bench: WorkerBench) -> None:
    with bench.account(settings=SHORT_LEASE) as account:
        ending = pause_and_take_over(account, f"before:write {endpoint}:1")
        # It learns that it has lost the account, or gives the answer up before: the call has taken all that time.
        assert ending.error is not None
        assert ending.error.startswith(("LeaseLostError", "VenueUnreachableError")), ending.details
        # The nonce that it held had become too low.
        assert [(v.endpoint, v.error) for v in account.double.violations] == [(endpoint, INVALID_NONCE)]
        account.double.violations.clear()
        account.assert_one_story()


@pytest.mark.parametrize("step", ["SENDING", "OPEN", "booked", "closed"])
def test_a_commit_after_the_takeover_writes_nothing(step: str, bench: WorkerBench) -> None:
    """Before the transaction has begun: inside of it, nobody can take the account over."""
    where = {
        "SENDING": "after:planned:1",
        "OPEN": "after:read AddOrder:1",
        "booked": "after:read Ledgers:1",
        "closed": "after:booked:3",
    }[step]
    with bench.account(settings=SHORT_LEASE) as account:
        ending = pause_and_take_over(account, where)
        assert_that_it_lost_the_account(ending)
        account.assert_one_story()


@pytest.mark.parametrize(
    "where", ["before:SENDING:1", "before:SENDING:2", "before:OPEN:1", "before:booked:1", "before:turn:9"]
)
def test_a_worker_that_stands_still_inside_a_transaction_keeps_the_account_for_no_longer_than_postgresql_lets_it(
    where: str, bench: WorkerBench
) -> None:
    impatient = "SET idle_in_transaction_session_timeout = '1s'"
    with bench.account(settings=SHORT_LEASE) as account:
        first = account.start(Task("rebalance", RUN, where, stops=True, session=impatient))
        first.wait_until_stopped()
        idle = "SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()"
        assert bench.stored.rows(idle) != []
        take_over(account)
        assert bench.stored.rows(idle) == []
        ending = assert_that_it_changes_nothing(account, lambda: end(first))
        assert ending.error is not None
        assert "terminat" in ending.details or "another worker" in ending.error, ending.details
        account.assert_one_story()


def test_a_worker_that_goes_on_in_time_has_lost_nothing(bench: WorkerBench) -> None:
    with bench.account(settings=SHORT_LEASE) as account:
        first = account.start(Task("rebalance", RUN, "before:write AddOrder:2", stops=True))
        first.wait_until_stopped()
        account.wait_until_the_lease_has_run_out()
        first.go_on()
        ending = first.ending()
        assert ending.error is None, ending.details
        assert ending.result.success
        account.assert_one_story()


def test_an_order_that_leaves_after_its_deadline_is_refused_by_the_venue(bench: WorkerBench) -> None:
    """Nobody else has come, so nonce and lease are good as ever: the deadline alone stands between."""
    with bench.account(settings=SHORT_LEASE) as account:
        first = account.start(Task("rebalance", RUN, "before:write AddOrder:2", stops=True))
        first.wait_until_stopped()
        assert isinstance(bench.clock, SkippingClock)
        bench.clock.pass_time(timedelta(seconds=11))
        first.go_on()
        ending = first.ending()
        assert ending.error is None, ending.details
        assert not ending.result.success
        states = [row["state"] for row in runs(bench)[0]["orders"]]
        assert states == ["FILLED", "NOT_ACCEPTED", "FILLED"]
        outcomes = [r.outcome for r in account.double.requests if r.endpoint == "AddOrder"]
        assert outcomes == ["ok", "EService:Deadline elapsed", "ok"]
        account.assert_one_story()


def test_a_takeover_trades_although_the_one_that_stands_still_holds_the_turn_of_the_key(bench: WorkerBench) -> None:
    """With timeouts that stand to each other as the defaults do: an order lives little longer than a call may take."""
    settings = {**SHORT_LEASE, "venue_timeout_seconds": "2", "not_after_seconds": "4"}
    with bench.account(settings=settings) as account:
        ending = pause_and_take_over(account, "before:clearance:1")
        assert_that_it_lost_the_account(ending)
        account.assert_one_story()


def pause_and_take_over(account: WorkerAccount, where: str) -> Ending:
    """Let a worker stand still there until another has settled and traded; returns how it ended when it went on."""
    first = account.start(Task("rebalance", RUN, where, stops=True))
    first.wait_until_stopped()
    take_over(account)
    return assert_that_it_changes_nothing(account, lambda: end(first))


def take_over(account: WorkerAccount) -> None:
    account.wait_until_the_lease_has_run_out()
    second = account.work(Task("rebalance", RUN))
    assert second.error is None, second.details
    assert second.result.success, second.result.errors
    (cut_off, run) = runs(account.bench)
    assert [error["code"] for error in cut_off["errors"]][:1] == ["INTERRUPTED"]
    assert run["success"]
    assert run["orders_executed"] == run["orders_planned"]


def end(worker: Worker) -> Ending:
    worker.go_on()
    return worker.ending()


def assert_that_it_changes_nothing(account: WorkerAccount, act: Callable[[], Ending]) -> Ending:
    """What the first does when it goes on leaves no trace, but for the counters of the key."""
    before, orders = everything(account), list(account.double.orders)
    ending = act()
    assert everything(account) == before
    assert account.double.orders == orders
    return ending


def assert_that_it_lost_the_account(ending: Ending) -> None:
    assert ending.error is not None
    assert ending.error.startswith("LeaseLostError"), ending.details


def everything(account: WorkerAccount) -> dict[str, list[str]]:
    tables = account.bench.stored.everything()
    return {name: rows for name, rows in tables.items() if name != "venue_key"}


def runs(bench: WorkerBench) -> list[dict[str, Any]]:
    """The rows of the history, oldest first."""
    return bench.stored.history("core")
