"""The fake's misbehaviour, which tests of the use cases rest on. What it does soundly is the contract's matter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from rebalancer_pipelines.application.ports import Accepted, OrderTicket, Rejected, Unclear
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.order import OrderSide, OrderState
from rebalancer_pipelines.domain.values import Currency
from tests.support.fake_venue import FakeVenue
from tests.support.fixed_prices import FixedPrices, a_market
from tests.support.manual_clock import ManualClock

EUR = Currency("EUR")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TICKET = OrderTicket("order-1", "BTC/EUR", OrderSide.BUY, Decimal("0.01"), Decimal(30000), NOON + timedelta(seconds=10))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def venue(clock: ManualClock) -> FakeVenue:
    prices = FixedPrices(clock, a_market())
    prices.quote("BTC/EUR", "29990", "30000")
    return FakeVenue(clock, prices, balances={"EUR": "1000"})


def test_a_lost_request_never_happened(venue: FakeVenue) -> None:
    venue.lose_next_request()
    assert isinstance(venue.submit(TICKET), Unclear)
    assert venue.find("order-1") is None
    assert venue.received == []
    assert venue.balances()[EUR].total == 1000


def test_a_lost_answer_hides_an_executed_order(venue: FakeVenue) -> None:
    venue.lose_next_answer()
    assert isinstance(venue.submit(TICKET), Unclear)
    found = venue.find("order-1")
    assert found is not None
    assert found.closed_as is OrderState.FILLED
    assert venue.balances()[EUR].total == Decimal("698.8")


def test_refuses_as_told_and_only_once(venue: FakeVenue) -> None:
    venue.refuse_next("EOrder:Orders limit exceeded")
    assert venue.submit(TICKET) == Rejected("EOrder:Orders limit exceeded")
    assert isinstance(venue.submit(TICKET), Accepted)
    assert venue.received == [TICKET, TICKET]


def test_behaviours_are_met_in_their_sequence(venue: FakeVenue) -> None:
    venue.behave()
    venue.lose_next_request()
    assert isinstance(venue.submit(TICKET), Accepted)
    assert isinstance(venue.submit(TICKET), Unclear)


def test_an_open_order_takes_its_id_until_it_is_closed(venue: FakeVenue) -> None:
    venue.leave_next_open(filled="0.004")
    venue.submit(TICKET)
    found = venue.find("order-1")
    assert found is not None
    assert (found.closed_as, found.fills[0].quantity) == (None, Decimal("0.004"))
    assert venue.submit(TICKET) == Rejected("EGeneral:Invalid arguments:cl_ord_id")
    venue.close_open_orders()
    found = venue.find("order-1")
    assert found is not None
    assert found.closed_as is OrderState.PARTIALLY_FILLED


def test_a_hidden_order_appears_once_its_time_has_passed(venue: FakeVenue, clock: ManualClock) -> None:
    venue.submit(TICKET)
    venue.hide_orders_for(timedelta(seconds=45))
    clock.sleep(timedelta(seconds=44))
    assert venue.find("order-1") is None
    clock.sleep(timedelta(seconds=1))
    assert venue.find("order-1") is not None


def test_unreachable_answers_nothing(venue: FakeVenue) -> None:
    venue.unreachable = True
    assert isinstance(venue.submit(TICKET), Unclear)
    for question in (venue.balances, venue.markets, venue.fees, lambda: venue.find("x"), lambda: venue.prices([])):
        with pytest.raises(VenueUnreachableError):
            question()


def test_locked_units_are_not_free(venue: FakeVenue) -> None:
    venue.lock("EUR", "900")
    assert (venue.balances()[EUR].total, venue.balances()[EUR].free) == (1000, 100)
    assert venue.submit(TICKET) == Rejected("EOrder:Insufficient funds")
