"""What may happen while we ask what became of an order: only what the venue has shown is written down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest

from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.application.review import review_account
from rebalancer_pipelines.application.trading_control import resume
from rebalancer_pipelines.domain.errors import DeniedError, InvalidInputError
from tests.support.kraken_bench import KrakenBench, Meanwhile
from tests.support.kraken_double import (
    BadGzip,
    EmptyBody,
    EmptyJson,
    EmptyResult,
    ErrorAnswer,
    Fault,
    FixedAnswer,
    HtmlPage,
    LoseRequest,
    LoseResponse,
    Status,
    Truncated,
)
from tests.support.kraken_double.double import LOOKUPS

BTC, ETH = "XXBTZEUR", "XETHZEUR"
UNAVAILABLE = ErrorAnswer("EService:Unavailable")
FOUND_BY = ("OpenOrders", "ClosedOrders", "QueryOrders")

PLACES = pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
"""Which order of the run meets the fault."""

FAILURES = pytest.mark.parametrize(
    "failure",
    [
        UNAVAILABLE,
        LoseRequest(),
        Truncated(),
        HtmlPage(),
        EmptyBody(),
        EmptyJson(),
        BadGzip(),
        Status(502),
        ErrorAnswer("EGeneral:Internal error"),
        FixedAnswer(200, "null"),
    ],
    ids=repr,
)


@dataclass(frozen=True)
class IgnoresClientId(Fault):
    """The list is answered as if it had not been asked for one client id only."""

    def rewritten(self, parameters: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in parameters.items() if name != "cl_ord_id"}


def fail_for_ever(bench: KrakenBench, fault: Fault, endpoints: tuple[str, ...] = LOOKUPS) -> None:
    for endpoint in endpoints:
        bench.double.inject(endpoint, fault, times=None)


# Orders that show late, or never.


@PLACES
@pytest.mark.parametrize("seconds", [45, 65])
def test_an_order_that_shows_late_is_not_taken_for_absent(bench: KrakenBench, seconds: int, place: int) -> None:
    bench.open()
    bench.double.hide_orders_for(seconds)
    bench.double.inject("AddOrder", LoseResponse(), after=place)
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    assert len(bench.sent()) == 2
    bench.assert_one_story()


def test_an_order_whose_id_we_have_is_waited_for_until_it_shows(bench: KrakenBench) -> None:
    bench.open()
    bench.double.hide_orders_for(80)
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


def test_one_that_shows_later_than_the_hold_is_betrayed_by_its_money(bench: KrakenBench) -> None:
    """No order in sight, its deadline and the hold long past: only balances and trades say that it was executed."""
    bench.open()
    bench.double.hide_orders_for(300)
    bench.double.inject("AddOrder", LoseResponse())
    with pytest.raises(DeniedError, match=r"ACCOUNT_HALTED: .*is UNKNOWN"):
        bench.run()
    assert bench.intents() == [("BTC/EUR", "UNKNOWN"), ("ETH/EUR", "VOID")]
    with pytest.raises(DeniedError, match=r"CIRCUIT_OPEN: .*is UNKNOWN"):
        bench.run()
    assert bench.taken() == [BTC]
    bench.clock.pass_time(timedelta(seconds=300))
    bench.double.hide_orders_for(0)
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


# Look-ups that fail.


@FAILURES
def test_a_look_up_that_fails_several_times_is_asked_again(bench: KrakenBench, failure: Fault) -> None:
    bench.open()
    bench.double.inject("AddOrder", LoseResponse())
    bench.double.fail_lookups(6, failure)
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    assert len(bench.sent()) == 2
    bench.assert_one_story()


@pytest.mark.parametrize("endpoint", ["OpenOrders", "ClosedOrders", "QueryOrders", "QueryTrades", "Ledgers"])
def test_each_question_of_a_look_up_may_fail_by_itself(bench: KrakenBench, endpoint: str) -> None:
    bench.open()
    bench.double.inject("AddOrder", LoseResponse())
    for failure in (UNAVAILABLE, Status(502), Truncated()):
        bench.double.inject(endpoint, failure)
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


@pytest.mark.parametrize("failure", [UNAVAILABLE, EmptyResult()], ids=repr)
@pytest.mark.parametrize("endpoint", ["OpenOrders", "ClosedOrders"])
def test_half_a_look_up_proves_no_absence(bench: KrakenBench, endpoint: str, failure: Fault) -> None:
    """One of the two lists answers that the order is not there, the other one says nothing at all."""
    bench.open(hold_seconds="10")
    bench.double.inject("AddOrder", LoseRequest())
    fail_for_ever(bench, failure, (endpoint,))
    with pytest.raises(DeniedError, match=r"ACCOUNT_HALTED: .*is UNKNOWN"):
        bench.run()
    assert bench.intents() == [("BTC/EUR", "UNKNOWN"), ("ETH/EUR", "VOID")]
    bench.double.clear_faults()
    assert bench.run().success
    assert sorted(bench.intents()) == [
        ("BTC/EUR", "FILLED"),
        ("BTC/EUR", "NOT_ACCEPTED"),
        ("ETH/EUR", "FILLED"),
        ("ETH/EUR", "VOID"),
    ]
    bench.assert_one_story()


def test_an_empty_result_where_a_list_should_be_is_no_empty_list(bench: KrakenBench) -> None:
    bench.open(hold_seconds="10")
    bench.double.inject("AddOrder", LoseResponse())
    fail_for_ever(bench, EmptyResult(), FOUND_BY)
    with pytest.raises(DeniedError, match=r"ACCOUNT_HALTED: .*is UNKNOWN"):
        bench.run()
    bench.double.clear_faults()
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


@pytest.mark.parametrize("endpoint", ["QueryOrders", "QueryTrades"])
def test_an_empty_result_to_a_question_by_id_says_only_that_it_is_not_shown(bench: KrakenBench, endpoint: str) -> None:
    bench.open()
    for _ in range(3):
        bench.double.inject(endpoint, EmptyResult())
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


@PLACES
@pytest.mark.parametrize("failure", [UNAVAILABLE, EmptyResult()], ids=repr)
def test_an_executed_order_that_can_never_be_looked_up_freezes_the_account_until_it_can(
    bench: KrakenBench, failure: Fault, place: int
) -> None:
    bench.open(hold_seconds="10")
    bench.double.inject("AddOrder", LoseResponse(), after=place)
    fail_for_ever(bench, failure)
    with pytest.raises(DeniedError, match="ACCOUNT_HALTED"):
        bench.run()
    sent = bench.sent()
    assert len(sent) == place + 1
    bench.clock.pass_time(timedelta(minutes=16))
    (problem,) = recover_abandoned_accounts(bench.ports)
    assert "is NEEDS_REVIEW" in problem
    assert bench.account()["trading_state"] == "halted"
    assert any(client_id in bench.account()["trading_state_reason"] for client_id in sent)
    with pytest.raises(DeniedError, match="ACCOUNT_HALTED"):
        bench.run()
    with pytest.raises(InvalidInputError, match="rebalancer account review kraken"):
        resume(bench.ports, "kraken")
    assert bench.sent() == sent
    bench.double.clear_faults()
    assert review_account(bench.ports, "kraken").is_clear
    resume(bench.ports, "kraken")
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


def test_an_order_that_never_arrived_and_cannot_be_looked_up_is_judged_by_a_person(bench: KrakenBench) -> None:
    bench.open(hold_seconds="10")
    bench.double.inject("AddOrder", LoseRequest())
    fail_for_ever(bench, UNAVAILABLE)
    with pytest.raises(DeniedError, match="ACCOUNT_HALTED"):
        bench.run()
    (lost,) = bench.sent()
    with pytest.raises(InvalidInputError, match="the program still finds out by itself"):
        review_account(bench.ports, "kraken", not_accepted=[lost])
    bench.clock.pass_time(timedelta(minutes=16))
    recover_abandoned_accounts(bench.ports)
    bench.double.clear_faults()
    assert [order.client_order_id for order in review_account(bench.ports, "kraken").orders] == [lost]
    assert review_account(bench.ports, "kraken", not_accepted=[lost]).is_clear
    resume(bench.ports, "kraken")
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    assert bench.sent().count(lost) == 1
    bench.assert_one_story()


@pytest.mark.parametrize("filter_works", [True, False])
def test_an_order_behind_fifty_others_is_found_on_the_second_page(bench: KrakenBench, filter_works: bool) -> None:
    bench.open()
    bench.double.inject("AddOrder", LoseResponse())
    if not filter_works:
        bench.double.inject("ClosedOrders", IgnoresClientId(), times=None)

    def trade_by_hand() -> None:
        for _ in range(60):
            bench.double.trade_by_hand("BTC/EUR", "sell", "0.00005", "61234.5")

    bench.double.inject("OpenOrders", Meanwhile(trade_by_hand))
    assert bench.run().success
    pages = {request.parameters["ofs"] for request in bench.double.requests if request.endpoint == "ClosedOrders"}
    assert pages == ({"0"} if filter_works else {"0", "50"})
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


# Fills.


def levels(*volumes: str) -> list[tuple[str, str]]:
    """Asks for bitcoin, each a tick above the other, and then more than anybody wants."""
    return [(f"{61234.6 + step / 10:.1f}", volume) for step, volume in enumerate((*volumes, "10"))]


def test_fills_in_disorder_and_told_twice_are_booked_once(bench: KrakenBench) -> None:
    bench.open()
    bench.double.shuffle_trades()
    bench.double.repeat_trades()
    bench.double.book("BTC/EUR", bids=[("61234.5", "10")], asks=levels("0.001", "0.002", "0.0005"))
    assert bench.run().success
    assert len(bench.double.trades) == 5
    bench.assert_one_story()


def test_an_order_of_many_fills_is_read_to_the_last_one(bench: KrakenBench) -> None:
    """More trades than one question may name, more ledger lines than a page shows, in disorder and repeated."""
    bench.open()
    bench.double.shuffle_trades()
    bench.double.repeat_trades()
    bench.double.book("BTC/EUR", bids=[("61234.5", "10")], asks=levels(*["0.0002"] * 30))
    bench.double.inject("AddOrder", LoseResponse())
    assert bench.run().success
    assert len(bench.double.orders[0].trades) == 31
    bench.assert_one_story()


@PLACES
def test_fills_that_show_one_after_the_other_are_waited_for(bench: KrakenBench, place: int) -> None:
    bench.open()
    bench.double.hide_trades_for(20)
    bench.double.book("BTC/EUR", bids=[("61234.5", "10")], asks=levels("0.001", "0.002"))
    bench.double.inject("AddOrder", LoseResponse(), after=place)
    assert bench.run().success
    assert len(bench.double.orders[0].trades) == 3
    bench.assert_one_story()


def test_fills_that_show_after_everybody_has_stopped_waiting_are_booked_by_the_next_run(bench: KrakenBench) -> None:
    bench.open()
    bench.double.hide_trades_for(90)
    bench.double.book("BTC/EUR", bids=[("61234.5", "10")], asks=levels("0.001", "0.002"))
    with pytest.raises(DeniedError, match=r"ACCOUNT_HALTED: .*is OPEN"):
        bench.run()
    (problem,) = recover_abandoned_accounts(bench.ports)
    assert "is OPEN" in problem
    bench.clock.pass_time(timedelta(seconds=270))
    assert recover_abandoned_accounts(bench.ports) == []
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()
