"""The JSON that other programs rely on."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from rebalancer_pipelines.application.documents import (
    error_document,
    moment,
    number,
    orders_of_record,
    plan_document,
)
from rebalancer_pipelines.domain.errors import (
    DenialReason,
    DeniedError,
    InvalidInputError,
    VenueUnreachableError,
)
from tests.support.builders import BTC, ETH, EUR, Situation, a_holding, a_market, a_portfolio, a_price, no_fees


def a_situation() -> Situation:
    return Situation(
        portfolio=a_portfolio("BTC=50,ETH=0,EUR=50"),
        holdings={EUR: a_holding(1000), ETH: a_holding("0.001")},
        prices={"BTC/EUR": a_price("BTC/EUR", 100, "100.2"), "ETH/EUR": a_price("ETH/EUR", 10)},
        markets={"BTC/EUR": a_market("BTC/EUR"), "ETH/EUR": a_market("ETH/EUR")},
        fees=no_fees(),
    )


@pytest.mark.parametrize(
    ("decimal", "text"),
    [("1E+3", "1000"), ("1.500", "1.5"), ("1E-9", "0.000000001"), ("-0", "0"), ("0.00", "0"), ("-2.50", "-2.5")],
)
def test_decimals_are_written_in_full(decimal: str, text: str) -> None:
    assert number(Decimal(decimal)) == text


def test_nothing_stays_nothing() -> None:
    assert (number(None), moment(None)) == (None, None)


def test_times_are_in_utc() -> None:
    berlin = timezone(timedelta(hours=2))
    assert moment(datetime(2026, 7, 1, 1, 30, tzinfo=berlin)) == "2026-06-30T23:30:00+00:00"


def test_a_plan_keeps_every_digit_as_text() -> None:
    situation = a_situation()
    plan = situation.plan()
    document = plan_document("core", plan, situation.prices)
    assert json.loads(json.dumps(document)) == document
    (order,) = document["orders"]
    (planned,) = plan.orders
    assert (order["market"], order["side"]) == ("BTC/EUR", "buy")
    assert [Decimal(order[key]) for key in ("quantity", "price", "notional", "fee")] == [
        planned.quantity,
        planned.price,
        planned.notional,
        planned.fee,
    ]
    assert not any(isinstance(value, float) for value in _leaves(document))
    assert document["recorded_at"] is None


def test_a_record_lists_orders_and_then_who_was_left_alone_but_for_cash() -> None:
    situation = a_situation()
    document = plan_document("core", situation.plan(), situation.prices)
    assert {skipped["currency"] for skipped in document["skipped"]} == {ETH, EUR}
    assert BTC not in {skipped["currency"] for skipped in document["skipped"]}
    (left_alone,) = orders_of_record(document, [])
    assert (left_alone["state"], left_alone["market"], left_alone["quantity"]) == ("SKIPPED", "ETH/EUR", "0")
    assert left_alone["reason"].partition(": ")[2]
    assert orders_of_record(None, []) == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DeniedError(DenialReason.BOOKS_DIFFER, "EUR +1"), {"code": "BOOKS_DIFFER", "message": "EUR +1"}),
        (VenueUnreachableError("no answer"), {"code": "VenueUnreachable", "message": "no answer"}),
        (InvalidInputError("name", "x", "is bad"), {"code": "InvalidInput", "message": "name: 'x' is bad"}),
        (KeyboardInterrupt(), {"code": "INTERRUPTED", "message": "the run was stopped from outside"}),
    ],
)
def test_errors_of_ours_are_told(error: BaseException, expected: dict[str, Any]) -> None:
    assert error_document(error) == expected


def test_the_words_of_an_unforeseen_error_stay_out_of_history() -> None:
    document = error_document(ValueError("postgresql://me:s3cret-word@host/books"))
    assert document["code"] == "UNEXPECTED"
    assert "ValueError" in document["message"]
    assert "s3cret-word" not in document["message"]


def _leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in _leaves(part)]
    if isinstance(value, list):
        return [leaf for part in value for leaf in _leaves(part)]
    return [value]
