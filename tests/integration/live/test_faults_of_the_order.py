"""What may happen to an order that the venue has, or refuses: it is settled by its fills, and never sent again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.domain.errors import DeniedError, VenueUnreachableError
from tests.support.kraken_bench import KrakenBench, Meanwhile
from tests.support.kraken_double import (
    BadGzip,
    ErrorAnswer,
    Fault,
    HtmlPage,
    InvalidNonce,
    Lockout,
    LoseRequest,
    LoseResponse,
    RateLimited,
    Status,
    kraken_double,
)
from tests.support.kraken_double.double import LOOKUPS

BTC, ETH = "XXBTZEUR", "XETHZEUR"
UNAVAILABLE = ErrorAnswer("EService:Unavailable")
EVERYTHING = "1000000"

PLACES = pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
"""Which order of the run meets the fault."""


def let_pass(bench: KrakenBench, orders: int) -> None:
    """So many orders meet a sound venue first."""
    for _ in range(orders):
        bench.double.fill_next(EVERYTHING)


# Parts of orders, and orders that stay.


@PLACES
def test_a_partial_fill_is_the_end_of_an_immediate_order(bench: KrakenBench, place: int) -> None:
    bench.open()
    let_pass(bench, place)
    bench.double.fill_next("0.003")
    record = bench.run()
    assert record.orders_failed == 0
    assert [state for _, state in bench.intents()].index("PARTIALLY_FILLED") == place
    assert bench.double.count("CancelOrder") == 0
    bench.assert_one_story()


def test_a_book_that_is_too_thin_fills_in_part_and_the_next_run_buys_the_rest(bench: KrakenBench) -> None:
    bench.open()
    bench.double.quote("BTC/EUR", "61234.5", "61234.6", depth="0.002")
    bench.run()
    assert bench.intents() == [("BTC/EUR", "PARTIALLY_FILLED"), ("ETH/EUR", "FILLED")]
    bench.double.quote("BTC/EUR", "61234.5", "61234.6")
    assert bench.run().success
    assert bench.taken() == [BTC, ETH, BTC]
    bench.assert_one_story()


@PLACES
@pytest.mark.parametrize(("filled", "state"), [("0", "CANCELED"), ("0.003", "PARTIALLY_FILLED")])
def test_an_immediate_order_that_is_left_open_is_cancelled(
    bench: KrakenBench, filled: str, state: str, place: int
) -> None:
    bench.open()
    let_pass(bench, place)
    bench.double.leave_open(filled=filled)
    bench.run()
    assert bench.double.orders[place].status == "canceled"
    assert bench.double.count("CancelOrder") == 1
    assert bench.intents()[place][1] == state
    bench.assert_one_story()


@pytest.mark.parametrize(
    ("filled", "fills_on_cancel", "state"),
    [("0", EVERYTHING, "FILLED"), ("0.001", EVERYTHING, "FILLED"), ("0.001", "0.002", "PARTIALLY_FILLED")],
)
def test_fills_that_overtake_the_cancellation_are_booked(
    bench: KrakenBench, filled: str, fills_on_cancel: str, state: str
) -> None:
    bench.open()
    bench.double.leave_open(filled=filled, fills_on_cancel=fills_on_cancel)
    assert bench.run().success
    assert bench.intents()[0] == ("BTC/EUR", state)
    assert bench.double.count("CancelOrder") == 1
    bench.assert_one_story()


@pytest.mark.parametrize(
    "fault",
    [
        LoseRequest(),
        LoseResponse(),
        Status(502),
        Status(502, done=False),
        HtmlPage(),
        BadGzip(),
        UNAVAILABLE,
        ErrorAnswer("EOrder:Unknown order"),
        InvalidNonce(),
        RateLimited("EOrder:Rate limit exceeded"),
    ],
    ids=repr,
)
def test_a_cancellation_whose_answer_says_nothing_is_followed_by_a_look(bench: KrakenBench, fault: Fault) -> None:
    bench.open()
    bench.double.leave_open(filled="0.003")
    bench.double.inject("CancelOrder", fault)
    bench.run()
    assert bench.double.orders[0].status == "canceled"
    assert bench.intents() == [("BTC/EUR", "PARTIALLY_FILLED"), ("ETH/EUR", "FILLED")]
    bench.assert_one_story()


def test_a_cancellation_that_is_lost_and_overtaken_is_settled_by_what_was_filled(bench: KrakenBench) -> None:
    bench.open()
    bench.double.leave_open(filled="0.001", fills_on_cancel="0.001")
    bench.double.inject("AddOrder", LoseResponse())
    bench.double.inject("CancelOrder", LoseResponse())
    assert bench.run().success
    assert bench.intents()[0] == ("BTC/EUR", "PARTIALLY_FILLED")
    bench.assert_one_story()


def test_an_order_that_cannot_be_cancelled_is_cancelled_by_the_next_run(bench: KrakenBench) -> None:
    bench.open()
    bench.double.leave_open(filled="0.003")
    bench.double.inject("CancelOrder", UNAVAILABLE, times=None)
    with pytest.raises(DeniedError, match=r"ACCOUNT_HALTED: .*is CANCELING"):
        bench.run()
    bench.double.clear_faults()
    bench.run()
    assert bench.double.orders[0].status == "canceled"
    assert bench.taken() == [BTC, ETH, BTC]
    bench.assert_one_story()


@pytest.mark.parametrize("minutes", [2, 20])
def test_an_order_that_was_left_open_while_nobody_looked_is_cancelled(bench: KrakenBench, minutes: int) -> None:
    """The program was away, or the network was, and the order works at the venue as it should not."""
    bench.open()
    bench.double.leave_open(filled="0.003")
    for endpoint in LOOKUPS:
        bench.double.inject(endpoint, UNAVAILABLE, times=None)
    with pytest.raises(DeniedError, match=r"ACCOUNT_HALTED: .*is OPEN"):
        bench.run()
    bench.clock.pass_time(timedelta(minutes=minutes))
    bench.double.clear_faults()
    bench.run()
    assert bench.double.orders[0].status == "canceled"
    bench.assert_one_story()


def test_an_order_that_was_left_open_is_cancelled_by_recovery_too(bench: KrakenBench) -> None:
    bench.open()
    bench.double.leave_open(filled="0.003")
    bench.double.inject("CancelOrder", UNAVAILABLE, times=None)
    with pytest.raises(DeniedError, match=r"ACCOUNT_HALTED: .*is CANCELING"):
        bench.run()
    bench.clock.pass_time(timedelta(hours=8))
    bench.double.clear_faults()
    assert recover_abandoned_accounts(bench.ports) == []
    assert bench.double.orders[0].status == "canceled"
    assert bench.account()["trading_state"] == "active"
    bench.assert_one_story()


@pytest.mark.parametrize("by_hand", [False, True], ids=["filled", "cancelled by hand"])
def test_an_open_order_that_ends_while_we_look_is_not_cancelled(bench: KrakenBench, by_hand: bool) -> None:
    bench.open()
    bench.double.leave_open(filled="0.001")

    def end() -> None:
        if by_hand:
            bench.double.close_open_orders()
        else:
            bench.double.fill_open(bench.double.orders[0].txid)

    bench.double.inject("QueryOrders", Meanwhile(end), after=1)
    assert bench.run().success
    assert bench.double.count("CancelOrder") == 0
    assert bench.intents()[0] == ("BTC/EUR", "PARTIALLY_FILLED" if by_hand else "FILLED")
    bench.assert_one_story()


# Refusals.


@pytest.mark.parametrize(
    ("refusal", "place"),
    [
        (InvalidNonce(), 0),
        (InvalidNonce(), 1),
        (RateLimited(), 0),
        (RateLimited("EOrder:Rate limit exceeded"), 0),
        (RateLimited("EOrder:Rate limit exceeded"), 1),
        (ErrorAnswer("EOrder:Insufficient funds"), 1),
        (ErrorAnswer("EGeneral:Permission denied"), 0),
        (ErrorAnswer("EGeneral:Invalid arguments:volume"), 0),
        (ErrorAnswer("EService:Market in cancel_only mode"), 0),
        (ErrorAnswer("EQuery:Unknown asset pair"), 0),
    ],
    ids=repr,
)
def test_a_refused_order_is_rejected_and_not_sent_again(bench: KrakenBench, refusal: Fault, place: int) -> None:
    bench.open()
    bench.double.inject("AddOrder", refusal, after=place)
    before = bench.clock.now()
    record = bench.run()
    assert bench.codes() == [["ORDER_REJECTED"]]
    assert record.orders_executed == 1
    assert len(bench.sent()) == 2
    assert bench.taken() == [[BTC, ETH][1 - place]]
    assert bench.clock.now() - before < timedelta(minutes=1), "a definite no needs no hold"
    bench.assert_one_story()


def test_money_that_is_gone_when_the_orders_arrive_is_the_venues_to_refuse(bench: KrakenBench) -> None:
    bench.open()
    bench.double.inject("AddOrder", Meanwhile(lambda: bench.double.withdraw("EUR", "950")))
    bench.run()
    assert bench.codes() == [["ORDER_REJECTED", "ORDER_REJECTED"]]
    assert [request.outcome for request in bench.double.requests if request.endpoint == "AddOrder"] == [
        "EOrder:Insufficient funds"
    ] * 2
    assert bench.taken() == []
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


@PLACES
def test_a_key_that_is_locked_out_during_the_run_trades_no_more(bench: KrakenBench, place: int) -> None:
    bench.open()
    bench.double.inject("AddOrder", Lockout(), after=place)
    with pytest.raises(VenueUnreachableError, match="EGeneral:Temporary lockout"):
        bench.run()
    assert bench.taken() == [BTC][:place]
    assert len(bench.sent()) == 2
    bench.clock.pass_time(timedelta(minutes=15))
    assert bench.run().success
    assert sorted(bench.taken()) == sorted([BTC, ETH])
    bench.assert_one_story()


# Reads that are refused.


@pytest.mark.parametrize(
    ("endpoint", "refusal"),
    [
        *((endpoint, InvalidNonce()) for endpoint in ("GetApiKeyInfo", "BalanceEx", "TradeVolume", "QueryOrders")),
        *((endpoint, RateLimited()) for endpoint in ("BalanceEx", "QueryTrades", "Ledgers")),
    ],
    ids=repr,
)
def test_a_read_that_is_refused_for_nonce_or_rate_is_asked_again(
    bench: KrakenBench, endpoint: str, refusal: Fault
) -> None:
    bench.open()
    bench.double.inject(endpoint, refusal, times=2)
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


def test_the_smallest_allowance_is_kept_however_much_has_to_be_asked(bench: KrakenBench) -> None:
    """Orders that show late, in many fills, one of them without an answer: dozens of questions at 0.33 a second."""
    levels = [(f"{61234.6 + step / 10:.1f}", "0.0002") for step in range(30)]
    with kraken_double(clock=bench.clock, tier="starter", balances={"EUR": "1000"}) as slow:
        at_starter = replace(bench, double=slow)
        at_starter.open(rate_tier="starter")
        slow.hide_orders_for(45)
        slow.book("BTC/EUR", bids=[("61234.5", "10")], asks=[*levels, ("61240.0", "10")])
        slow.inject("AddOrder", LoseResponse())
        assert at_starter.run().success
        assert slow.violations == []
        at_starter.assert_one_story()


def test_nonces_only_rise(bench: KrakenBench) -> None:
    bench.open()
    bench.run()
    nonces = [int(r.parameters["nonce"]) for r in bench.double.requests if "nonce" in r.parameters]
    assert len(nonces) > 10
    assert nonces == sorted(set(nonces))


@pytest.mark.parametrize(
    ("endpoint", "fault"),
    [
        ("GetApiKeyInfo", Lockout()),
        ("BalanceEx", InvalidNonce()),
        ("BalanceEx", RateLimited()),
        ("*", UNAVAILABLE),
    ],
    ids=["lockout", "nonce", "rate", "maintenance"],
)
def test_a_venue_that_refuses_to_be_read_before_the_run_gets_no_order(
    bench: KrakenBench, endpoint: str, fault: Fault
) -> None:
    bench.open()
    bench.double.inject(endpoint, fault, times=None)
    with pytest.raises(VenueUnreachableError, match=r"EGeneral:Temporary lockout|EAPI:|EService:Unavailable"):
        bench.run()
    assert bench.sent() == []
    bench.double.clear_faults()
    bench.clock.pass_time(timedelta(minutes=15))
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


@PLACES
@pytest.mark.parametrize("executed", [True, False], ids=["executed", "not executed"])
def test_maintenance_that_begins_with_an_order_is_outlived(bench: KrakenBench, executed: bool, place: int) -> None:
    """The venue goes away with the order in its hands, and everything is refused until the maintenance ends."""
    bench.open()

    def go_away() -> None:
        bench.double.clear_faults()
        bench.double.inject("*", UNAVAILABLE, times=None)

    bench.double.inject("AddOrder", ErrorAnswer("EService:Unavailable", done=executed), after=place)
    for first_question in ("OpenOrders", "QueryOrders"):
        bench.double.inject(first_question, Meanwhile(go_away))
    with pytest.raises((DeniedError, VenueUnreachableError)):
        bench.run()
    assert len(bench.sent()) == place + 1
    bench.double.clear_faults()
    assert bench.run().success
    assert sorted(bench.taken()) == sorted([BTC, ETH])
    bench.assert_one_story()
