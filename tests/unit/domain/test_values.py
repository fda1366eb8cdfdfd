from __future__ import annotations

from decimal import Context, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.portfolio import Holding
from rebalancer_pipelines.domain.values import (
    EXACT,
    ceil_to,
    exact_sum,
    floor_to,
    is_multiple,
    parse_currency,
    parse_decimal,
    parse_positive,
    plain,
)
from tests.support.builders import BTC

numbers = st.decimals(-(10**12), 10**12, places=10)
increments = st.sampled_from([Decimal(text) for text in ("1E-18", "0.00000001", "0.25", "1", "2.5", "1E+3")])


def test_a_currency_code_is_upper_case_and_trimmed() -> None:
    assert parse_currency(" btc ") == BTC


@pytest.mark.parametrize("text", ["", "B C", "€", "TOOLONGTOBEIT", "BTC\n1"])
def test_what_is_not_a_currency_code_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_currency(text, field="cash")
    assert str(refused.value).startswith(f"cash: {text!r} is not a currency code")


@pytest.mark.parametrize(
    ("given_text", "number"), [("12.50", "12.50"), (7, "7"), ("-1E3", "-1000"), ("1E-18", "1E-18")]
)
def test_a_number_is_read_exactly_as_written(given_text: str | int, number: str) -> None:
    assert parse_decimal(given_text, field="amount") == Decimal(number)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("1,5", "is not a number"),
        ("", "is not a number"),
        ("sNaN", "is not a finite number"),
        ("nan", "is not a finite number"),
        ("-inf", "is not a finite number"),
        ("1E21", "is out of range"),
        ("1E-19", "is out of range"),
    ],
)
def test_what_is_not_a_usable_number_is_refused(text: str, remedy: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_decimal(text, field="amount")
    assert str(refused.value).startswith(f"amount: {text!r} {remedy}")


@pytest.mark.parametrize("text", ["0", "-0.1"])
def test_a_positive_number_is_above_zero(text: str) -> None:
    with pytest.raises(InvalidInputError, match="must be greater than 0"):
        parse_positive(text, field="threshold")
    assert parse_positive("0.1", field="threshold") == Decimal("0.1")


@pytest.mark.parametrize(
    ("number", "text"),
    [("0", "0"), ("-0.00", "0"), ("0E+5", "0"), ("100", "100"), ("1E+2", "100"), ("1.500", "1.5"), ("-2.0", "-2")],
)
def test_equal_numbers_have_one_text(number: str, text: str) -> None:
    assert plain(Decimal(number)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_the_plain_text_of_a_number_keeps_every_digit(number: Decimal) -> None:
    assert Decimal(plain(number)) == number
    assert "E" not in plain(number)


@given(st.lists(numbers), st.integers(1, 5))
def test_a_sum_is_exact_in_any_decimal_context(terms: list[Decimal], precision: int) -> None:
    cents = sum(int(term.scaleb(10)) for term in terms)
    with localcontext(Context(prec=precision)):
        total = exact_sum(terms)
    assert total.scaleb(10, Context(prec=100)) == cents


def test_the_product_of_the_longest_amount_price_and_fee_is_not_rounded() -> None:
    longest = parse_decimal("9" * 21 + "." + "9" * 18, field="amount")

    exact = Context(prec=300)
    product = exact.multiply(exact.multiply(longest, longest), longest)
    assert EXACT.multiply(EXACT.multiply(longest, longest), longest) == product


@given(st.decimals(0, 10**12, places=10), increments)
def test_rounding_to_an_increment_stays_within_one_of_it(number: Decimal, increment: Decimal) -> None:
    low, high = floor_to(number, increment), ceil_to(number, increment)

    assert is_multiple(low, increment)
    assert is_multiple(high, increment)
    assert low <= number <= high
    assert EXACT.subtract(number, low) < increment
    assert EXACT.subtract(high, number) < increment


def test_what_stands_off_the_grid_is_no_multiple() -> None:
    assert is_multiple(Decimal("7.5"), Decimal("2.5"))
    assert not is_multiple(Decimal("7.6"), Decimal("2.5"))


def test_locked_units_are_exact_in_any_decimal_context() -> None:
    with localcontext(Context(prec=3)):
        assert plain(Holding(Decimal("1234567.1"), Decimal("0.1")).locked) == "1234567"
