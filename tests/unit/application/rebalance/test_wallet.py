"""What a portfolio can still pay for while its orders are on their way."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.application.rebalance.wallet import Wallet
from rebalancer_pipelines.domain.market import FeeSchedule
from rebalancer_pipelines.domain.order import Fill, LiquiditySide, Order, OrderSide, OrderState
from rebalancer_pipelines.domain.rebalance import WeighedPosition
from tests.support.builders import BTC, EUR, NOON, a_market

FEES = FeeSchedule(maker=Decimal("0.0025"), taker=Decimal("0.004"))


def a_position(currency: str, quantity: str, free: str | None = None) -> WeighedPosition:
    units = Decimal(quantity)
    zero = Decimal(0)
    return WeighedPosition(EUR if currency == "EUR" else BTC, units, Decimal(free or quantity), zero, zero, zero, zero)


def an_order(
    side: OrderSide = OrderSide.BUY, quantity: str = "1", *, price: str = "100", limit: str = "101", number: int = 1
) -> Order:
    return Order(
        id=UUID(int=number),
        rebalance_id=UUID(int=0),
        sequence=number,
        client_order_id=str(number),
        symbol="BTC/EUR",
        base_currency=BTC,
        quote_currency=EUR,
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(price),
        limit_price=Decimal(limit),
        state=OrderState.PLANNED,
    )


def filled(order: Order, quantity: str, price: str, fee: str) -> Order:
    units, cost = Decimal(quantity), Decimal(quantity) * Decimal(price)
    fill = Fill("t", units, Decimal(price), cost, Decimal(fee), EUR, LiquiditySide.TAKER, NOON)
    return replace(order, state=OrderState.FILLED, fills=(fill,))


def test_an_order_on_its_way_keeps_back_what_it_may_cost_at_its_limit() -> None:
    wallet = Wallet([a_position("EUR", "202.808")], FEES)
    first, second = an_order(number=1), an_order(number=2)
    wallet.send(first)
    assert wallet.covers(second)
    wallet.send(second)
    assert not wallet.covers(an_order(quantity="0.0001", number=3))


def test_a_settled_order_gives_back_what_it_did_not_need() -> None:
    wallet = Wallet([a_position("EUR", "150")], FEES)
    order = an_order()
    wallet.send(order)
    assert not wallet.covers(an_order(quantity="0.5", number=2))
    wallet.settle(filled(order, "0.5", "100", "0.2"))
    assert wallet.quantities == {EUR: Decimal("99.8"), BTC: Decimal("0.5")}
    assert wallet.covers(an_order(quantity="0.5", number=2))


def test_what_a_sell_brings_can_be_spent_only_once_it_is_settled() -> None:
    wallet = Wallet([a_position("BTC", "1"), a_position("EUR", "0")], FEES)
    sell = an_order(OrderSide.SELL, limit="99")
    assert wallet.covers(sell)
    wallet.send(sell)
    assert not wallet.covers(an_order(quantity="0.1", number=2))
    wallet.settle(filled(sell, "1", "100", "0.4"))
    assert wallet.covers(an_order(quantity="0.9", number=2))


def test_locked_cash_is_not_spent() -> None:
    wallet = Wallet([a_position("EUR", "1000", free="10")], FEES)
    assert not wallet.covers(an_order())
    assert wallet.covers(an_order(quantity="0.09"))


@pytest.mark.parametrize(
    ("cash", "quantity", "limit"),
    [("101.404", "1", "101"), ("101.403", "1", "100.9"), ("100.4", "1", "100.0"), ("100.3", "0.999", "100.0")],
)
def test_the_limit_gives_way_first_and_the_quantity_after_it(cash: str, quantity: str, limit: str) -> None:
    fitting = Wallet([a_position("EUR", cash)], FEES).fit(an_order(), a_market())
    assert fitting is not None
    assert (fitting.quantity, fitting.limit_price) == (Decimal(quantity), Decimal(limit))


def test_an_order_that_has_to_be_cut_leaves_the_reserve() -> None:
    wallet = Wallet([a_position("EUR", "100.4")], FEES, reserve=Decimal("20.08"))
    whole = wallet.fit(an_order(), a_market())
    assert whole is not None
    assert (whole.quantity, whole.limit_price) == (Decimal(1), Decimal(100))
    cut = wallet.fit(an_order(quantity="1.1"), a_market())
    assert cut is not None
    assert cut.quantity == Decimal("0.8")


def test_what_falls_below_the_minimum_is_not_sent() -> None:
    assert Wallet([a_position("EUR", "0.3")], FEES).fit(an_order(), a_market()) is None
    assert Wallet([a_position("EUR", "0")], FEES).fit(an_order(), a_market()) is None
    assert Wallet([], FEES).fit(an_order(), a_market()) is None


@given(
    cash=st.decimals("0", "100000", places=4),
    quantity=st.decimals("0.0001", "100", places=4),
    price=st.decimals("0.1", "5000", places=1),
    margin=st.decimals("0", "50", places=1),
)
def test_no_fill_within_its_limit_costs_more_than_there_is(
    cash: Decimal, quantity: Decimal, price: Decimal, margin: Decimal
) -> None:
    wallet = Wallet([a_position("EUR", str(cash))], FEES)
    order = an_order(quantity=str(quantity), price=str(price), limit=str(price + margin))
    fitting = wallet.fit(order, a_market())
    if fitting is None:
        return
    assert fitting.quantity <= order.quantity
    assert fitting.price <= fitting.limit_price <= order.limit_price
    assert fitting.quantity * fitting.limit_price * Decimal("1.004") <= cash
    wallet.send(fitting)
    assert wallet.fit(an_order(number=2, quantity="100", price=str(price), limit=str(price)), a_market()) is None or (
        cash - fitting.quantity * fitting.limit_price * Decimal("1.004") > 0
    )
