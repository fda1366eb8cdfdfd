from __future__ import annotations

from decimal import Decimal

import pytest

from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.valuation import managed_currencies, percent_of, required_symbols, value_holdings
from rebalancer_pipelines.domain.values import Currency
from rebalancer_pipelines.domain.weights import TargetWeights
from tests.support.builders import BTC, ETH, EUR, a_holding, a_price

ADA = Currency("ADA")


def test_holdings_are_valued_at_mid_locked_ones_too() -> None:
    weights = TargetWeights.parse("ETH=40,BTC=60")
    holdings = {BTC: a_holding(2, 0), EUR: a_holding(30, 10), ADA: a_holding(5)}
    prices = {"BTC/EUR": a_price("BTC/EUR", 99, 101), "ETH/EUR": a_price("ETH/EUR", 10)}

    valuation = value_holdings(weights, EUR, holdings, prices)
    assert [(p.currency, p.quantity, p.value) for p in valuation.positions] == [
        (BTC, 2, 200),
        (ETH, 0, 0),
        (EUR, 30, 30),
    ]
    assert valuation.value == 230
    assert valuation.unmanaged == ((ADA, 5),)
    assert valuation.weight_of(valuation.positions[0]) == Decimal("86.956522")


def test_a_currency_of_which_nothing_is_left_is_not_listed_as_unmanaged() -> None:
    assert value_holdings(TargetWeights.parse("EUR=100"), EUR, {ADA: a_holding(0)}, {}).unmanaged == ()


def test_cash_is_managed_whether_or_not_a_weight_names_it_and_needs_no_price() -> None:
    unnamed, named = TargetWeights.parse("ETH=40,BTC=60"), TargetWeights.parse("ETH=40,EUR=60")

    assert managed_currencies(unnamed, EUR) == (BTC, ETH, EUR)
    assert managed_currencies(named, EUR) == (ETH, EUR)
    assert required_symbols(unnamed, EUR) == ("BTC/EUR", "ETH/EUR")
    assert required_symbols(named, EUR) == ("ETH/EUR",)


@pytest.mark.parametrize("prices", [{}, {"BTC/EUR": a_price(bid=0, ask=1)}, {"BTC/EUR": a_price(bid=3, ask=2)}])
def test_nothing_is_valued_without_a_sound_price(prices: dict[str, object]) -> None:
    with pytest.raises(DeniedError) as denied:
        value_holdings(TargetWeights.parse("BTC=100"), EUR, {}, prices)  # type: ignore[arg-type]
    assert denied.value.reason is DenialReason.PRICE_INVALID


@pytest.mark.parametrize(
    ("part", "whole", "percent"),
    [("1", "3", "33.333333"), ("2", "3", "66.666667"), ("0.0000005", "100", "0"), ("5", "0", "0"), ("3", "2", "150")],
)
def test_percent_is_rounded_to_six_decimals_and_0_of_nothing(part: str, whole: str, percent: str) -> None:
    assert percent_of(Decimal(part), Decimal(whole)) == Decimal(percent)
