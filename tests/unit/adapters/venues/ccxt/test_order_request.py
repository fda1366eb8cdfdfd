from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from rebalancer_pipelines.adapters.venues.ccxt.kraken.order_request import add_order, check_parameters
from rebalancer_pipelines.application.ports import OrderTicket
from rebalancer_pipelines.domain.order import OrderSide

TICKET = OrderTicket(
    client_order_id="6d1b345e-2821-40e2-ad83-4ecb18a06876",
    symbol="BTC/EUR",
    side=OrderSide.SELL,
    quantity=Decimal("0.01230000"),
    limit_price=Decimal("61234.50"),
    not_after=datetime(2026, 3, 2, 12, 0, 10, 123_999, tzinfo=UTC),
)


def test_an_order_is_written_as_kraken_takes_it() -> None:
    assert add_order(TICKET, "XXBTZEUR") == {
        "pair": "XXBTZEUR",
        "type": "sell",
        "ordertype": "limit",
        "price": "61234.5",
        "volume": "0.0123",
        "timeinforce": "IOC",
        "oflags": "fciq",
        "cl_ord_id": "6d1b345e-2821-40e2-ad83-4ecb18a06876",
        "deadline": "2026-03-02T12:00:10.123Z",
    }


@pytest.mark.parametrize(
    ("number", "text"),
    [("1E+5", "100000"), ("1E-10", "0.0000000001"), ("123456789012345.123456789", "123456789012345.123456789")],
)
def test_numbers_are_written_in_full(number: str, text: str) -> None:
    parameters = add_order(replace(TICKET, quantity=Decimal(number), limit_price=Decimal(number)), "X")
    assert (parameters["volume"], parameters["price"]) == (text, text)


def test_a_deadline_is_told_in_utc() -> None:
    ticket = replace(TICKET, not_after=datetime(2026, 3, 2, 13, tzinfo=timezone(timedelta(hours=1))))
    assert add_order(ticket, "X")["deadline"] == "2026-03-02T12:00:00.000Z"


@pytest.mark.parametrize("number", ["-0.01", "0", "-0", "NaN", "Infinity"])
@pytest.mark.parametrize("field", ["quantity", "limit_price"])
def test_no_other_amount_can_leave(field: str, number: str) -> None:
    with pytest.raises(AssertionError):
        add_order(replace(TICKET, **{field: Decimal(number)}), "X")


def test_no_order_leaves_that_is_only_to_be_checked() -> None:
    with pytest.raises(AssertionError):
        check_parameters({"price": "1", "volume": "1", "validate": "false"})
