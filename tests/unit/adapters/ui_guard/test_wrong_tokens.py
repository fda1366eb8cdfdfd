"""Whoever guesses has to wait, longer each time; nobody else has."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rebalancer_pipelines.adapters.ui_guard.wrong_tokens import WrongTokens
from tests.support.manual_clock import ManualClock

NO_WAIT = timedelta()


@pytest.fixture
def wrong_tokens(clock: ManualClock) -> WrongTokens:
    return WrongTokens(clock)


def test_the_wait_grows(wrong_tokens: WrongTokens, clock: ManualClock) -> None:
    waits = []
    for _ in range(12):
        wrong_tokens.add("10.0.0.1")
        waits.append(wrong_tokens.wait("10.0.0.1"))
        clock.sleep(waits[-1])
        assert wrong_tokens.wait("10.0.0.1") == NO_WAIT
    assert [wait.total_seconds() for wait in waits] == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_others_do_not_wait(wrong_tokens: WrongTokens) -> None:
    for _ in range(9):
        wrong_tokens.add("10.0.0.1")
    assert wrong_tokens.wait("10.0.0.2") == NO_WAIT


def test_the_right_token_ends_it(wrong_tokens: WrongTokens) -> None:
    for _ in range(9):
        wrong_tokens.add("10.0.0.1")
    wrong_tokens.forget("10.0.0.1")
    wrong_tokens.add("10.0.0.1")
    assert wrong_tokens.wait("10.0.0.1") == NO_WAIT


def test_a_network_of_ipv6_addresses_is_one_client(wrong_tokens: WrongTokens) -> None:
    for last in range(9):
        wrong_tokens.add(f"2001:db8:0:1::{last}")
    assert wrong_tokens.wait("2001:db8:0:1::ffff") > NO_WAIT
    assert wrong_tokens.wait("2001:db8:0:2::1") == NO_WAIT


def test_only_so_many_are_remembered(wrong_tokens: WrongTokens) -> None:
    for _ in range(9):
        wrong_tokens.add("10.0.0.1")
    for number in range(1000):
        wrong_tokens.add(f"10.1.{number // 250}.{number % 250}")
    assert wrong_tokens.wait("10.0.0.1") == NO_WAIT
