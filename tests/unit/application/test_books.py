"""Books beside balances."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import pytest

from rebalancer_pipelines.application.reconcile import check_books, portfolio_holdings, totals_of
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.ledger import Books
from rebalancer_pipelines.domain.portfolio import Account, TradingState
from rebalancer_pipelines.domain.values import Currency
from tests.support.builders import BTC, ETH, EUR, NOON, a_holding

ACCOUNT = Account(UUID(int=2), "main", "paper", "recorded", TradingState.ACTIVE, None, NOON)
FIRST, SECOND = UUID(int=11), UUID(int=12)


def books(*, first: dict[Currency, str], second: dict[Currency, str], unallocated: dict[Currency, str]) -> Books:
    def exact(book: dict[Currency, str]) -> dict[Currency, Decimal]:
        return {currency: Decimal(amount) for currency, amount in book.items()}

    return Books(exact(unallocated), {FIRST: exact(first), SECOND: exact(second)}, is_untouched=False)


def test_books_that_add_up_pass() -> None:
    found = books(first={EUR: "1.1"}, second={EUR: "2.2", BTC: "-1"}, unallocated={BTC: "1"})
    check_books(ACCOUNT, found, {EUR: a_holding("3.3"), ETH: a_holding(0)})


@pytest.mark.parametrize(
    ("at_venue", "said"),
    [
        ({EUR: "3.3000000000000000001"}, "EUR +0.0000000000000000001"),
        ({EUR: "3.2"}, "EUR -0.1"),
        ({EUR: "3.3", BTC: "0.5"}, "BTC +0.5"),
        ({}, "EUR -3.3"),
    ],
)
def test_the_last_digit_counts(at_venue: dict[Currency, str], said: str) -> None:
    found = books(first={EUR: "1.1"}, second={EUR: "2.2"}, unallocated={})
    with pytest.raises(DeniedError) as denied:
        check_books(ACCOUNT, found, {currency: a_holding(amount) for currency, amount in at_venue.items()})
    assert denied.value.reason is DenialReason.BOOKS_DIFFER
    assert f"({said})" in denied.value.message
    assert "rebalancer account show main" in denied.value.message


def test_currencies_of_which_there_is_nothing_are_left_out() -> None:
    assert totals_of({EUR: a_holding(5), BTC: a_holding(0)}) == {EUR: Decimal(5)}


def test_locked_units_count_for_value_and_are_not_free_to_any_book() -> None:
    found = portfolio_holdings(
        {BTC: Decimal(2), ETH: Decimal(1), EUR: Decimal(100)}, {BTC: a_holding(5, 4), ETH: a_holding(10, 7)}
    )
    assert (found[BTC].total, found[BTC].free) == (Decimal(2), Decimal(1))
    assert (found[ETH].total, found[ETH].free) == (Decimal(1), Decimal(0))
    assert (found[EUR].total, found[EUR].free) == (Decimal(100), Decimal(100))
