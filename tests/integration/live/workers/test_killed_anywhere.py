"""A process that trades real money is killed at any step, twenty times at each: what it left is one story afterwards.

Every repetition has other money, another order that meets the death, another venue that misbehaves; often whoever comes
to settle dies too. A failure names the repetition, which can be run alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest

from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.application.review import review_account
from rebalancer_pipelines.application.trading_control import resume
from rebalancer_pipelines.domain.errors import DeniedError
from tests.support.killed_cases import (
    ALWAYS,
    FROM_THE_DEATH_ON,
    Case,
    Scene,
    a_case,
    answer_lost,
    catch_up,
    chance_of,
    filled_in_part,
    not_taken,
    plain,
    refused,
    stays_open,
    stays_open_unfilled,
)
from tests.support.kraken_bench import run_live
from tests.support.worker_bench import WorkerAccount, WorkerBench
from tests.support.worker_processes import Task

REPETITIONS = 20
LATE_ENOUGH = timedelta(seconds=75)
"""After a death: past the order's deadline and the venue's hold."""
TOO_LATE = timedelta(minutes=16)
"""By then a person has to look for an order that the venue does not show."""


@dataclass(frozen=True)
class Place:
    """A place where the process dies. `{n}` in it is the number of the order that meets the `scene`.

    An order's fills are `booked` in the transaction that also ends it, as FILLED or however it ended.
    """

    where: str
    scene: Scene = plain


RUN = (
    Place("before:started:1"),
    Place("after:started:1"),
    Place("before:planned:1"),
    Place("after:planned:1"),
    Place("before:SENDING:{n}"),
    Place("after:SENDING:{n}"),
    Place("before:clearance:{n}"),
    Place("before:write AddOrder:{n}"),
    Place("amid:write AddOrder:{n}"),
    Place("after:write AddOrder:{n}"),
    Place("before:OPEN:{n}"),
    Place("after:OPEN:{n}"),
    Place("before:booked:{n}"),
    Place("after:booked:{n}"),
    Place("before:UNKNOWN:1", answer_lost),
    Place("after:UNKNOWN:1", answer_lost),
    Place("before:REJECTED:1", refused),
    Place("after:REJECTED:1", refused),
    Place("before:NOT_ACCEPTED:1", not_taken),
    Place("after:NOT_ACCEPTED:1", not_taken),
    Place("before:CANCELING:1", stays_open),
    Place("after:CANCELING:1", stays_open),
    Place("after:write CancelOrder:1", stays_open),
    Place("before:CANCELED:1", stays_open_unfilled),
    Place("after:CANCELED:1", stays_open_unfilled),
    Place("before:PARTIALLY_FILLED:1", filled_in_part),
    Place("after:PARTIALLY_FILLED:1", filled_in_part),
    Place("before:closed:1"),
    Place("after:closed:1"),
)


@dataclass(frozen=True)
class PlaceOfRecovery:
    """A place where whoever settles dies, after the run has died at one of `first`."""

    where: str
    first: tuple[str, ...]
    scene: Scene = plain
    recovery: str = "rebalance"


_AT_VENUE = ("after:write AddOrder:{n}", "before:OPEN:{n}")
_NEVER_LEFT = ("after:SENDING:{n}", "before:clearance:{n}", "before:write AddOrder:{n}", "amid:write AddOrder:{n}")

RECOVERY = (
    PlaceOfRecovery("after:write OpenOrders:1", _AT_VENUE),
    PlaceOfRecovery("before:booked:1", _AT_VENUE),
    PlaceOfRecovery("after:booked:1", (*_AT_VENUE, "after:OPEN:{n}")),
    PlaceOfRecovery("before:OPEN:1", _AT_VENUE, stays_open, recovery="recover"),
    PlaceOfRecovery("after:OPEN:1", _AT_VENUE, stays_open, recovery="recover"),
    PlaceOfRecovery("after:CANCELING:1", _AT_VENUE, stays_open),
    PlaceOfRecovery("after:write CancelOrder:1", _AT_VENUE, stays_open),
    PlaceOfRecovery("before:NOT_ACCEPTED:1", _NEVER_LEFT),
    PlaceOfRecovery("after:NOT_ACCEPTED:1", _NEVER_LEFT),
    PlaceOfRecovery("before:closed:1", _AT_VENUE, recovery="recover"),
    PlaceOfRecovery("after:closed:1", ("after:planned:1", *_NEVER_LEFT)),
)


@pytest.mark.parametrize("place", RUN, ids=lambda place: place.where)
def test_a_run_that_is_killed_leaves_one_story(place: Place, bench: WorkerBench) -> None:
    for repetition in range(REPETITIONS):
        chance = chance_of(place.where, repetition)
        case = a_case(repetition, chance)
        where = place.where.format(n=case.number)
        with naming(repetition, where, case), an_account(bench, case, repetition) as account:
            place.scene(account.double, chance, case.number)
            ALWAYS[case.always](account.double)
            assert account.work(a_task("rebalance", where)).was_killed, "it has not come by"
            FROM_THE_DEATH_ON[case.from_the_death_on](account.double)
            if case.dies_again is not None:
                account.work(a_task(case.recovery, case.dies_again))
            settle(account, sweeps=case.sweeps)
            account.assert_one_story()


@pytest.mark.parametrize("place", RECOVERY, ids=lambda place: f"{place.where} since {place.first[0]}")
def test_a_recovery_that_is_killed_leaves_one_story(place: PlaceOfRecovery, bench: WorkerBench) -> None:
    for repetition in range(REPETITIONS):
        chance = chance_of(place.where, place.first, repetition)
        case = a_case(repetition, chance)
        first = chance.choice(place.first).format(n=case.number)
        with naming(repetition, first, case), an_account(bench, case, repetition) as account:
            place.scene(account.double, chance, case.number)
            assert account.work(a_task("rebalance", first)).was_killed, "the run has not come by"
            assert account.work(a_task(place.recovery, place.where)).was_killed, "the recovery has not come by"
            FROM_THE_DEATH_ON[case.from_the_death_on](account.double)
            settle(account, sweeps=case.sweeps)
            account.assert_one_story()


@pytest.mark.parametrize("where", ["before:NEEDS_REVIEW:1", "after:NEEDS_REVIEW:1"])
def test_a_recovery_that_is_killed_while_it_gives_an_order_to_a_person(where: str, bench: WorkerBench) -> None:
    """The next one gives it to them as well, and halts the account; what they find out is one story."""
    ports = bench.ports
    for repetition in range(REPETITIONS):
        chance = chance_of(where, repetition)
        case = a_case(repetition, chance)
        first = chance.choice(_AT_VENUE).format(n=case.number)
        with naming(repetition, first, case), an_account(bench, case, repetition) as account:
            assert account.work(a_task("rebalance", first)).was_killed, "the run has not come by"
            account.double.hide_orders_for(3600)
            ports.clock.sleep(TOO_LATE)
            assert account.work(a_task("recover", where)).was_killed, "the recovery has not come by"

            (line,) = recover_abandoned_accounts(ports)
            assert "NEEDS_REVIEW" in line
            assert bench.stored.row("SELECT trading_state FROM account")["trading_state"] == "halted"
            with pytest.raises(DeniedError, match="ACCOUNT_HALTED"):
                run_live(ports)

            account.double.hide_orders_for(0)
            assert review_account(ports, "kraken").is_clear
            resume(ports, "kraken")
            assert run_live(ports).success
            account.assert_one_story()


def an_account(bench: WorkerBench, case: Case, seed: int) -> AbstractContextManager[WorkerAccount]:
    return bench.account(balances=case.balances, portfolios={"core": case.weights}, seed=seed)


def a_task(what: str, where: str) -> Task:
    return Task(what, {"portfolio": "core"} if what == "rebalance" else {}, where)


def settle(account: WorkerAccount, *, sweeps: bool) -> None:
    """Let those come who find the account: a recovery in bulk perhaps, and in any case the next run."""
    ports = account.bench.ports
    if sweeps:
        recover_abandoned_accounts(ports)
    ports.clock.sleep(LATE_ENOUGH)
    catch_up(account.double)
    record = run_live(ports)
    assert record.success, record.errors


@contextmanager
def naming(repetition: int, where: str, case: Case) -> Iterator[None]:
    """Say which repetition has failed."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"in repetition {repetition}: death {where}, {case}")
        raise
