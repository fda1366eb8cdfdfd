from __future__ import annotations

from decimal import Context, Decimal, localcontext
from uuid import UUID

import pytest

from rebalancer_pipelines.domain.errors import IllegalTransitionError
from rebalancer_pipelines.domain.order import (
    TRANSITIONS,
    Fill,
    LiquiditySide,
    Order,
    OrderSide,
    OrderState,
    check_transition,
    settled_state,
)
from tests.support.builders import BTC, EUR, NOON

LEGAL = {
    "PLANNED": "SENDING NETTED DENIED VOID",
    "NETTED": "REJECTED NOT_ACCEPTED DENIED VOID FILLED PARTIALLY_FILLED CANCELED EXPIRED",
    "SENDING": "OPEN REJECTED UNKNOWN FILLED PARTIALLY_FILLED CANCELED EXPIRED",
    "UNKNOWN": "OPEN NOT_ACCEPTED NEEDS_REVIEW FILLED PARTIALLY_FILLED CANCELED EXPIRED",
    "OPEN": "CANCELING NEEDS_REVIEW FILLED PARTIALLY_FILLED CANCELED EXPIRED",
    "CANCELING": "OPEN NEEDS_REVIEW FILLED PARTIALLY_FILLED CANCELED EXPIRED",
    "NEEDS_REVIEW": "OPEN NOT_ACCEPTED FILLED PARTIALLY_FILLED CANCELED EXPIRED",
}
"""The moves as they were decided, written down apart from the code."""


def a_fill(
    trade_id: str,
    quantity: str,
    price: str,
    fee: str = "0",
    fee_currency: str = "EUR",
    *,
    notional: str | None = None,
) -> Fill:
    return Fill(
        trade_id=trade_id,
        quantity=Decimal(quantity),
        price=Decimal(price),
        notional=Decimal(quantity) * Decimal(price) if notional is None else Decimal(notional),
        fee=Decimal(fee),
        fee_currency=EUR if fee_currency == "EUR" else BTC,
        liquidity_side=LiquiditySide.TAKER,
        executed_at=NOON,
    )


def an_order(*fills: Fill) -> Order:
    return Order(
        id=UUID(int=1),
        rebalance_id=UUID(int=2),
        sequence=0,
        client_order_id="one",
        symbol="BTC/EUR",
        base_currency=BTC,
        quote_currency=EUR,
        side=OrderSide.BUY,
        quantity=Decimal(3),
        price=Decimal(100),
        limit_price=Decimal(101),
        state=OrderState.OPEN,
        fills=fills,
    )


@pytest.mark.parametrize("target", OrderState)
@pytest.mark.parametrize("current", OrderState)
def test_an_order_moves_only_along_the_table(current: OrderState, target: OrderState) -> None:
    if target in LEGAL.get(current, "").split():
        check_transition(current, target)
    else:
        with pytest.raises(IllegalTransitionError, match=f"cannot move from {current} to {target}"):
            check_transition(current, target)


def test_the_table_knows_every_state() -> None:
    assert set(TRANSITIONS) == set(OrderState)


def test_states_without_a_way_on_are_terminal() -> None:
    assert {state.value for state in OrderState if not state.is_terminal} == set(LEGAL)


def test_an_order_that_may_be_at_the_venue_is_one_that_was_sent_and_has_not_ended() -> None:
    at_venue = {state.value for state in OrderState if state.may_be_at_venue}
    assert at_venue == set(LEGAL) - {"PLANNED", "NETTED"}


def test_fills_add_up_exactly_in_any_decimal_context() -> None:
    order = an_order(
        a_fill("a", "1.23456789", "100.01", "0.0049"),
        a_fill("b", "0.00000001", "99", "0.0001"),
        a_fill("c", "1", "98", "0.002", "BTC"),
    )

    with localcontext(Context(prec=2)):
        assert order.filled_quantity == Decimal("2.2345679")
        assert order.filled_notional == Decimal("221.4691356689")
        assert order.fees == {EUR: Decimal("0.005"), BTC: Decimal("0.002")}


def test_what_moved_is_what_the_venue_rounded_it_to_and_its_price_is_not_rounded() -> None:
    order = an_order(a_fill("a", "0.3", "33.3333", notional="10.00"), a_fill("b", "0.7", "1", notional="0.70"))

    assert order.filled_notional == Decimal("10.70")
    assert order.average_price == Decimal("10.69999")


def test_the_average_price_weighs_by_quantity() -> None:
    assert an_order(a_fill("a", "1", "100"), a_fill("b", "3", "104")).average_price == 103
    assert an_order().average_price is None


@pytest.mark.parametrize(
    ("filled", "state"),
    [
        ("0", OrderState.EXPIRED),
        ("0.1", OrderState.PARTIALLY_FILLED),
        ("3", OrderState.FILLED),
        ("4", OrderState.FILLED),
    ],
)
def test_an_order_ends_as_what_was_filled_of_it(filled: str, state: OrderState) -> None:
    assert settled_state(Decimal(3), Decimal(filled), OrderState.EXPIRED) is state
