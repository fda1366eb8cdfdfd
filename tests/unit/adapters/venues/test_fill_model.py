from __future__ import annotations

from datetime import UTC, datetime
from decimal import Context, Decimal

from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.adapters.venues.paper.fill_model import Execution, Liquidity, fill_immediately
from rebalancer_pipelines.domain.market import Market, PriceMark
from rebalancer_pipelines.domain.order import OrderSide
from rebalancer_pipelines.domain.values import is_multiple
from tests.support.fixed_prices import a_market

BUY, SELL = OrderSide.BUY, OrderSide.SELL
MARKET = a_market(price_increment=Decimal("0.1"), size_increment=Decimal("0.01"))
LIQUID = Liquidity(hour_value=Decimal(1_000_000))
WIDE = Context(prec=120)


def mark(bid: str, ask: str) -> PriceMark:
    return PriceMark("BTC/EUR", Decimal(bid), Decimal(ask), "fixed", datetime(2026, 3, 2, tzinfo=UTC))


def filled(executions: tuple[Execution, ...]) -> Decimal:
    return sum((e.quantity for e in executions), Decimal(0))


def fill(side: OrderSide, quantity: str, limit: str, liquidity: Liquidity = LIQUID) -> tuple[Execution, ...]:
    return fill_immediately(
        side, Decimal(quantity), Decimal(limit), mark=mark("99.9", "100.0"), market=MARKET, liquidity=liquidity
    )


def test_what_the_touch_holds_fills_exactly_at_the_quote() -> None:
    # A thousandth of 1,000,000 EUR is 10 units at 100.
    assert fill(BUY, "10", "100.0") == (Execution(Decimal(10), Decimal("100.0")),)
    assert fill(SELL, "10", "99.9") == (Execution(Decimal(10), Decimal("99.9")),)


def test_behind_the_touch_the_price_worsens_with_the_value_taken() -> None:
    # 200 units behind the touch are 20,000 EUR, 2 % of the hour: they move the price by 0.2 %, half of them by 0.1 %.
    assert fill(BUY, "210", "101") == (
        Execution(Decimal(10), Decimal("100.0")),
        Execution(Decimal(100), Decimal("100.1")),
        Execution(Decimal(100), Decimal("100.2")),
    )


def test_prices_are_rounded_against_the_taker() -> None:
    # One unit behind the touch moves the price by 0.001: a whole tick for the taker.
    assert fill(BUY, "10.01", "101")[-1].price == Decimal("100.1")
    assert fill(SELL, "10.02", "99")[-1].price == Decimal("99.8")


def test_fills_as_far_as_the_limit_allows() -> None:
    # The limit of 0.1 above the ask is reached after 100 units behind the touch.
    assert filled(fill(BUY, "500", "100.1")) == Decimal(110)
    assert filled(fill(BUY, "500", "100.0")) == Decimal(10)
    assert fill(BUY, "500", "99.9") == ()
    assert fill(SELL, "500", "100.0") == ()


def test_a_market_that_traded_nothing_fills_nothing() -> None:
    assert fill(BUY, "1", "200", Liquidity(hour_value=Decimal(0))) == ()


def test_without_impact_everything_fills_at_the_quote() -> None:
    executions = fill(BUY, "5000", "100.0", Liquidity(Decimal(1_000_000), impact=Decimal(0)))
    assert {e.price for e in executions} == {Decimal("100.0")}
    assert filled(executions) == Decimal(5000)


grids = st.sampled_from(["1", "0.1", "0.01", "0.00001", "0.5"]).map(Decimal)


@st.composite
def orders(draw: st.DrawFn) -> tuple[OrderSide, Decimal, Decimal, PriceMark, Market, Liquidity]:
    tick, lot = draw(grids), draw(grids)
    bid_ticks = draw(st.integers(1, 10**6))
    ask_ticks = bid_ticks + draw(st.integers(1, 100))
    market = a_market(price_increment=tick, size_increment=lot)
    quote = mark(str(bid_ticks * tick), str(ask_ticks * tick))
    limit = tick * draw(st.integers(1, 2 * ask_ticks))
    hour_value = draw(st.decimals("0", "100000000", places=4))
    liquidity = Liquidity(hour_value, impact=draw(st.sampled_from(["0", "0.1", "0.3", "3"]).map(Decimal)))
    return draw(st.sampled_from(OrderSide)), lot * draw(st.integers(1, 10**9)), limit, quote, market, liquidity


@given(orders())
def test_every_fill_keeps_the_rules(
    order: tuple[OrderSide, Decimal, Decimal, PriceMark, Market, Liquidity],
) -> None:
    side, quantity, limit, quote, market, liquidity = order
    executions = fill_immediately(side, quantity, limit, mark=quote, market=market, liquidity=liquidity)
    sign = 1 if side is BUY else -1
    touch = quote.ask if side is BUY else quote.bid
    assert len(executions) <= 3
    assert 0 <= filled(executions) <= quantity
    for execution in executions:
        assert execution.quantity > 0
        assert execution.price > 0
        assert is_multiple(execution.quantity, market.size_increment)
        assert is_multiple(execution.price, market.price_increment)
        assert sign * touch <= sign * execution.price <= sign * limit
    prices = [sign * e.price for e in executions]
    assert prices == sorted(prices)


@given(orders())
def test_what_is_left_would_have_overstepped_the_limit(
    order: tuple[OrderSide, Decimal, Decimal, PriceMark, Market, Liquidity],
) -> None:
    """An order is cut short only where one size increment more would be worse than its limit."""
    side, quantity, limit, quote, market, liquidity = order
    sign = 1 if side is BUY else -1
    touch = quote.ask if side is BUY else quote.bid
    got = filled(fill_immediately(side, quantity, limit, mark=quote, market=market, liquidity=liquidity))
    if got == quantity or liquidity.hour_value == 0 or sign * touch > sign * limit:
        return
    at_touch = WIDE.divide(WIDE.multiply(liquidity.hour_value, liquidity.touch_share), touch)
    at_touch -= WIDE.remainder(at_touch, market.size_increment)
    more = WIDE.subtract(WIDE.add(got, market.size_increment), at_touch)
    moved = WIDE.divide(
        WIDE.multiply(WIDE.multiply(more, WIDE.multiply(touch, touch)), liquidity.impact), liquidity.hour_value
    )
    assert moved > abs(limit - touch)


@given(orders(), st.integers(1, 10**6))
def test_a_larger_order_never_fills_better(
    order: tuple[OrderSide, Decimal, Decimal, PriceMark, Market, Liquidity], more: int
) -> None:
    side, quantity, limit, quote, market, liquidity = order

    def total(size: Decimal) -> tuple[Decimal, Decimal]:
        executions = fill_immediately(side, size, limit, mark=quote, market=market, liquidity=liquidity)
        notional = sum((WIDE.multiply(e.quantity, e.price) for e in executions), Decimal(0))
        return filled(executions), notional

    (small, small_notional), (large, large_notional) = total(quantity), total(quantity + more * market.size_increment)
    assert small <= large
    touch = quote.ask if side is BUY else quote.bid
    # Worse than the quote by at least as much money, however the order is sliced.
    loss = abs(WIDE.subtract(large_notional, WIDE.multiply(large, touch)))
    assert loss >= abs(WIDE.subtract(small_notional, WIDE.multiply(small, touch))) or large == small
