"""What a person writes about a portfolio, field by field."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from rebalancer_pipelines.application.portfolio_draft import FIELDS, PortfolioDraft
from rebalancer_pipelines.domain.calendar import RebalanceInterval
from rebalancer_pipelines.domain.drift import DriftBandKind
from rebalancer_pipelines.domain.errors import InvalidInputError


def read(**fields: Any) -> PortfolioDraft:
    return PortfolioDraft.read({"name": "core", "account": "main", "weights": "BTC=60,EUR=40", **fields})


def test_what_is_left_out_takes_its_default() -> None:
    draft = read()
    assert (draft.interval, draft.time_zone, draft.enabled) == (RebalanceInterval.WEEKLY, "UTC", False)
    assert (draft.policy.threshold, draft.policy.cash_reserve) == (Decimal(10), Decimal("0.01"))
    assert (draft.policy.band, draft.policy.max_orders) == (None, None)
    assert (draft.valuation_currency, draft.description) == ("EUR", "")


@pytest.mark.parametrize("field", sorted(set(FIELDS) - {"name", "account", "weights"}))
def test_null_is_the_same_as_left_out(field: str) -> None:
    assert read(**{field: None}) == read()


@pytest.mark.parametrize("missing", ["name", "account", "weights"])
def test_what_must_be_given(missing: str) -> None:
    with pytest.raises(InvalidInputError, match="is missing") as refused:
        read(**{missing: None})
    assert refused.value.field == missing


@pytest.mark.parametrize("number", ["12.50", 12, Decimal("12.5")])
def test_numbers_keep_their_digits(number: object) -> None:
    assert read(threshold=number).policy.threshold == Decimal(str(number))


def test_a_band_needs_no_kind_and_a_kind_needs_a_band() -> None:
    band = read(band="5").policy.band
    assert band is not None
    assert (band.width, band.kind) == (Decimal(5), DriftBandKind.ABSOLUTE)
    with pytest.raises(InvalidInputError, match="needs a band"):
        read(band_kind="absolute")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        # A float or a boolean has lost what was written before it gets here.
        ("threshold", 0.1),
        ("threshold", True),
        ("cash_reserve", 0.01),
        ("cash_reserve", "-0.01"),
        ("band", [5]),
        ("band", "100.01"),
        ("max_orders", True),
        ("max_orders", -1),
        ("max_orders", "three"),
        ("enabled", "yes"),
        ("enabled", 1),
        ("description", 7),
        ("interval", "fortnightly"),
        ("time_zone", "Mars"),
        ("valuation_currency", "E UR"),
        ("weights", 100),
        ("weights", []),
        ("name", "-core"),
        ("colour", "red"),
    ],
)
def test_a_bad_value_is_refused_by_its_field(field: str, value: object) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read(**{field: value})
    assert refused.value.field == field


def test_weights_of_a_document_name_each_currency_once() -> None:
    with pytest.raises(InvalidInputError, match="name each currency once"):
        read(weights={"BTC": "50", "btc": "50"})
    with pytest.raises(InvalidInputError) as refused:
        read(weights={"BTC": 0.5, "EUR": None})
    assert refused.value.field == "weights.BTC"
