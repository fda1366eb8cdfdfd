"""Sessions: nobody forges one, and each ends."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rebalancer_pipelines.adapters.ui_guard.sessions import LIFETIME, Sessions
from tests.support.manual_clock import ManualClock


@pytest.fixture
def sessions(clock: ManualClock) -> Sessions:
    return Sessions(clock)


def test_one_lasts_until_it_expires(sessions: Sessions, clock: ManualClock) -> None:
    value = sessions.open()
    assert sessions.left(value) == LIFETIME
    clock.sleep(LIFETIME - timedelta(seconds=1))
    assert sessions.left(value) == timedelta(seconds=1)
    clock.sleep(timedelta(seconds=1))
    assert sessions.left(value) is None


def test_one_that_has_ended_stays_ended(sessions: Sessions, clock: ManualClock) -> None:
    ended, other = sessions.open(), sessions.open()
    sessions.end(ended)
    sessions.end(ended)
    assert sessions.left(ended) is None
    clock.sleep(timedelta(hours=1))
    sessions.end(sessions.open())
    assert sessions.left(ended) is None
    assert sessions.left(other) == LIFETIME - timedelta(hours=1)


def test_who_listens_is_told_of_the_end_of_that_session_alone(sessions: Sessions) -> None:
    mine, other = sessions.open(), sessions.open()
    told: list[str] = []
    with sessions.telling_of_end(mine, lambda: told.append("first")):
        with sessions.telling_of_end(mine, lambda: told.append("gone before")):
            sessions.end(other)
        with sessions.telling_of_end(mine, lambda: told.append("second")):
            sessions.end(mine)
            sessions.end(mine)
    assert told == ["first", "second"]


def test_a_changed_one_is_worth_nothing(sessions: Sessions) -> None:
    value = sessions.open()
    name, stamp, signature = value.split(".")
    forged = [
        f"{name}.{int(stamp) + 3600}.{signature}",
        f"{name}a.{stamp}.{signature}",
        f"{name}.{stamp}.{signature[:-1]}",
        f"{name}.{stamp}.",
        f"{name}.{stamp}",
        f"{name}.soon.{signature}",
        "\u20ac.\u20ac.\u20ac",
        "..",
        "",
    ]
    assert [sessions.left(text) for text in forged] == [None] * len(forged)


def test_another_process_knows_none_of_them(sessions: Sessions, clock: ManualClock) -> None:
    assert Sessions(clock).left(sessions.open()) is None
