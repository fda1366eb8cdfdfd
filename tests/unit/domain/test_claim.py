"""Which of those that are due go into one batch."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.domain.calendar import RebalanceInterval
from rebalancer_pipelines.domain.claim import Due, whole_accounts
from tests.support.builders import NOON


def due(place: int, account: int) -> Due:
    return Due(
        portfolio_id=UUID(int=place),
        account_id=UUID(int=1000 + account),
        due_at=NOON + timedelta(seconds=place),
        interval=RebalanceInterval.DAILY,
        anchor_at=NOON,
        time_zone=ZoneInfo("UTC"),
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
