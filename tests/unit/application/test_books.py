"""What a portfolio may count and trade of what its account holds."""

from __future__ import annotations

from decimal import Decimal

from rebalancer_pipelines.application.books import portfolio_holdings, totals_of
from tests.support.builders import BTC, ETH, EUR, a_holding


def test_currencies_of_which_there_is_nothing_are_left_out() -> None:
    assert totals_of({EUR: a_holding(5), BTC: a_holding(0)}) == {EUR: Decimal(5)}


def test_locked_units_count_for_value_and_are_not_free_to_any_book() -> None:
    found = portfolio_holdings(
        {BTC: Decimal(2), ETH: Decimal(1), EUR: Decimal(100)}, {BTC: a_holding(5, 4), ETH: a_holding(10, 7)}
    )
    assert (found[BTC].total, found[BTC].free) == (Decimal(2), Decimal(1))
    assert (found[ETH].total, found[ETH].free) == (Decimal(1), Decimal(0))
    assert (found[EUR].total, found[EUR].free) == (Decimal(100), Decimal(100))
