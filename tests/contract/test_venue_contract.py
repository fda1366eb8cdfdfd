"""What every venue promises, whatever stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from rebalancer_pipelines.adapters.venues.paper.venue import PaperVenue
from rebalancer_pipelines.adapters.venues.registry import VenueRegistry
from rebalancer_pipelines.application.ports import (
    Accepted,
    Acknowledgement,
    OrderTicket,
    Rejected,
    Unclear,
    Venue,
    VenueOrder,
    Withheld,
)
from rebalancer_pipelines.domain.account_settings import AccountSettings
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, LeaseLostError, VenueUnreachableError
from rebalancer_pipelines.domain.market import MarketStatus, PriceMark
from rebalancer_pipelines.domain.order import OrderSide, OrderState
from rebalancer_pipelines.domain.values import Currency
from tests.support.builders import a_reference, cleared
from tests.support.fake_venue import FakeVenue
from tests.support.fixed_prices import FixedPrices, a_market
from tests.support.kraken_account import KrakenAccount
from tests.support.kraken_double import KrakenDouble, Status, kraken_double
from tests.support.manual_clock import ManualClock

BTC, EUR = Currency("BTC"), Currency("EUR")
BID, ASK = Decimal("29990.0"), Decimal("30000.0")
DEPOSIT = Decimal(1000)


class DoublePrices:
    """What `FixedPrices` lets a test turn, turned at Kraken's double."""

    name = "live (kraken)"

    def __init__(self, double: KrakenDouble) -> None:
        self._double = double

    def set_status(self, symbol: str, status: MarketStatus) -> None:
        self._double.set_status(symbol, status.value)

    @property
    def unreachable(self) -> bool:
        return False

    @unreachable.setter
    def unreachable(self, is_away: bool) -> None:
        self._double.clear_faults()
        if is_away:
            self._double.inject("*", Status(503, done=False), times=None)


@dataclass
class Bench:
    """A venue with 1,000 EUR and 0.02 BTC on it, and what a test may turn."""

    venue: Venue
    prices: FixedPrices | DoublePrices
    clock: ManualClock
    fill_next: Callable[[Decimal], None]
    double: KrakenDouble | None = None

    def has_taken(self, ticket: OrderTicket) -> bool:
        """Whether the order is at the venue, asked from outside: while an order leaves, its key can do nothing else."""
        if self.double is None:
            return self.find(ticket) is not None
        return any(order.cl_ord_id == ticket.client_order_id for order in self.double.orders)

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

    def send(self, ticket: OrderTicket) -> Acknowledgement:
        return self.venue.submit(ticket, cleared)

    def find(self, ticket: OrderTicket) -> VenueOrder | None:
        return self.venue.find([a_reference(ticket)]).get(ticket.client_order_id)

    def totals(self) -> dict[Currency, Decimal]:
        return {currency: holding.total for currency, holding in self.venue.balances().items()}


@pytest.fixture(params=["fake", "paper", "kraken"])
def bench(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Bench]:
    if request.param == "kraken":
        engine: Engine = request.getfixturevalue("engine")
        balances = {"EUR": f"{DEPOSIT}", "BTC": "0.02"}
        with kraken_double(clock=clock, balances=balances, listed={"BTC/EUR", "ETH/EUR"}) as double:
            double.quote("BTC/EUR", BID, ASK)
            double.quote("ETH/EUR", None, None)
            account = KrakenAccount(engine, clock, double, AccountSettings(hold=timedelta(0)))
            yield Bench(account.venue, DoublePrices(double), clock, double.fill_next, double)
        return
    yield _bench_in_memory_or_on_paper(request, clock)


def _bench_in_memory_or_on_paper(request: pytest.FixtureRequest, clock: ManualClock) -> Bench:
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
    assert bench.venue.price_source == bench.prices.name
    assert bench.venue.fees(["BTC/EUR", "ETH/EUR"]).taker == Decimal("0.004")
    assert bench.venue.visibility_lag == timedelta(0)


def test_a_small_buy_fills_exactly_at_the_ask(bench: Bench) -> None:
    ticket = bench.ticket(OrderSide.BUY)
    answer = bench.send(ticket)
    assert isinstance(answer, Accepted)
    found = bench.find(ticket)
    assert found is not None
    assert (found.venue_order_id, found.client_order_id) == (answer.venue_order_id, "order-1")
    assert found.closed_as is OrderState.FILLED
    assert (found.awaits_fills, found.contradiction) == (False, None)
    (fill,) = found.fills
    assert (fill.quantity, fill.price, fill.notional) == (Decimal("0.01"), ASK, Decimal(300))
    assert (fill.fee, fill.fee_currency) == (Decimal("1.2"), EUR)
    assert fill.executed_at == bench.clock.now()
    assert bench.totals() == {EUR: Decimal("698.8"), BTC: Decimal("0.03")}


def test_a_small_sell_fills_exactly_at_the_bid(bench: Bench) -> None:
    ticket = bench.ticket(OrderSide.SELL)
    assert isinstance(bench.send(ticket), Accepted)
    found = bench.find(ticket)
    assert found is not None
    (fill,) = found.fills
    assert (fill.quantity, fill.price) == (Decimal("0.01"), BID)
    assert (fill.notional, fill.fee) == (Decimal("299.9"), Decimal("1.1996"))
    assert bench.totals() == {EUR: Decimal("1298.7004"), BTC: Decimal("0.01")}


def test_a_limit_out_of_reach_trades_nothing(bench: Bench) -> None:
    before = bench.totals()
    ticket = bench.ticket(limit_price=ASK - Decimal("0.1"))
    assert isinstance(bench.send(ticket), Accepted)
    found = bench.find(ticket)
    assert found is not None
    assert (found.fills, found.closed_as) == ((), OrderState.CANCELED)
    assert found.reason
    assert bench.totals() == before


def test_a_partial_fill_cancels_the_rest(bench: Bench) -> None:
    bench.fill_next(Decimal("0.004"))
    assert isinstance(bench.send(bench.ticket()), Accepted)
    found = bench.find(bench.ticket())
    assert found is not None
    assert [fill.quantity for fill in found.fills] == [Decimal("0.004")]
    assert found.closed_as is OrderState.PARTIALLY_FILLED
    assert bench.totals() == {EUR: Decimal("879.52"), BTC: Decimal("0.024")}


def test_orders_are_looked_up_together_and_those_that_are_not_there_are_absent(bench: Bench) -> None:
    tickets = [bench.ticket(client_order_id=f"order-{number}", quantity=Decimal("0.001")) for number in range(3)]
    answers = {ticket.client_order_id: bench.send(ticket) for ticket in tickets[:2]}
    found = bench.venue.find([a_reference(ticket) for ticket in tickets[::-1]])
    assert {order_id: Accepted(order.venue_order_id) for order_id, order in found.items()} == answers
    assert all(order.client_order_id == order_id for order_id, order in found.items())
    assert len({fill.trade_id for order in found.values() for fill in order.fills}) == 2
    assert bench.venue.find([]) == {}


def test_what_clearance_refuses_never_leaves(bench: Bench) -> None:
    denial = DeniedError(DenialReason.KILLED, "everything is stopped")
    before, ticket = bench.totals(), bench.ticket()

    def refuse() -> None:
        raise denial

    assert bench.venue.submit(ticket, refuse) == Withheld(denial)
    assert bench.find(ticket) is None
    assert bench.totals() == before


def test_an_order_whose_clearance_fails_never_leaves_either(bench: Bench) -> None:
    before, ticket = bench.totals(), bench.ticket()

    def fail() -> None:
        raise LeaseLostError("another worker holds the account now")

    with pytest.raises(LeaseLostError):
        bench.venue.submit(ticket, fail)
    assert bench.find(ticket) is None
    assert bench.totals() == before


def test_clearance_is_asked_once_and_before_anything_is_taken(bench: Bench) -> None:
    seen: list[bool] = []
    ticket = bench.ticket()
    assert isinstance(bench.venue.submit(ticket, lambda: seen.append(bench.has_taken(ticket))), Accepted)
    assert seen == [False]
    assert bench.has_taken(ticket)


def test_cancelling_what_is_closed_or_was_never_there_changes_nothing(bench: Bench) -> None:
    sent, never_sent = bench.ticket(), bench.ticket(client_order_id="order-2")
    answer = bench.send(sent)
    assert isinstance(answer, Accepted)
    before, found = bench.totals(), bench.find(sent)
    bench.venue.cancel(a_reference(sent, answer.venue_order_id))
    bench.venue.cancel(a_reference(never_sent))
    assert bench.find(sent) == found
    assert bench.find(never_sent) is None
    assert bench.totals() == before


def test_its_clock_is_ours_and_its_key_is_harmless(bench: Bench) -> None:
    assert bench.venue.clock_skew() == timedelta(0)
    permissions = bench.venue.key_permissions()
    assert (permissions.can_withdraw, permissions.missing) == (False, ())


def test_its_ledger_has_nothing_of_what_is_still_to_come(bench: Bench) -> None:
    bench.send(bench.ticket())
    assert list(bench.venue.movements(bench.clock.now() + timedelta(seconds=1))) == []


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
    assert bench.send(ticket) == Rejected(reason)
    assert bench.find(ticket) is None
    assert bench.totals() == before


@pytest.mark.parametrize("status", [status for status in MarketStatus if status is not MarketStatus.ONLINE])
def test_refuses_orders_while_the_market_is_not_online(bench: Bench, status: MarketStatus) -> None:
    bench.prices.set_status("BTC/EUR", status)
    assert bench.send(bench.ticket()) == Rejected(f"EService:Market in {status.value} mode")


def test_money_for_the_fee_must_be_there_too(bench: Bench) -> None:
    # 1,000 EUR pay for 0.0332 BTC at 30,000 with the fee of 0.4 %, and not for a satoshi more.
    most = Decimal("0.03320053")
    assert bench.send(bench.ticket(quantity=most + Decimal("0.00000001"))) == Rejected("EOrder:Insufficient funds")
    assert isinstance(bench.send(bench.ticket(quantity=most)), Accepted)
    assert bench.totals().get(EUR, Decimal(0)) >= 0


def test_an_order_that_comes_after_its_deadline_is_not_taken(bench: Bench) -> None:
    before = bench.totals()
    late = bench.ticket(not_after=bench.clock.now() - timedelta(microseconds=1))
    assert isinstance(bench.send(late), Rejected | Unclear)
    assert bench.find(late) is None
    assert bench.totals() == before


def test_a_client_id_does_not_protect_against_sending_twice(bench: Bench) -> None:
    """As at Kraken: the first order is closed when the second arrives, so both trade."""
    first, second = bench.send(bench.ticket()), bench.send(bench.ticket())
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert first != second
    assert bench.totals()[BTC] == Decimal("0.04")
    found = bench.find(bench.ticket())
    assert found is not None
    assert found.venue_order_id == second.venue_order_id


def test_the_same_trades_are_shown_every_time(bench: Bench) -> None:
    bench.send(bench.ticket())
    assert bench.find(bench.ticket()) == bench.find(bench.ticket())


def test_never_takes_an_unreadable_source_for_an_empty_one(bench: Bench) -> None:
    bench.prices.unreachable = True
    with pytest.raises(VenueUnreachableError):
        bench.venue.prices(["BTC/EUR"])
    with pytest.raises(VenueUnreachableError):
        bench.venue.markets()


def test_an_order_that_cannot_be_priced_is_refused_not_raised(bench: Bench) -> None:
    bench.prices.unreachable = True
    answer = bench.send(bench.ticket())
    bench.prices.unreachable = False
    assert isinstance(answer, Rejected)
    assert answer.reason.startswith(("EService:Unavailable (", "not sent"))
    assert bench.find(bench.ticket()) is None
