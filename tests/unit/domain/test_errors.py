from __future__ import annotations

from decimal import Decimal

import pytest

from rebalancer_pipelines.domain.drift import DriftBand
from rebalancer_pipelines.domain.errors import (
    DenialReason,
    DeniedError,
    IllegalTransitionError,
    InvalidInputError,
    LeaseLostError,
    NotFoundError,
    RebalancerError,
    VenueUnreachableError,
)
from rebalancer_pipelines.domain.portfolio import RebalancePolicy, parse_name


def test_bad_input_is_told_in_one_line_with_field_value_and_remedy() -> None:
    error = InvalidInputError("threshold", "-1", "must be greater than 0")

    assert str(error) == "threshold: '-1' must be greater than 0"
    assert (error.field, error.value, error.remedy) == ("threshold", "-1", "must be greater than 0")


def test_a_value_that_spans_lines_still_gives_one_line() -> None:
    assert str(InvalidInputError("name", "a\nb", "is not a name")) == r"name: 'a\nb' is not a name"


def test_without_a_value_only_field_and_remedy_are_told() -> None:
    assert str(InvalidInputError("weights", None, "are empty")) == "weights: are empty"


def test_a_denial_begins_with_its_reason() -> None:
    error = DeniedError(DenialReason.PRICE_STALE, "price of BTC/EUR is 16 s old")

    assert str(error) == "PRICE_STALE: price of BTC/EUR is 16 s old"
    assert (error.reason, error.message) == (DenialReason.PRICE_STALE, "price of BTC/EUR is 16 s old")


def test_a_denial_reason_is_written_as_it_is_named() -> None:
    assert [reason.value for reason in DenialReason] == [reason.name for reason in DenialReason]


@pytest.mark.parametrize(
    "kind",
    [DeniedError, IllegalTransitionError, InvalidInputError, LeaseLostError, NotFoundError, VenueUnreachableError],
)
def test_every_error_of_ours_can_be_told_from_a_defect(kind: type[Exception]) -> None:
    assert issubclass(kind, RebalancerError)


def test_not_found_is_bad_input() -> None:
    assert issubclass(NotFoundError, InvalidInputError)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": Decimal(0)}, "threshold: '0' must be a number greater than 0"),
        ({"threshold": Decimal("NaN")}, "threshold: 'NaN' must be a number greater than 0"),
        ({"band": DriftBand(Decimal(0))}, "band: '0' must be above 0 and at most 100 percent"),
        ({"band": DriftBand(Decimal("100.1"))}, "band: '100.1' must be above 0 and at most 100 percent"),
        ({"band": DriftBand(Decimal("Infinity"))}, "band: 'Infinity' must be above 0 and at most 100 percent"),
        ({"max_orders": 0}, "max_orders: 0 must be at least 1"),
        ({"cash_reserve": Decimal(1)}, "cash_reserve: '1' must be a fraction from 0 to below 1"),
        ({"cash_reserve": Decimal("-0.01")}, "cash_reserve: '-0.01' must be a fraction from 0 to below 1"),
        ({"cash_reserve": Decimal("NaN")}, "cash_reserve: 'NaN' must be a fraction from 0 to below 1"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        RebalancePolicy(**changes)  # type: ignore[arg-type]
    assert str(refused.value) == message


@pytest.mark.parametrize("text", ["a", "Long-Term_2", "x" * 63])
def test_a_name_is_taken_as_it_is(text: str) -> None:
    assert parse_name(text, field="portfolio") == text


@pytest.mark.parametrize("text", ["", "-a", "a b", "x" * 64, "a/b", "a\n"])
def test_what_cannot_key_a_partition_is_no_name(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_name(text, field="portfolio")
    assert str(refused.value).startswith(f"portfolio: {text!r} is not a name; use up to 63")
