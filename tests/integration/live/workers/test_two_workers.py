"""Two processes are at work on one account at the same moment: they go one after the other, or one is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.domain.errors import DenialReason
from rebalancer_pipelines.domain.values import Currency
from tests.support.worker_bench import WorkerAccount, WorkerBench
from tests.support.worker_clocks import FastClock
from tests.support.worker_processes import Ending, Task

SPEED = 20
PATIENT = {"not_after_seconds": "60", "quote_age_seconds": "600"}
"""A machine that is busy for a second is busy for twenty on the clock of these tests."""

ENOUGH = timedelta(hours=1)
ORDERS = 3


@pytest.fixture
def clock() -> FastClock:
    return FastClock(SPEED)


@pytest.mark.parametrize("repetition", range(3))
def test_a_double_click_gives_one_rebalance(repetition: int, bench: WorkerBench) -> None:
    with bench.account(settings=PATIENT, seed=repetition) as account:
        clicked = {"portfolio": "core", "requested_at": bench.clock.now()}
        endings = together(account, Task("rebalance", clicked), Task("rebalance", clicked))

        traded = [ending for ending in endings if ending.error is None]
        refused = [ending for ending in endings if ending.error is not None]
        assert [ending.result.success for ending in traded] == [True], endings
        assert [ending.code for ending in refused] == [DenialReason.ALREADY_REBALANCED], refused[0].details
        assert len(account.double.orders) == ORDERS
        rows = bench.stored.history("core")
        assert sorted(codes(row) for row in rows) == [[], ["ALREADY_REBALANCED"]]
        assert len({row["dagster_run_id"] for row in rows}) == 2
        assert account.double.violations == []
        account.assert_one_story()


@pytest.mark.parametrize("repetition", range(3))
def test_two_portfolios_of_one_account_go_one_after_the_other(repetition: int, bench: WorkerBench) -> None:
    balances = {"BTC": "0.08", "ETH": "2", "EUR": "300"}
    with bench.account(balances=balances, portfolios={}, settings=PATIENT, seed=repetition) as account:
        for name, weights, owned in (
            ("core", "BTC=30,ETH=30,XRP=20,EUR=20", {"BTC": "0.08", "EUR": "100"}),
            ("other", "ETH=40,XRP=40,EUR=20", {"ETH": "2", "EUR": "200"}),
        ):
            allocations = {Currency(currency): Decimal(amount) for currency, amount in owned.items()}
            create_portfolio(
                bench.ports, {"name": name, "account": "kraken", "weights": weights}, allocations=allocations
            )
        endings = together(account, a_run("core"), a_run("other"))
        assert [ending.error for ending in endings] == [None, None], endings
        assert all(ending.result.success for ending in endings)
        assert_one_after_the_other(account)
        assert_nonces_only_rise(account)
        account.assert_one_story()


def test_readers_disturb_no_run(bench: WorkerBench, tmp_path: Path) -> None:
    """They use the same key, so they take its nonces and its calls; a review even wants the account itself."""
    with bench.account(settings=PATIENT) as account:
        end_of_looking = tmp_path / "enough"
        reader = account.start(Task("look", {"account": "kraken", "until": end_of_looking}))
        run, review = together(account, a_run("core"), Task("review", {"account": "kraken"}, lease_patience=ENOUGH))
        end_of_looking.touch()
        looking = reader.ending()
        assert run.error is None, run.details
        assert run.result.success
        assert run.result.orders_executed == ORDERS
        assert review.error is None, review.details
        assert review.result is True
        assert looking.error is None, looking.details
        assert looking.result > 0
        assert account.double.violations == []
        assert_nonces_only_rise(account)
        account.assert_one_story()


def test_a_reader_changes_nothing_that_is_stored(bench: WorkerBench, tmp_path: Path) -> None:
    with bench.account(settings=PATIENT) as account:
        before = everything(account)
        once = tmp_path / "never"
        reader = account.start(Task("look", {"account": "kraken", "until": once}))
        look_a_while(account)
        once.touch()
        assert reader.ending().error is None
        assert everything(account) == before


def a_run(portfolio: str) -> Task:
    return Task("rebalance", {"portfolio": portfolio}, lease_patience=ENOUGH)


def together(account: WorkerAccount, *tasks: Task) -> list[Ending]:
    """Let workers begin at the same moment and wait for all of them."""
    line = account.bench.workers.starting_line(len(tasks))
    workers = [account.start(replace(task, start=line)) for task in tasks]
    return [worker.ending() for worker in workers]


def look_a_while(account: WorkerAccount) -> None:
    looks = 3
    arrived = account.double.count("BalanceEx")
    assert wait_until(lambda: account.double.count("BalanceEx") >= arrived + looks, 30)


def assert_one_after_the_other(account: WorkerAccount) -> None:
    """No order of one portfolio lies between two of the other."""
    rows = account.bench.stored.rows("SELECT client_order_id, portfolio_id FROM order_intent")
    owners = {row["client_order_id"]: row["portfolio_id"] for row in rows}
    sequence = [owners[str(order.cl_ord_id)] for order in account.double.orders]
    changes = sum(one != next_one for one, next_one in pairwise(sequence))
    assert len(set(sequence)) == 2
    assert changes == 1


def assert_nonces_only_rise(account: WorkerAccount) -> None:
    nonces = [int(r.parameters["nonce"]) for r in account.double.requests if "nonce" in r.parameters]
    assert nonces == sorted(set(nonces))


def codes(row: dict[str, Any]) -> list[str]:
    return [error["code"] for error in row["errors"] or []]


def everything(account: WorkerAccount) -> dict[str, list[str]]:
    tables = account.bench.stored.everything()
    return {name: rows for name, rows in tables.items() if name != "venue_key"}
