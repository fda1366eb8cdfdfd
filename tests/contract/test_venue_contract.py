"""What every venue promises, whatever stands behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from rebalancer_pipelines.adapters.venues.paper.venue import PaperVenue
from rebalancer_pipelines.adapters.venues.registry import VenueRegistry
from rebalancer_pipelines.application.ports import Accepted, OrderTicket, Rejected, Venue
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.market import MarketStatus, PriceMark
from rebalancer_pipelines.domain.order import OrderSide, OrderState
from rebalancer_pipelines.domain.values import Currency
from tests.support.fake_venue import FakeVenue
from tests.support.fixed_prices import FixedPrices, a_market
from tests.support.manual_clock import ManualClock

BTC, EUR = Currency("BTC"), Currency("EUR")
BID, ASK = Decimal("29990.0"), Decimal("30000.0")
DEPOSIT = Decimal(1000)


@dataclass
class Bench:
    """A venue with 1,000 EUR and 0.02 BTC on it, and what a test may turn."""

    venue: Venue
    prices: FixedPrices
    clock: ManualClock
    fill_next: Callable[[Decimal], None]

    def ticket(self, side: OrderSide = OrderSide.BUY, **changes: object) -> OrderTicket:
        fields = {
            "client_order_id": "order-1",
            "symbol": "BTC/EUR",
            "side": side,
            "quantity": Decimal("0.01"),
            "limit_price": ASK if side is OrderSide.BUY else BID,
            "not_after": self.clock.now() + timedelta(seconds=10),
        }
        return OrderTicket(**{**fields, **changes})  # type: ignore[arg-type]

    def totals(self) -> dict[Currency, Decimal]:
        return {currency: holding.total for currency, holding in self.venue.balances().items()}


@pytest.fixture(params=["fake", "paper"])
def bench(request: pytest.FixtureRequest, clock: ManualClock) -> Bench:
    prices = FixedPrices(clock, a_market(), a_market("ETH/EUR"))
    prices.quote("BTC/EUR", BID, ASK)
    if request.param == "fake":
        fake = FakeVenue(clock, prices, balances={"EUR": DEPOSIT, "BTC": "0.02"})
        return Bench(fake, prices, clock, fake.fill_next)
    return _paper_bench(request, clock, prices)


def _paper_bench(request: pytest.FixtureRequest, clock: ManualClock, prices: FixedPrices) -> Bench:
    engine: Engine = request.getfixturevalue("engine")
    account = request.getfixturevalue("account")
    VenueRegistry(engine, clock).fund(account, {EUR: DEPOSIT, BTC: Decimal("0.02")})
    hour_values: list[Decimal] = []

    def traded_value(_: PriceMark) -> Decimal | None:
        return hour_values.pop() if hour_values else None

    def fill_next(quantity: Decimal) -> None:
        # The touch holds a thousandth of what is traded in the hour, and a limit at the touch takes no more.
        hour_values.append(quantity * ASK * 1000)

    return Bench(PaperVenue(engine, account.id, prices, clock, traded_value=traded_value), prices, clock, fill_next)


def test_shows_what_was_deposited(bench: Bench) -> None:
    holdings = bench.venue.balances()
    assert {c: (h.total, h.free) for c, h in holdings.items()} == {
        EUR: (DEPOSIT, DEPOSIT),
        BTC: (Decimal("0.02"), Decimal("0.02")),
    }


def test_quotes_and_lists_what_its_price_source_does(bench: Bench) -> None:
    assert set(bench.venue.markets()) == {"BTC/EUR", "ETH/EUR"}
    marks = bench.venue.prices(["BTC/EUR", "ETH/EUR", "XMR/EUR"])
    assert {symbol: (mark.bid, mark.ask) for symbol, mark in marks.items()} == {"BTC/EUR": (BID, ASK)}
    assert bench.venue.price_source == "fixed"
    assert bench.venue.fees().taker == Decimal("0.004")
    assert bench.venue.visibility_lag == timedelta(0)


def test_a_small_buy_fills_exactly_at_the_ask(bench: Bench) -> None:
    answer = bench.venue.submit(bench.ticket(OrderSide.BUY))
    assert isinstance(answer, Accepted)
    found = bench.venue.find("order-1")
    assert found is not None
    assert (found.venue_order_id, found.client_order_id) == (answer.venue_order_id, "order-1")
    assert found.closed_as is OrderState.FILLED
    (fill,) = found.fills
    assert (fill.quantity, fill.price) == (Decimal("0.01"), ASK)
    assert (fill.fee, fill.fee_currency) == (Decimal("1.2"), EUR)
    assert fill.executed_at == bench.clock.now()
    assert bench.totals() == {EUR: Decimal("698.8"), BTC: Decimal("0.03")}


def test_a_small_sell_fills_exactly_at_the_bid(bench: Bench) -> None:
    assert isinstance(bench.venue.submit(bench.ticket(OrderSide.SELL)), Accepted)
    found = bench.venue.find("order-1")
    assert found is not None
    (fill,) = found.fills
    assert (fill.quantity, fill.price, fill.fee) == (Decimal("0.01"), BID, Decimal("1.1996"))
    assert bench.totals() == {EUR: Decimal("1298.7004"), BTC: Decimal("0.01")}


def test_a_limit_out_of_reach_trades_nothing(bench: Bench) -> None:
    before = bench.totals()
    assert isinstance(bench.venue.submit(bench.ticket(limit_price=ASK - Decimal("0.1"))), Accepted)
    found = bench.venue.find("order-1")
    assert found is not None
    assert (found.fills, found.closed_as) == ((), OrderState.CANCELED)
    assert found.reason
    assert bench.totals() == before


def test_a_partial_fill_cancels_the_rest(bench: Bench) -> None:
    bench.fill_next(Decimal("0.004"))
    assert isinstance(bench.venue.submit(bench.ticket()), Accepted)
    found = bench.venue.find("order-1")
    assert found is not None
    assert [fill.quantity for fill in found.fills] == [Decimal("0.004")]
    assert found.closed_as is OrderState.PARTIALLY_FILLED
    assert bench.totals() == {EUR: Decimal("879.52"), BTC: Decimal("0.024")}


def test_an_unknown_id_is_not_found(bench: Bench) -> None:
    bench.venue.submit(bench.ticket())
    assert bench.venue.find("order-2") is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"symbol": "XMR/EUR"}, "EQuery:Unknown asset pair"),
        ({"symbol": "ETH/EUR"}, "EService:Market in cancel_only mode: it has no price at this moment"),
        ({"quantity": Decimal("0.00004")}, "EOrder:Order minimum not met"),
        ({"quantity": Decimal("0.0001"), "limit_price": Decimal("4499.9")}, "EOrder:Cost minimum not met"),
        ({"quantity": Decimal("0.000000011")}, "EGeneral:Invalid arguments:volume"),
        ({"quantity": Decimal(0)}, "EGeneral:Invalid arguments:volume"),
        ({"quantity": Decimal("-0.01")}, "EGeneral:Invalid arguments:volume"),
        ({"quantity": Decimal("NaN")}, "EGeneral:Invalid arguments:volume"),
        ({"quantity": Decimal("Infinity")}, "EGeneral:Invalid arguments:volume"),
        ({"limit_price": Decimal("30000.05")}, "EOrder:Tick size check failed"),
        ({"limit_price": Decimal("-30000")}, "EGeneral:Invalid arguments:price"),
        ({"limit_price": Decimal("NaN")}, "EGeneral:Invalid arguments:price"),
        ({"client_order_id": "longer than eighteen"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"quantity": Decimal("0.04")}, "EOrder:Insufficient funds"),
        ({"side": OrderSide.SELL, "quantity": Decimal("0.02000001")}, "EOrder:Insufficient funds"),
    ],
)
def test_refuses_in_krakens_words_and_keeps_nothing(bench: Bench, changes: dict[str, object], reason: str) -> None:
    before = bench.totals()
    ticket = bench.ticket(**changes)  # type: ignore[arg-type]
    assert bench.venue.submit(ticket) == Rejected(reason)
    assert bench.venue.find(ticket.client_order_id) is None
    assert bench.totals() == before


@pytest.mark.parametrize("status", [status for status in MarketStatus if status is not MarketStatus.ONLINE])
def test_refuses_orders_while_the_market_is_not_online(bench: Bench, status: MarketStatus) -> None:
    bench.prices.set_status("BTC/EUR", status)
    assert bench.venue.submit(bench.ticket()) == Rejected(f"EService:Market in {status.value} mode")


def test_money_for_the_fee_must_be_there_too(bench: Bench) -> None:
    # 1,000 EUR pay for 0.0332 BTC at 30,000 with the fee of 0.4 %, and not for a satoshi more.
    most = Decimal("0.03320053")
    assert bench.venue.submit(bench.ticket(quantity=most + Decimal("0.00000001"))) == Rejected(
        "EOrder:Insufficient funds"
    )
    assert isinstance(bench.venue.submit(bench.ticket(quantity=most)), Accepted)
    assert bench.totals()[EUR] >= 0


def test_a_deadline_holds_to_the_moment(bench: Bench) -> None:
    ticket = bench.ticket(client_order_id="in-time")
    bench.clock.sleep(timedelta(seconds=10))
    assert isinstance(bench.venue.submit(ticket), Accepted)
    late = bench.ticket(client_order_id="late", not_after=bench.clock.now() - timedelta(microseconds=1))
    assert bench.venue.submit(late) == Rejected("EService:Deadline elapsed")
    assert bench.venue.find("late") is None


def test_a_client_id_does_not_protect_against_sending_twice(bench: Bench) -> None:
    """As at Kraken: the first order is closed when the second arrives, so both trade."""
    first, second = bench.venue.submit(bench.ticket()), bench.venue.submit(bench.ticket())
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert first != second
    assert bench.totals()[BTC] == Decimal("0.04")
    found = bench.venue.find("order-1")
    assert found is not None
    assert found.venue_order_id == second.venue_order_id


def test_the_same_trades_are_shown_every_time(bench: Bench) -> None:
    bench.venue.submit(bench.ticket())
    assert bench.venue.find("order-1") == bench.venue.find("order-1")


def test_trade_ids_differ_between_orders(bench: Bench) -> None:
    seen: list[str] = []
    for number in range(3):
        bench.venue.submit(bench.ticket(client_order_id=f"order-{number}", quantity=Decimal("0.001")))
        found = bench.venue.find(f"order-{number}")
        assert found is not None
        seen.extend(fill.trade_id for fill in found.fills)
    assert len(set(seen)) == len(seen) == 3


def test_never_takes_an_unreadable_source_for_an_empty_one(bench: Bench) -> None:
    bench.prices.unreachable = True
    with pytest.raises(VenueUnreachableError):
        bench.venue.prices(["BTC/EUR"])
    with pytest.raises(VenueUnreachableError):
        bench.venue.markets()


def test_an_order_that_cannot_be_priced_is_refused_not_raised(bench: Bench) -> None:
    bench.prices.unreachable = True
    answer = bench.venue.submit(bench.ticket())
    bench.prices.unreachable = False
    assert answer == Rejected("EService:Unavailable (the fixed prices are switched off)")
    assert bench.venue.find("order-1") is None
