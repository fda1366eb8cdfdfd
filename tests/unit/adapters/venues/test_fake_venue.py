"""The fake's misbehaviour, which tests of the use cases rest on. What it does soundly is the contract's matter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from rebalancer_pipelines.application.ports import (
    Accepted,
    Acknowledgement,
    KeyPermissions,
    MovementKind,
    OrderTicket,
    Rejected,
    Unclear,
    VenueOrder,
    Withheld,
)
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, VenueUnreachableError
from rebalancer_pipelines.domain.order import OrderSide, OrderState
from rebalancer_pipelines.domain.values import Currency, exact_sum
from tests.support.builders import a_reference, cleared
from tests.support.fake_venue import FakeVenue
from tests.support.fixed_prices import FixedPrices, a_market
from tests.support.manual_clock import ManualClock

BTC, EUR = Currency("BTC"), Currency("EUR")
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


def send(venue: FakeVenue) -> Acknowledgement:
    return venue.submit(TICKET, cleared)


def find(venue: FakeVenue) -> VenueOrder | None:
    return venue.find([a_reference(TICKET)]).get("order-1")


def test_a_lost_request_never_happened(venue: FakeVenue) -> None:
    venue.lose_next_request()
    assert isinstance(send(venue), Unclear)
    assert find(venue) is None
    assert venue.received == []
    assert venue.balances()[EUR].total == 1000


def test_a_lost_answer_hides_an_executed_order(venue: FakeVenue) -> None:
    venue.lose_next_answer()
    assert isinstance(send(venue), Unclear)
    found = find(venue)
    assert found is not None
    assert found.closed_as is OrderState.FILLED
    assert venue.balances()[EUR].total == Decimal("698.8")


def test_refuses_as_told_and_only_once(venue: FakeVenue) -> None:
    venue.refuse_next("EOrder:Orders limit exceeded")
    assert send(venue) == Rejected("EOrder:Orders limit exceeded")
    assert isinstance(send(venue), Accepted)
    assert venue.received == [TICKET, TICKET]


def test_behaviours_are_met_in_their_sequence(venue: FakeVenue) -> None:
    venue.behave()
    venue.lose_next_request()
    assert isinstance(send(venue), Accepted)
    assert isinstance(send(venue), Unclear)


def test_an_open_order_takes_its_id_until_it_is_closed(venue: FakeVenue) -> None:
    venue.leave_next_open(filled="0.004")
    send(venue)
    found = find(venue)
    assert found is not None
    assert (found.closed_as, found.fills[0].quantity) == (None, Decimal("0.004"))
    assert send(venue) == Rejected("EGeneral:Invalid arguments:cl_ord_id")
    venue.close_open_orders()
    found = find(venue)
    assert found is not None
    assert found.closed_as is OrderState.PARTIALLY_FILLED


def test_a_hidden_order_appears_once_its_time_has_passed(venue: FakeVenue, clock: ManualClock) -> None:
    send(venue)
    venue.hide_orders_for(timedelta(seconds=45))
    clock.sleep(timedelta(seconds=44))
    assert find(venue) is None
    clock.sleep(timedelta(seconds=1))
    assert find(venue) is not None


def test_unreachable_answers_nothing(venue: FakeVenue) -> None:
    venue.unreachable = True
    assert isinstance(send(venue), Unclear)
    for question in (
        venue.balances,
        venue.markets,
        venue.clock_skew,
        venue.key_permissions,
        lambda: venue.fees([]),
        lambda: venue.find([]),
        lambda: venue.prices([]),
        lambda: venue.movements(NOON),
        lambda: venue.cancel(a_reference(TICKET)),
    ):
        with pytest.raises(VenueUnreachableError):
            question()


def test_locked_units_are_not_free(venue: FakeVenue) -> None:
    venue.lock("EUR", "900")
    assert (venue.balances()[EUR].total, venue.balances()[EUR].free) == (1000, 100)
    assert send(venue) == Rejected("EOrder:Insufficient funds")


def test_an_order_that_is_withheld_meets_no_behaviour(venue: FakeVenue) -> None:
    denial = DeniedError(DenialReason.KILLED, "everything is stopped")

    def refuse() -> None:
        raise denial

    venue.refuse_next("EOrder:Orders limit exceeded")
    assert venue.submit(TICKET, refuse) == Withheld(denial)
    assert venue.received == []
    assert send(venue) == Rejected("EOrder:Orders limit exceeded")


def test_a_deadline_holds_to_the_moment(venue: FakeVenue, clock: ManualClock) -> None:
    clock.sleep(timedelta(seconds=10))
    assert isinstance(send(venue), Accepted)
    clock.sleep(timedelta(microseconds=1))
    assert send(venue) == Rejected("EService:Deadline elapsed")


def test_a_cancelled_order_is_closed_with_what_it_had_traded(venue: FakeVenue) -> None:
    venue.leave_next_open(filled="0.004")
    send(venue)
    venue.cancel(a_reference(TICKET))
    found = find(venue)
    assert found is not None
    assert (found.closed_as, [fill.quantity for fill in found.fills]) == (
        OrderState.PARTIALLY_FILLED,
        [Decimal("0.004")],
    )


@pytest.mark.parametrize(
    ("meanwhile", "quantities", "state"),
    [
        ("0.001", ["0.004", "0.001"], OrderState.PARTIALLY_FILLED),
        ("0.006", ["0.004", "0.006"], OrderState.FILLED),
        ("1", ["0.004", "0.006"], OrderState.FILLED),
    ],
)
def test_an_order_may_trade_while_it_is_cancelled(
    venue: FakeVenue, meanwhile: str, quantities: list[str], state: OrderState
) -> None:
    venue.leave_next_open(filled="0.004", fill_on_cancel=meanwhile)
    send(venue)
    venue.cancel(a_reference(TICKET))
    found = find(venue)
    assert found is not None
    assert ([str(fill.quantity) for fill in found.fills], found.closed_as) == (quantities, state)
    assert len({fill.trade_id for fill in found.fills}) == 2
    assert venue.balances()[BTC].total == exact_sum(fill.quantity for fill in found.fills)


def test_the_venue_is_as_a_test_sets_it(venue: FakeVenue) -> None:
    venue.skew = timedelta(seconds=-3)
    venue.permissions = KeyPermissions(can_withdraw=True, missing=("query-ledger",))
    venue.visibility_lag = timedelta(seconds=60)
    assert venue.clock_skew() == timedelta(seconds=-3)
    assert venue.key_permissions().can_withdraw
    assert venue.visibility_lag == timedelta(seconds=60)


def test_what_is_moved_from_outside_stands_in_its_ledger(venue: FakeVenue, clock: ManualClock) -> None:
    deposit = venue.move("EUR", "100", fee="0.5")
    clock.sleep(timedelta(minutes=1))
    withdrawal = venue.move("EUR", "-10")
    reward = venue.move("BTC", "0.001", kind=MovementKind.REWARD)
    venue.hold("EUR", "1")
    assert venue.movements(NOON) == [deposit, withdrawal, reward]
    assert venue.movements(NOON + timedelta(seconds=1)) == [withdrawal, reward]
    assert [movement.kind for movement in venue.movements(NOON)] == ["deposit", "withdrawal", "reward"]
    assert (deposit.amount, deposit.fee, deposit.occurred_at) == (100, Decimal("0.5"), NOON)
    assert len({movement.entry_id for movement in venue.movements(NOON)}) == 3
    assert {currency: held.total for currency, held in venue.balances().items()} == {
        EUR: Decimal("1090.5"),
        BTC: Decimal("0.001"),
    }


def test_its_ledger_shows_own_trades_only_when_told(venue: FakeVenue) -> None:
    by_hand = venue.move("BTC", "0.5", kind=MovementKind.TRADE, trade_id="by-hand")
    send(venue)
    assert venue.movements(NOON) == [by_hand]
    venue.shows_trades = True
    _, base, quote = venue.movements(NOON)
    found = find(venue)
    assert found is not None
    assert {base.trade_id, quote.trade_id} == {found.fills[0].trade_id}
    assert (base.currency, base.amount, base.fee) == (BTC, Decimal("0.01"), 0)
    assert (quote.currency, quote.amount, quote.fee) == (EUR, -300, Decimal("1.2"))
    assert venue.balances()[EUR].total == Decimal("698.8")
