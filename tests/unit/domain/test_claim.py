"""Which of those that are due go into one batch, and when a batch is tried again."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.domain.claim import Claim, WaitingBatch, whole_accounts
from tests.support.builders import NOON


def due(place: int, account: int) -> Claim:
    return Claim(
        portfolio_id=UUID(int=place),
        portfolio=f"p{place}",
        account_id=UUID(int=1000 + account),
        scheduled_for=NOON + timedelta(seconds=place),
    )


def chosen(accounts: list[int], limit: int) -> list[int]:
    """The accounts of those that are chosen out of portfolios of these accounts, in the sequence of their due times."""
    found = whole_accounts([due(place, account) for place, account in enumerate(accounts)], limit)
    return [one.account_id.int - 1000 for one in found]


def test_the_account_that_has_waited_longest_comes_first_and_whole() -> None:
    assert chosen([7, 8, 7, 9, 8, 7], limit=5) == [7, 7, 7, 8, 8]


def test_an_account_that_does_not_fit_any_more_waits_for_the_next_batch() -> None:
    assert chosen([7, 8, 8, 8, 9], limit=3) == [7, 9]


def test_an_account_with_more_than_a_batch_takes_is_cut() -> None:
    assert chosen([7] * 5 + [8], limit=3) == [7, 7, 7]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(1, 20))
def test_no_account_is_divided_unless_it_is_too_large_for_one_batch(accounts: list[int], limit: int) -> None:
    found = Counter(chosen(accounts, limit))
    assert 0 < found.total() <= limit
    there = Counter(accounts)
    for account, count in found.items():
        assert count == there[account] or (there[account] > limit and found == {account: limit})


@pytest.mark.parametrize(("tries", "minutes"), [(0, 1), (1, 2), (2, 4), (5, 32), (6, 60), (7, 60), (10_000, 60)])
def test_every_further_try_waits_twice_as_long_up_to_an_hour(tries: int, minutes: int) -> None:
    waiting = WaitingBatch(UUID(int=1), claimed_at=NOON, tries=tries)
    assert waiting.next_try_at == NOON + timedelta(minutes=minutes)
