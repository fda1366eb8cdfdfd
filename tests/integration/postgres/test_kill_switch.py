"""The kill switch: one for the whole installation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import Engine, text

from .stored import NOON, Transactions


def reason(transactions: Transactions) -> str | None:
    with transactions() as work:
        return work.kill_switch.reason()


def engage(transactions: Transactions, why: str) -> None:
    with transactions() as work:
        work.kill_switch.engage(why, NOON)
        work.commit()


def release(transactions: Transactions) -> None:
    with transactions() as work:
        work.kill_switch.release()
        work.commit()


def test_nothing_is_stopped_until_somebody_says_so(transactions: Transactions) -> None:
    assert reason(transactions) is None
    engage(transactions, "the venue looks wrong")
    assert reason(transactions) == "the venue looks wrong"
    release(transactions)
    assert reason(transactions) is None


def test_releasing_what_is_not_engaged_is_no_trouble(transactions: Transactions) -> None:
    release(transactions)
    assert reason(transactions) is None


def test_engaging_again_replaces_reason_and_moment(transactions: Transactions, engine: Engine) -> None:
    engage(transactions, "first")
    with transactions() as work:
        work.kill_switch.engage("second", NOON + timedelta(hours=1))
        work.commit()
    with engine.connect() as connection:
        row = connection.execute(text("SELECT reason, engaged_at FROM kill_switch")).one()
    assert tuple(row) == ("second", NOON + timedelta(hours=1))


def test_an_empty_reason_stops_everything_too(transactions: Transactions) -> None:
    engage(transactions, "")
    assert reason(transactions) == ""


def test_several_may_engage_it_at_once(transactions: Transactions, threads: ThreadPoolExecutor) -> None:
    list(threads.map(lambda number: engage(transactions, f"reason {number}"), range(8)))
    assert (reason(transactions) or "").startswith("reason ")


def test_a_transaction_under_way_sees_it_as_soon_as_it_is_engaged(transactions: Transactions) -> None:
    with transactions() as work:
        assert work.kill_switch.reason() is None
        engage(transactions, "stop")
        assert work.kill_switch.reason() == "stop"
