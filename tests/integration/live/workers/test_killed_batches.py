"""A process that rebalances portfolios of one real account together is killed at any step, and leaves one story."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from tests.support.batches import create_sharing, rebalance_together
from tests.support.kraken_double import KrakenDouble, LoseResponse
from tests.support.netted_story import assert_nothing_lost_inside
from tests.support.stored import Stored
from tests.support.worker_bench import WorkerAccount, WorkerBench
from tests.support.worker_processes import Ending, Task

SHARING = {
    # BTC crosses, and some is left to sell; three want ETH; only one wants XRP, which is sent itself.
    "buyer": ("BTC=30,ETH=30,EUR=40", {"EUR": "400"}),
    "seller": ("BTC=20,ETH=40,EUR=40", {"BTC": "0.012"}),
    "both": ("BTC=40,ETH=20,XRP=20,EUR=20", {"BTC": "0.004", "EUR": "300"}),
    "still": ("EUR=100", {"EUR": "100"}),
}
BALANCES = {"BTC": "0.016", "EUR": "800"}
LATE_ENOUGH = timedelta(seconds=75)
"""After a death: past the order's deadline and the venue's hold."""


def plain(_: KrakenDouble) -> None:
    """A sound venue."""


def answer_lost(double: KrakenDouble) -> None:
    double.inject("AddOrder", LoseResponse(), times=None)


def filled_in_part(double: KrakenDouble) -> None:
    double.fill_next("0.00100003")


PLACES: list[tuple[str, Callable[[KrakenDouble], None]]] = [
    ("before:planned:1", plain),
    ("after:planned:1", plain),
    # Of the sells, then of the buys; a transaction that stores several is one step for each.
    ("before:netted:1", plain),
    ("after:netted:1", plain),
    ("before:netted:2", plain),
    ("after:netted:2", plain),
    ("before:SENDING:1", plain),
    ("after:SENDING:1", plain),
    ("after:SENDING:2", plain),
    ("after:SENDING:3", plain),
    ("before:write AddOrder:1", plain),
    ("after:write AddOrder:1", plain),
    ("after:write AddOrder:2", plain),
    ("before:OPEN:1", plain),
    ("after:OPEN:1", plain),
    ("after:OPEN:2", plain),
    ("before:UNKNOWN:1", answer_lost),
    ("after:UNKNOWN:1", answer_lost),
    ("before:shared:1", filled_in_part),
    ("after:shared:1", filled_in_part),
    ("before:shared:2", plain),
    ("before:booked:1", plain),
    ("after:booked:2", plain),
    ("before:crossed:1", plain),
    ("after:crossed:1", plain),
    ("before:closed:1", plain),
    ("after:closed:1", plain),
]

NOTHING_TO_SETTLE = {"before:planned:1", "after:closed:1"}
"""What is left there is a lease that runs out by itself."""


@pytest.mark.parametrize("sweeps", [False, True], ids=["the next run settles", "a recovery settles"])
@pytest.mark.parametrize(("where", "scene"), PLACES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_batch_that_is_killed_leaves_one_story(
    where: str, scene: Callable[[KrakenDouble], None], sweeps: bool, bench: WorkerBench
) -> None:
    with an_account(bench) as account:
        scene(account.double)
        assert killed_at(account, where).was_killed, "it has not come by"
        account.double.clear_faults()
        bench.clock.sleep(LATE_ENOUGH)
        if sweeps:
            assert recover_abandoned_accounts(bench.ports) == []
            assert_one_row_each(bench.stored, where)
            if where not in NOTHING_TO_SETTLE:
                assert_one_story(account)
        outcomes = rebalance_together(bench.ports, list(SHARING))
        assert {name: o.record and o.record.success for name, o in outcomes.items()} == dict.fromkeys(SHARING, True)
        assert_one_story(account)


@pytest.mark.parametrize("where", ["after:netted:2", "after:SENDING:1", "after:OPEN:1", "after:shared:1"])
def test_a_dry_run_that_is_killed_blocks_nobody(where: str, bench: WorkerBench) -> None:
    with an_account(bench) as account:
        assert killed_at(account, where, dry_run=True).was_killed, "it has not come by"
        assert recover_abandoned_accounts(bench.ports) == []
        assert account.double.orders == []
        assert_nothing_lost_inside(bench.stored)
        assert len(bench.stored.rows("SELECT id FROM rebalance_history")) == len(SHARING)


def test_a_recovery_that_is_killed_is_taken_up_by_the_next(bench: WorkerBench) -> None:
    with an_account(bench) as account:
        assert killed_at(account, "before:OPEN:1").was_killed
        bench.clock.sleep(LATE_ENOUGH)
        # Two of the four rows are written by then.
        assert account.work(Task("recover", {}, "after:closed:2")).was_killed
        assert recover_abandoned_accounts(bench.ports) == []
        assert_one_row_each(bench.stored, "")
        assert_one_story(account)


@contextmanager
def an_account(bench: WorkerBench) -> Iterator[WorkerAccount]:
    with bench.account(balances=BALANCES, portfolios={}) as account:
        create_sharing(bench.ports, SHARING, account="kraken")
        yield account


def killed_at(account: WorkerAccount, where: str, *, dry_run: bool = False) -> Ending:
    return account.work(Task("batch", {"portfolios": list(SHARING), "dry_run": dry_run}, where))


def assert_one_story(account: WorkerAccount) -> None:
    account.assert_one_story()
    assert_nothing_lost_inside(account.bench.stored)


def assert_one_row_each(stored: Stored, where: str) -> None:
    rows = stored.rows("SELECT count(*) AS rows FROM rebalance_history GROUP BY portfolio_id")
    assert [row["rows"] for row in rows] == [1] * len(SHARING) * (where != "before:planned:1")
