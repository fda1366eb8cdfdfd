"""Orders at Kraken through the real ccxt, over HTTP, against a double that trades: sent once, judged by proof."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from rebalancer_pipelines.application.ports import Accepted, Rejected, Unclear, Withheld
from rebalancer_pipelines.domain.account_settings import AccountSettings
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, LeaseLostError, VenueUnreachableError
from rebalancer_pipelines.domain.order import OrderSide, OrderState
from tests.support.kraken_account import ASK, BID, KrakenAccount
from tests.support.kraken_double import (
    AcceptedWithWarning,
    BadGzip,
    Delayed,
    Drip,
    EmptyBody,
    EmptyJson,
    EmptyResult,
    ErrorAnswer,
    Fault,
    FixedAnswer,
    Hang,
    HtmlPage,
    InvalidNonce,
    KrakenDouble,
    Lockout,
    LoseRequest,
    LoseResponse,
    MissingTxid,
    OtherPair,
    RateLimited,
    Reset,
    Status,
    Truncated,
    kraken_double,
)
from tests.support.manual_clock import ManualClock

SHORT = timedelta(milliseconds=300)
"""A timeout for answers that never come."""


@pytest.fixture
def double(clock: ManualClock) -> Iterator[KrakenDouble]:
    with kraken_double(clock=clock, balances={"EUR": "10000", "BTC": "0.5"}) as double:
        yield double
        assert double.violations == []


@pytest.fixture
def at(engine: Engine, clock: ManualClock, double: KrakenDouble) -> KrakenAccount:
    return KrakenAccount(engine, clock, double)


@pytest.fixture
def impatient(engine: Engine, clock: ManualClock, double: KrakenDouble) -> KrakenAccount:
    account = KrakenAccount(engine, clock, double, AccountSettings(venue_timeout=SHORT))
    account.venue.markets()
    return account


# Sending.


def test_an_order_is_sent_as_it_was_meant(at: KrakenAccount, double: KrakenDouble) -> None:
    ticket = at.ticket(quantity=Decimal("0.01000000"), limit_price=Decimal("61300.00"))
    answer = at.submit(ticket)
    (order,) = double.orders
    assert answer == Accepted(order.txid)
    (sent,) = [request for request in double.requests if request.endpoint == "AddOrder"]
    sent.parameters.pop("nonce")
    assert sent.parameters == {
        "pair": "XXBTZEUR",
        "type": "buy",
        "ordertype": "limit",
        "price": "61300",
        "volume": "0.01",
        "timeinforce": "IOC",
        "oflags": "fciq",
        "cl_ord_id": ticket.client_order_id,
        "deadline": "2026-03-02T12:00:10.000Z",
    }


@pytest.mark.parametrize(
    ("fault", "is_there"),
    [
        (LoseRequest(), False),
        (LoseResponse(), True),
        (Reset(), True),
        (Reset(done=False), False),
        (Truncated(), True),
        (Truncated(length_matches=False), True),
        (HtmlPage(), True),
        (HtmlPage(done=False), False),
        (EmptyBody(), True),
        (EmptyBody(done=False), False),
        (EmptyJson(), True),
        (EmptyResult(), True),
        (EmptyResult(done=False), False),
        (MissingTxid(), True),
        (BadGzip(), True),
        (Delayed(5), False),
        (Status(502), True),
        (Status(502, done=False), False),
        (Status(503), True),
        (Status(504), True),
        (Status(520), True),
        (Status(524), True),
        (FixedAnswer(200, "null"), False),
        (FixedAnswer(200, "[]"), False),
        (FixedAnswer(307, "{}"), False),
        (FixedAnswer(403, "<html>blocked</html>"), False),
        (FixedAnswer(404, '{"error":["EGeneral:Unknown method"]}'), False),
        (FixedAnswer(429, '{"error":["EOrder:Rate limit exceeded"]}'), False),
        (ErrorAnswer("EService:Unavailable"), False),
        (ErrorAnswer("EService:Unavailable", done=True), True),
        (ErrorAnswer("EService:Busy", done=True), True),
        (ErrorAnswer("EService:Timeout", done=True), True),
        (ErrorAnswer("EService:Deadline elapsed"), False),
        (ErrorAnswer("EGeneral:Internal error", done=True), True),
    ],
    ids=repr,
)
def test_an_answer_that_proves_nothing_is_unclear_and_never_asked_for_twice(
    at: KrakenAccount, double: KrakenDouble, fault: Fault, is_there: bool
) -> None:
    double.inject("AddOrder", fault)
    ticket = at.ticket()
    answer = at.submit(ticket)
    assert isinstance(answer, Unclear)
    assert 0 < len(answer.reason) <= 200
    assert answer.reason.isprintable()
    assert double.count("AddOrder") == 1
    assert len(double.orders) == is_there
    found = at.find(ticket)
    assert (found is not None) is is_there
    if found is not None:
        assert (found.venue_order_id, found.closed_as) == (double.orders[0].txid, OrderState.FILLED)
    assert double.count("AddOrder") == 1


@pytest.mark.parametrize("fault", [Hang(), Drip(interval=0.05)], ids=repr)
def test_an_answer_that_does_not_end_is_given_up(impatient: KrakenAccount, double: KrakenDouble, fault: Fault) -> None:
    double.inject("AddOrder", fault)
    before = impatient.venue.time_spent.called
    assert impatient.submit(impatient.ticket()) == Unclear("no whole answer within 0.3 s")
    assert SHORT <= impatient.venue.time_spent.called - before < 3 * SHORT
    assert double.count("AddOrder") == 1
    # The next call has a connection of its own.
    assert isinstance(impatient.submit(impatient.ticket()), Accepted)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (ErrorAnswer("EOrder:Insufficient funds"), "EOrder:Insufficient funds"),
        (ErrorAnswer("EGeneral:Permission denied"), "EGeneral:Permission denied"),
        (ErrorAnswer("EAPI:Invalid signature"), "EAPI:Invalid signature"),
        (ErrorAnswer("EQuery:Unknown asset pair"), "EQuery:Unknown asset pair"),
        (ErrorAnswer("EService:Market in cancel_only mode"), "EService:Market in cancel_only mode"),
        (InvalidNonce(), "EAPI:Invalid nonce"),
        (Lockout(), "EGeneral:Temporary lockout"),
        (RateLimited(), "EAPI:Rate limit exceeded"),
        (RateLimited("EOrder:Rate limit exceeded"), "EOrder:Rate limit exceeded"),
    ],
    ids=repr,
)
def test_a_definite_refusal_is_one_and_never_tried_again(
    at: KrakenAccount, double: KrakenDouble, fault: Fault, reason: str
) -> None:
    double.inject("AddOrder", fault)
    assert at.submit(at.ticket()) == Rejected(reason)
    assert double.count("AddOrder") == 1


def test_a_warning_beside_an_id_does_not_matter(at: KrakenAccount, double: KrakenDouble) -> None:
    double.inject("AddOrder", AcceptedWithWarning())
    assert at.submit(at.ticket()) == Accepted(double.orders[0].txid)


def test_the_venues_own_refusals_come_through(at: KrakenAccount, double: KrakenDouble) -> None:
    assert at.submit(at.ticket(quantity=Decimal(1))) == Rejected("EOrder:Insufficient funds")
    at.venue.markets()
    double.set_status("BTC/EUR", "cancel_only")
    assert at.submit(at.ticket()) == Rejected("EService:Market in cancel_only mode")
    assert double.orders == []


def test_a_late_order_is_refused_by_the_engine_whatever_became_of_its_answer(
    at: KrakenAccount, double: KrakenDouble, clock: ManualClock
) -> None:
    double.inject("AddOrder", Delayed(30))
    ticket = at.ticket()
    assert isinstance(at.submit(ticket), Unclear)
    clock.sleep(timedelta(seconds=31))
    double.settle_delayed()
    assert at.find(ticket) is None
    assert double.orders == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"symbol": "XMR/EUR"}, "EQuery:Unknown asset pair"),
        ({"symbol": "HALT/EUR"}, "EService:Market in cancel_only mode"),
        ({"symbol": "POST/EUR"}, "EService:Market in post_only mode"),
        ({"quantity": Decimal("0.00004")}, "EOrder:Order minimum not met"),
        ({"quantity": Decimal("0.00005"), "limit_price": Decimal("8999.9")}, "EOrder:Cost minimum not met"),
        ({"quantity": Decimal("0.010000001")}, "EGeneral:Invalid arguments:volume"),
        ({"quantity": Decimal(0)}, "EGeneral:Invalid arguments:volume"),
        ({"quantity": Decimal("-0.01")}, "EGeneral:Invalid arguments:volume"),
        ({"quantity": Decimal("NaN")}, "EGeneral:Invalid arguments:volume"),
        ({"quantity": Decimal("Infinity")}, "EGeneral:Invalid arguments:volume"),
        ({"limit_price": Decimal("61234.55")}, "EOrder:Tick size check failed"),
        ({"limit_price": Decimal("-1")}, "EGeneral:Invalid arguments:price"),
        ({"limit_price": Decimal("NaN")}, "EGeneral:Invalid arguments:price"),
        ({"client_order_id": "not one of the forms"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"client_order_id": ""}, "EGeneral:Invalid arguments:cl_ord_id"),
    ],
    ids=str,
)
def test_what_kraken_would_refuse_never_leaves(
    at: KrakenAccount, double: KrakenDouble, changes: dict[str, Any], reason: str
) -> None:
    assert at.submit(at.ticket(**changes), lambda: pytest.fail("it was about to leave")) == Rejected(reason)
    assert double.count("AddOrder") == 0


def test_an_order_whose_time_is_over_never_leaves(at: KrakenAccount, double: KrakenDouble, clock: ManualClock) -> None:
    ticket = at.ticket(not_after=clock.now() - timedelta(milliseconds=1))
    assert at.submit(ticket) == Rejected("EService:Deadline elapsed")
    assert double.count("AddOrder") == 0


@pytest.mark.parametrize(("left", "leaves"), [(2.999, False), (3, True), (10, True)])
def test_an_order_needs_three_seconds_when_it_leaves(
    at: KrakenAccount, double: KrakenDouble, clock: ManualClock, left: float, leaves: bool
) -> None:
    at.venue.markets()
    answer = at.submit(at.ticket(not_after=clock.now() + timedelta(seconds=left)))
    assert isinstance(answer, Accepted if leaves else Withheld)
    if isinstance(answer, Withheld):
        assert answer.denial.reason is DenialReason.SEND_WINDOW
        assert len(str(answer.denial)) <= 200
    assert double.count("AddOrder") == leaves


def test_time_that_passes_during_the_clearance_counts(
    at: KrakenAccount, double: KrakenDouble, clock: ManualClock
) -> None:
    answer = at.submit(at.ticket(), lambda: clock.sleep(timedelta(seconds=7.001)))
    assert isinstance(answer, Withheld)
    assert answer.denial.reason is DenialReason.SEND_WINDOW
    assert double.count("AddOrder") == 0


def test_the_clearance_is_the_last_thing_before_the_order_leaves(at: KrakenAccount, double: KrakenDouble) -> None:
    seen: list[list[str]] = []
    at.submit(at.ticket(), lambda: seen.append([request.endpoint for request in double.requests]))
    assert seen == [["Assets", "AssetPairs"]]
    assert [request.endpoint for request in double.requests] == ["Assets", "AssetPairs", "AddOrder"]


def test_a_denied_order_is_withheld_with_its_denial(at: KrakenAccount, double: KrakenDouble) -> None:
    denial = DeniedError(DenialReason.KILLED, "everything is stopped")

    def deny() -> None:
        raise denial

    assert at.submit(at.ticket(), deny) == Withheld(denial)
    assert double.count("AddOrder") == 0
    assert isinstance(at.submit(at.ticket()), Accepted)


def test_a_lease_that_was_lost_is_for_whoever_sends_to_know(at: KrakenAccount, double: KrakenDouble) -> None:
    def lost() -> None:
        raise LeaseLostError("another worker holds it")

    with pytest.raises(LeaseLostError):
        at.submit(at.ticket(), lost)
    assert double.count("AddOrder") == 0
    assert isinstance(at.submit(at.ticket()), Accepted)


def test_orders_wait_for_krakens_counter_and_never_beyond_their_deadline(
    at: KrakenAccount, double: KrakenDouble, clock: ManualClock
) -> None:
    begun = clock.now()
    for _ in range(60):
        assert isinstance(at.submit(at.ticket(quantity=Decimal("0.0001"))), Accepted)
    assert clock.now() == begun
    assert isinstance(at.submit(at.ticket(quantity=Decimal("0.0001"))), Accepted)
    assert clock.now() == begun + timedelta(seconds=1)
    # Another pair has a counter of its own.
    eth = at.ticket(symbol="ETH/EUR", quantity=Decimal("0.01"), limit_price=Decimal(2500))
    assert isinstance(at.submit(eth), Accepted)
    assert clock.now() == begun + timedelta(seconds=1)
    answer = at.submit(at.ticket(not_after=clock.now() + timedelta(seconds=3.5)))
    assert isinstance(answer, Withheld)
    assert answer.denial.reason is DenialReason.SEND_WINDOW
    assert clock.now() == begun + timedelta(seconds=1)


def test_a_counter_that_others_have_filled_is_taken_over(
    at: KrakenAccount, double: KrakenDouble, clock: ManualClock
) -> None:
    double.inject("AddOrder", RateLimited("EOrder:Rate limit exceeded"))
    at.submit(at.ticket())
    begun = clock.now()
    assert isinstance(at.submit(at.ticket()), Accepted)
    assert clock.now() == begun + timedelta(seconds=1)


def test_an_order_that_cannot_be_priced_or_counted_never_leaves(at: KrakenAccount, double: KrakenDouble) -> None:
    double.inject("AssetPairs", Status(502))
    answer = at.submit(at.ticket())
    assert isinstance(answer, Rejected)
    assert answer.reason.startswith("EService:Unavailable (kraken's markets cannot be read")
    assert len(answer.reason) <= 200
    assert double.count("AddOrder") == 0


def test_an_order_that_finds_nobody_listening_was_refused(at: KrakenAccount, double: KrakenDouble) -> None:
    """The market's rules are known by then, and the server goes away between them and the order."""
    at.venue.markets()
    with kraken_double() as gone:
        url = gone.url
    client = at.venue._api._client  # type: ignore[attr-defined]
    client._endpoint, client._connection = url, None
    answer = at.submit(at.ticket())
    assert isinstance(answer, Rejected)
    assert answer.reason.startswith("EService:Unavailable")
    assert double.count("AddOrder") == 0


# Looking up.


def test_fills_are_what_the_ledger_booked(at: KrakenAccount, double: KrakenDouble) -> None:
    ticket = at.ticket(quantity=Decimal("0.01234567"))
    answer = at.submit(ticket)
    assert isinstance(answer, Accepted)
    order = at.find(ticket, answer.venue_order_id)
    assert order is not None
    (fill,) = order.fills
    # 755.9821… EUR and 3.0239… EUR of fee, as Kraken rounds them to the four digits that it keeps.
    assert (fill.quantity, fill.price) == (Decimal("0.01234567"), ASK)
    assert (fill.notional, fill.fee, fill.fee_currency) == (Decimal("755.9822"), Decimal("3.0239"), "EUR")
    assert fill.notional != fill.quantity * fill.price
    before, after = Decimal(10_000), double.balances()["EUR"]
    assert before - fill.notional - fill.fee == after
    assert fill.executed_at == at.clock.now()
    assert order.closed_as is OrderState.FILLED


def test_a_sell_brings_what_the_ledger_booked(at: KrakenAccount, double: KrakenDouble) -> None:
    ticket = at.ticket(OrderSide.SELL, quantity=Decimal("0.01234567"))
    at.submit(ticket)
    order = at.find(ticket)
    assert order is not None
    (fill,) = order.fills
    assert Decimal(10_000) + fill.notional - fill.fee == double.balances()["EUR"]
    assert Decimal("0.5") - fill.quantity == double.balances()["BTC"]


def test_several_trades_add_up_in_any_sequence(at: KrakenAccount, double: KrakenDouble) -> None:
    levels = [(ASK + Decimal(n) / 10, Decimal("0.00123457")) for n in range(9)]
    double.book("BTC/EUR", bids=[(BID, 1)], asks=[*levels, (ASK + 1, 1)])
    double.shuffle_trades()
    double.repeat_trades()
    ticket = at.ticket(quantity=Decimal("0.02"), limit_price=ASK + 1)
    answer = at.submit(ticket)
    assert isinstance(answer, Accepted)
    order = at.find(ticket, answer.venue_order_id)
    assert order is not None
    assert order.closed_as is OrderState.FILLED
    assert len(order.fills) == len({fill.trade_id for fill in order.fills}) == 10
    spent = sum(fill.notional + fill.fee for fill in order.fills)
    assert Decimal(10_000) - spent == double.balances()["EUR"]


def test_a_partial_fill_and_none_at_all(at: KrakenAccount, double: KrakenDouble) -> None:
    double.fill_next("0.004")
    part, none = at.ticket(), at.ticket(limit_price=Decimal(60_000))
    for ticket, state, filled in ((part, OrderState.PARTIALLY_FILLED, 1), (none, OrderState.CANCELED, 0)):
        answer = at.submit(ticket)
        assert isinstance(answer, Accepted)
        order = at.find(ticket, answer.venue_order_id)
        assert order is not None
        assert (order.closed_as, len(order.fills)) == (state, filled)
        assert at.find(ticket) == order


def test_an_open_order_may_still_trade(at: KrakenAccount, double: KrakenDouble) -> None:
    double.leave_open(filled="0.004")
    ticket = at.ticket()
    at.submit(ticket)
    order = at.find(ticket)
    assert order is not None
    assert (order.closed_as, order.awaits_fills) == (None, False)
    assert [fill.quantity for fill in order.fills] == [Decimal("0.004")]


def test_an_order_waits_for_trades_that_are_late(at: KrakenAccount, double: KrakenDouble, clock: ManualClock) -> None:
    double.book("BTC/EUR", asks=[(ASK, Decimal("0.004")), (ASK + 1, 1)], bids=[(BID, 1)])
    double.hide_trades_for(10)
    ticket = at.ticket(limit_price=ASK + 1)
    at.submit(ticket)
    for seconds, shown in ((0, 0), (10, 1), (10, 2)):
        clock.sleep(timedelta(seconds=seconds))
        order = at.find(ticket)
        assert order is not None
        assert len(order.fills) == shown
        assert order.awaits_fills is (shown < 2)
        assert (order.closed_as is OrderState.FILLED) is (shown == 2)


def test_many_orders_are_found_by_few_calls(at: KrakenAccount, double: KrakenDouble, clock: ManualClock) -> None:
    references = []
    for _ in range(55):
        ticket = at.ticket(quantity=Decimal("0.0002"))
        answer = at.submit(ticket)
        assert isinstance(answer, Accepted)
        references.append(at.reference(ticket, answer.venue_order_id))
    asked = len(double.requests)
    found = at.venue.find(references)
    assert {reference.client_order_id for reference in references} == set(found)
    assert {order.closed_as for order in found.values()} == {OrderState.FILLED}
    calls = [request.endpoint for request in double.requests[asked:]]
    assert calls == ["QueryOrders"] * 2 + ["QueryTrades"] * 3 + ["Ledgers"] * 3


def test_twelve_orders_cost_four_points(at: KrakenAccount, double: KrakenDouble, clock: ManualClock) -> None:
    references = []
    for _ in range(12):
        ticket = at.ticket(quantity=Decimal("0.001"))
        answer = at.submit(ticket)
        assert isinstance(answer, Accepted)
        references.append(at.reference(ticket, answer.venue_order_id))
    asked = len(double.requests)
    at.venue.find(references)
    assert [request.endpoint for request in double.requests[asked:]] == ["QueryOrders", "QueryTrades", "Ledgers"]
    assert at.venue.time_spent.waited == timedelta(0)


def test_nothing_to_find_asks_nothing(at: KrakenAccount, double: KrakenDouble) -> None:
    assert at.venue.find([]) == {}
    assert double.requests == []


def test_an_order_that_was_never_taken_is_absent(at: KrakenAccount, double: KrakenDouble) -> None:
    assert at.find(at.ticket()) is None
    assert at.find(at.ticket(), "OAAAAA-BBBBB-CCCCCC") is None


def test_our_order_is_found_among_more_closed_ones_than_a_page_holds(
    at: KrakenAccount, double: KrakenDouble, clock: ManualClock
) -> None:
    double.inject("AddOrder", LoseResponse())
    ticket = at.ticket()
    at.submit(ticket)
    clock.sleep(timedelta(seconds=1))
    for _ in range(120):
        double.trade_by_hand("BTC/EUR", "sell", "0.0001", BID)
    order = at.find(ticket)
    assert order is not None
    assert order.closed_as is OrderState.FILLED


def test_pages_are_read_to_the_end_where_kraken_does_not_filter(
    at: KrakenAccount, double: KrakenDouble, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.kraken_double.private_api._referenced", lambda orders, _: list(orders))
    at.submit(ticket := at.ticket())
    clock.sleep(timedelta(seconds=1))
    for _ in range(120):
        double.trade_by_hand("BTC/EUR", "sell", "0.0001", BID)
    asked = len(double.requests)
    order = at.find(ticket)
    assert order is not None
    assert (order.closed_as, order.contradiction) == (OrderState.FILLED, None)
    calls = [request.endpoint for request in double.requests[asked:]]
    assert calls.count("ClosedOrders") == 3
    assert double.violations == []


_BROKEN_LOOK_UPS = (
    EmptyJson(),
    EmptyBody(),
    HtmlPage(),
    Truncated(),
    LoseResponse(),
    Status(502),
    ErrorAnswer("EService:Unavailable"),
    FixedAnswer(200, '{"error":[],"result":[]}'),
    FixedAnswer(200, '{"error":[],"result":null}'),
    FixedAnswer(200, '{"error":[],"result":{"open":[],"closed":[],"ledger":[],"count":0,"x":[]}}'),
    FixedAnswer(200, '{"error":[],"result":{"open":{"x":1},"closed":{"x":1},"ledger":{"x":1},"count":1,"x":{}}}'),
    FixedAnswer(200, '{"error":[],"result":{"closed":{},"ledger":{},"count":7,"x":0}}'),
    FixedAnswer(200, '{"result":{"open":{},"closed":{},"ledger":{},"count":0}}'),
)
_LISTS = ("OpenOrders", "ClosedOrders", "Ledgers")


@pytest.mark.parametrize(
    ("endpoint", "fault"),
    [(endpoint, fault) for endpoint in (*_LISTS, "QueryOrders", "QueryTrades") for fault in _BROKEN_LOOK_UPS]
    # By ids, an empty object is a sound answer: nothing is known of them yet.
    + [(endpoint, EmptyResult(done=False)) for endpoint in _LISTS],
    ids=repr,
)
def test_a_failed_look_up_is_never_an_empty_one(
    at: KrakenAccount, double: KrakenDouble, endpoint: str, fault: Fault
) -> None:
    answer = at.submit(ticket := at.ticket())
    assert isinstance(answer, Accepted)
    double.inject(endpoint, fault, times=None)
    by_id = endpoint not in {"OpenOrders", "ClosedOrders"}
    with pytest.raises(VenueUnreachableError) as caught:
        at.find(ticket, answer.venue_order_id if by_id else None)
    assert len(str(caught.value)) <= 200
    assert str(caught.value).isprintable()
    assert double.count("AddOrder") == 1


def test_an_order_is_found_while_markets_and_prices_cannot_be_read(
    at: KrakenAccount, double: KrakenDouble, clock: ManualClock
) -> None:
    answer = at.submit(ticket := at.ticket())
    assert isinstance(answer, Accepted)
    for endpoint in ("Assets", "AssetPairs", "Ticker"):
        double.inject(endpoint, Status(502), times=None)
    clock.sleep(timedelta(minutes=10))
    with pytest.raises(VenueUnreachableError):
        at.venue.prices(["BTC/EUR"])
    order = at.find(ticket, answer.venue_order_id)
    assert order is not None
    assert order.closed_as is OrderState.FILLED
    assert at.venue.balances()
    assert isinstance(at.submit(at.ticket()), Rejected)


def test_two_orders_under_one_id_are_a_contradiction(at: KrakenAccount, double: KrakenDouble) -> None:
    ticket = at.ticket()
    at.submit(ticket)
    at.submit(ticket)
    order = at.find(ticket)
    assert order is not None
    assert order.contradiction is not None
    assert all(sent.txid in order.contradiction for sent in double.orders)
    assert (order.closed_as, order.fills) == (None, ())


@pytest.mark.parametrize(
    "change", [{"symbol": "ETH/EUR"}, {"side": OrderSide.SELL}, {"quantity": Decimal("0.02")}], ids=str
)
def test_an_order_that_is_not_the_one_we_sent_is_a_contradiction(
    at: KrakenAccount, double: KrakenDouble, change: dict[str, Any]
) -> None:
    answer = at.submit(ticket := at.ticket())
    assert isinstance(answer, Accepted)
    for venue_order_id in (None, answer.venue_order_id):
        reference = replace(at.reference(ticket, venue_order_id), **change)
        order = at.venue.find([reference])[ticket.client_order_id]
        assert order.contradiction is not None
        assert order.venue_order_id == answer.venue_order_id
        assert len(order.contradiction) <= 200


def test_an_order_of_another_market_than_was_asked_for_is_a_contradiction(
    at: KrakenAccount, double: KrakenDouble
) -> None:
    double.inject("AddOrder", OtherPair("XETHZEUR"))
    ticket = at.ticket(quantity=Decimal("0.01"), limit_price=Decimal(60_000))
    at.submit(ticket)
    order = at.find(ticket)
    assert order is not None
    assert order.contradiction is not None
    assert "another market" in order.contradiction


# Cancelling.


def test_what_is_left_of_an_order_is_cancelled(at: KrakenAccount, double: KrakenDouble) -> None:
    for by_id in (True, False):
        double.leave_open(filled="0.004")
        answer = at.submit(ticket := at.ticket())
        assert isinstance(answer, Accepted)
        at.venue.cancel(at.reference(ticket, answer.venue_order_id if by_id else None))
        order = at.find(ticket)
        assert order is not None
        assert order.closed_as is OrderState.PARTIALLY_FILLED


def test_cancelling_what_is_gone_is_no_failure(at: KrakenAccount) -> None:
    answer = at.submit(ticket := at.ticket())
    assert isinstance(answer, Accepted)
    at.venue.cancel(at.reference(ticket, answer.venue_order_id))
    at.venue.cancel(at.reference(ticket))


def test_a_race_that_was_lost_shows_the_fills(at: KrakenAccount, double: KrakenDouble) -> None:
    double.leave_open(fills_on_cancel="0.01")
    at.submit(ticket := at.ticket())
    at.venue.cancel(at.reference(ticket))
    order = at.find(ticket)
    assert order is not None
    assert order.closed_as is OrderState.FILLED


@pytest.mark.parametrize(
    "fault",
    [Status(502), LoseResponse(), HtmlPage(), EmptyJson(), ErrorAnswer("EService:Busy"), InvalidNonce()],
    ids=repr,
)
def test_a_cancellation_that_failed_is_told_and_not_repeated(
    at: KrakenAccount, double: KrakenDouble, fault: Fault
) -> None:
    double.leave_open()
    at.submit(ticket := at.ticket())
    double.inject("CancelOrder", fault)
    with pytest.raises(VenueUnreachableError):
        at.venue.cancel(at.reference(ticket))
    assert double.count("CancelOrder") == 1


def test_cancelling_young_orders_never_exceeds_krakens_counter(
    at: KrakenAccount, double: KrakenDouble, clock: ManualClock
) -> None:
    for _ in range(12):
        double.leave_open()
        ticket = at.ticket(limit_price=Decimal(50_000))
        at.submit(ticket)
        clock.sleep(timedelta(seconds=1))
        at.venue.cancel(at.reference(ticket))
    assert double.count("CancelOrder") == 12
    assert at.venue.time_spent.waited > timedelta(0)
    assert double.violations == []
