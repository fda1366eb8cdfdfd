"""Netting inside an account: nothing is made or lost, nobody trades more than it wanted or spends what it has not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.domain.netting import Crossing, net, share_out, split_fill, within_cash
from rebalancer_pipelines.domain.order import Fill, LiquiditySide, Order, OrderSide, OrderState
from rebalancer_pipelines.domain.values import Currency, exact_sum

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
STEP = Decimal("0.0001")
BUY, SELL = OrderSide.BUY, OrderSide.SELL


def an_order(number: int, side: OrderSide, quantity: str | Decimal, symbol: str = "BTC/EUR") -> Order:
    base, quote = symbol.split("/")
    return Order(
        id=UUID(int=number),
        rebalance_id=UUID(int=1000 + number % 7),
        sequence=number,
        client_order_id=f"order-{number}",
        symbol=symbol,
        base_currency=Currency(base),
        quote_currency=Currency(quote),
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(100),
        limit_price=Decimal(101),
        state=OrderState.PLANNED,
    )


def a_fill(quantity: str | Decimal, *, notional: str | Decimal = "12.34", fee: str | Decimal = "0.05") -> Fill:
    return Fill(
        trade_id="T1",
        quantity=Decimal(quantity),
        price=Decimal(100),
        notional=Decimal(notional),
        fee=Decimal(fee),
        fee_currency=Currency("EUR"),
        liquidity_side=LiquiditySide.TAKER,
        executed_at=NOON,
    )


steps = st.integers(1, 10**7).map(lambda units: units * STEP)
sides = st.sampled_from(list(OrderSide))


@st.composite
def markets(draw: st.DrawFn, *, symbols: Sequence[str] = ("BTC/EUR",)) -> list[Order]:
    count = draw(st.integers(1, 12))
    return [an_order(number, draw(sides), draw(steps), draw(st.sampled_from(list(symbols)))) for number in range(count)]


def test_the_smaller_side_crosses_whole_and_the_larger_shares_by_quantity() -> None:
    orders = [an_order(1, SELL, "3"), an_order(2, BUY, "1"), an_order(3, BUY, "8")]
    netted = net(orders, STEP)
    assert netted.crossed == {UUID(int=1): 3, UUID(int=2): Decimal("0.3333"), UUID(int=3): Decimal("2.6667")}
    assert netted.side is BUY
    assert netted.left == {UUID(int=2): Decimal("0.6667"), UUID(int=3): Decimal("5.3333")}


def test_sides_that_are_equal_leave_nothing_for_the_venue() -> None:
    netted = net([an_order(1, SELL, "2"), an_order(2, BUY, "2")], STEP)
    assert (netted.side, netted.left) == (None, {})


def test_one_side_alone_crosses_with_nobody() -> None:
    netted = net([an_order(1, SELL, "2"), an_order(2, SELL, "1")], STEP)
    assert netted.crossed == {}
    assert (netted.side, netted.left) == (SELL, {UUID(int=1): 2, UUID(int=2): 1})


@given(markets())
def test_what_crosses_is_equal_on_both_sides_and_what_is_left_is_the_net(orders: list[Order]) -> None:
    netted = net(orders, STEP)
    by_side = {
        side: exact_sum(q for o in orders if o.side is side for q in [netted.crossed.get(o.id, Decimal(0))])
        for side in OrderSide
    }
    assert by_side[BUY] == by_side[SELL]
    signed = exact_sum(o.quantity if o.side is BUY else -o.quantity for o in orders)
    left = exact_sum(netted.left.values())
    assert (left if netted.side is BUY else -left) == signed
    for order in orders:
        crossed, rest = netted.crossed.get(order.id, Decimal(0)), netted.left.get(order.id, Decimal(0))
        assert crossed + rest == order.quantity
        assert crossed % STEP == 0


@given(st.dictionaries(st.integers(), steps, min_size=1, max_size=20), st.data())
def test_sharing_out_gives_all_and_nobody_more_than_its_weight(
    weights: dict[int, Decimal], data: st.DataObject
) -> None:
    most = int(exact_sum(weights.values()) / STEP)
    amount = data.draw(st.integers(0, most)) * STEP
    shares = share_out(amount, weights, STEP)
    assert exact_sum(shares.values()) == amount
    total = exact_sum(weights.values())
    for key, weight in weights.items():
        assert 0 <= shares[key] <= weight
        assert abs(shares[key] - amount * weight / total) < STEP * Decimal("1.000001")


def test_a_negative_amount_such_as_a_rebate_is_shared_out_too() -> None:
    shares = share_out(Decimal("-0.05"), {1: Decimal(1), 2: Decimal(2)}, Decimal("0.01"))
    assert shares == {1: Decimal("-0.02"), 2: Decimal("-0.03")}


@given(markets(symbols=("BTC/EUR", "ETH/EUR", "SOL/EUR")), st.lists(st.integers(0, 10**6), min_size=7, max_size=7))
def test_no_buyer_pays_more_than_it_has_and_both_sides_stay_equal(orders: list[Order], purses: list[int]) -> None:
    mids = {"BTC/EUR": Decimal("100.05"), "ETH/EUR": Decimal("7.125"), "SOL/EUR": Decimal("0.9")}
    crossings: list[Crossing] = []
    for symbol, mid in mids.items():
        of_market = [order for order in orders if order.symbol == symbol]
        crossed = net(of_market, STEP).crossed if of_market else {}
        crossings += [Crossing(order, crossed[order.id], mid) for order in of_market if order.id in crossed]
    cash = {UUID(int=1000 + place): Decimal(purse) for place, purse in enumerate(purses)}
    kept = within_cash(crossings, cash, dict.fromkeys(mids, STEP))

    purse = dict(cash)
    for crossing in kept:
        signed = crossing.notional if crossing.order.side is SELL else -crossing.notional
        assert crossing.order.rebalance_id is not None
        purse[crossing.order.rebalance_id] += signed
    assert all(amount >= 0 for amount in purse.values())
    assert exact_sum(purse.values()) == exact_sum(cash.values())
    for symbol in mids:
        for_side = {
            side: exact_sum(c.quantity for c in kept if c.order.symbol == symbol and c.order.side is side)
            for side in OrderSide
        }
        assert for_side[BUY] == for_side[SELL]
    wanted = {crossing.order.id: crossing.quantity for crossing in crossings}
    assert all(0 < crossing.quantity <= wanted[crossing.order.id] for crossing in kept)


def test_two_that_want_each_others_units_need_no_cash() -> None:
    orders = [
        an_order(1, SELL, "1", "BTC/EUR"),
        an_order(2, BUY, "1", "BTC/EUR"),
        replace(an_order(3, SELL, "10", "ETH/EUR"), rebalance_id=UUID(int=1002)),
        replace(an_order(4, BUY, "10", "ETH/EUR"), rebalance_id=UUID(int=1001)),
    ]
    crossings = [Crossing(o, o.quantity, Decimal(100 if o.symbol == "BTC/EUR" else 10)) for o in orders]
    assert within_cash(crossings, {}, {"BTC/EUR": STEP, "ETH/EUR": STEP}) == crossings


@given(
    st.lists(steps, min_size=1, max_size=12),
    st.integers(1, 10**9),
    st.integers(-(10**6), 10**6),
    st.lists(st.integers(1, 10**6), min_size=1, max_size=4),
)
def test_fills_of_a_net_order_are_split_to_the_last_digit(
    quantities: list[Decimal], cents: int, fee_cents: int, cuts: list[int]
) -> None:
    riders = [
        replace(an_order(number, BUY, quantity + 1), netted_quantity=quantity)
        for number, quantity in enumerate(quantities)
    ]
    for number, cut in enumerate(cuts):
        left = exact_sum(rider.quantity - 1 - rider.filled_quantity for rider in riders)
        quantity = (left * cut / 10**6).quantize(Decimal("0.00000001"))
        if not 0 < quantity <= left:
            continue
        fill = replace(
            a_fill(quantity, notional=Decimal(cents).scaleb(-2), fee=Decimal(fee_cents).scaleb(-4)),
            trade_id=f"T{number}",
        )
        parts = split_fill(fill, riders)
        assert exact_sum(part.quantity for part in parts.values()) == fill.quantity
        assert exact_sum(part.notional for part in parts.values()) == fill.notional
        assert exact_sum(part.fee for part in parts.values()) == fill.fee
        assert len({part.trade_id for part in parts.values()}) == len(parts)
        riders = [
            replace(rider, fills=(*rider.fills, parts[rider.id])) if rider.id in parts else rider for rider in riders
        ]
        assert all(rider.filled_quantity <= rider.quantity - 1 for rider in riders)
        assert all(part.quantity > 0 for part in parts.values())
