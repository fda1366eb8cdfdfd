from __future__ import annotations

from decimal import Context, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.values import Currency, exact_sum
from rebalancer_pipelines.domain.weights import TargetWeights
from tests.support.builders import BTC, ETH, EUR


def test_weights_are_ordered_by_currency_and_kept_as_given() -> None:
    weights = TargetWeights.parse("ETH=30, btc=50 ,EUR")

    assert weights.given == ((BTC, Decimal(50)), (ETH, Decimal(30)), (EUR, None))
    assert dict(weights) == {BTC: 50, ETH: 30, EUR: 20}
    assert weights.currencies == (BTC, ETH, EUR)


def test_open_weights_share_the_rest_equally_and_the_first_takes_what_is_left_over() -> None:
    weights = TargetWeights.parse("EUR=0,BTC,ETH,XRP=")

    assert dict(weights)[BTC] == Decimal("33.33333334")
    assert dict(weights)[ETH] == dict(weights)[Currency("XRP")] == Decimal("33.33333333")


@given(st.integers(1, 40), st.decimals(0, "99.9", places=6), st.integers(1, 30))
def test_open_weights_add_up_to_100_exactly_in_any_decimal_context(count: int, named: Decimal, precision: int) -> None:
    given = {Currency(f"C{number:02d}"): None for number in range(count)} | {EUR: named}

    with localcontext(Context(prec=precision)):
        weights = TargetWeights.of(given)
    assert exact_sum(weight for _, weight in weights) == 100
    shares = [weight for currency, weight in weights if currency != EUR]
    assert max(shares) - min(shares) < Decimal("0.00000001") * count


@pytest.mark.parametrize("text", ["BTC=50,EUR=50.01", "BTC=50,EUR=49.99", "BTC=100", "BTC=33.33,ETH=33.33,EUR=33.33"])
def test_weights_may_miss_100_by_a_hundredth(text: str) -> None:
    assert TargetWeights.parse(text).currencies


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("BTC=50,EUR=50.011", "weights: '100.011' is their sum in percent; it must be 100"),
        ("BTC=50,EUR=49.989", "weights: '99.989' is their sum in percent; it must be 100"),
        ("BTC=-1,EUR=101", "weights.BTC: '-1' must be between 0 and 100 percent"),
        ("BTC=0,EUR=100.001", "weights.EUR: '100.001' must be between 0 and 100 percent"),
        ("BTC=NaN,EUR=50", "weights.BTC: 'NaN' is not a finite number; write it like 12.5"),
        ("BTC=Infinity", "weights.BTC: 'Infinity' is not a finite number; write it like 12.5"),
        ("BTC=half", "weights.BTC: 'half' is not a number; write it like 12.5"),
        ("BTC=50,btc=50", "weights: 'BTC' is named twice; name each currency once"),
        ("BTC=100,EUR", "weights.EUR: has no number and nothing of 100 percent is left for it; give it one"),
        ("B-C=100", "weights: 'B-C' is not a currency code; use letters and digits such as BTC or EUR"),
        ("", "weights: '' is not a currency code; use letters and digits such as BTC or EUR"),
    ],
)
def test_weights_that_cannot_divide_a_portfolio_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        TargetWeights.parse(text)
    assert str(refused.value) == message


def test_no_weights_at_all_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="weights: are empty; give at least one"):
        TargetWeights.of({})


def test_a_weight_that_is_not_a_number_is_refused_however_it_arrives() -> None:
    with pytest.raises(InvalidInputError, match=r"weights\.BTC: 'NaN' must be between 0 and 100 percent"):
        TargetWeights.of({BTC: Decimal("NaN"), EUR: Decimal(100)})
