"""What may happen to the request that carries an order and to its answer: the order trades once, or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import pytest

from rebalancer_pipelines.application.review import review_account
from rebalancer_pipelines.application.trading_control import resume
from rebalancer_pipelines.domain.errors import DeniedError
from tests.support.kraken_bench import KrakenBench
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
    LoseRequest,
    LoseResponse,
    MissingTxid,
    Reset,
    Status,
    Truncated,
)
from tests.support.kraken_double.messages import Answer, Delivery

BTC, ETH = "XXBTZEUR", "XETHZEUR"
GATEWAYS = (502, 503, 504, 520, 523, 524)
UNCERTAIN_ERRORS = (
    "EService:Unavailable",
    "EService:Busy",
    "EService:Timeout",
    "EService:Throttled: 1700000000",
    "EGeneral:Internal error",
    "EGeneral:Unknown error",
)

PLACES = pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
"""Which order of the run meets the fault."""


def named(*faults: Fault) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fault", faults, ids=repr)


@PLACES
@named(LoseResponse(), Truncated(), HtmlPage(), Status(502), ErrorAnswer("EService:Unavailable", done=True))
def test_an_executed_order_whose_answer_is_spoilt_is_found_and_booked_once(
    bench: KrakenBench, fault: Fault, place: int
) -> None:
    bench.open()
    bench.double.inject("AddOrder", fault, after=place)
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    assert bench.intents() == [("BTC/EUR", "FILLED"), ("ETH/EUR", "FILLED")]
    assert len(bench.sent()) == 2
    bench.assert_one_story()


@named(
    Reset(),
    Truncated(length_matches=False),
    MissingTxid(),
    EmptyBody(),
    EmptyJson(),
    EmptyResult(),
    BadGzip(),
    Drip(),
    Hang(done=True),
    *(Status(status) for status in GATEWAYS[1:]),
    ErrorAnswer("EService:Timeout", done=True),
    ErrorAnswer("EGeneral:Internal error", done=True),
)
def test_every_other_spoilt_answer_is_looked_up_too(bench: KrakenBench, fault: Fault) -> None:
    bench.open()
    bench.double.inject("AddOrder", fault)
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    assert len(bench.sent()) == 2
    bench.assert_one_story()


@PLACES
@named(LoseRequest(), HtmlPage(done=False), Status(502, done=False))
def test_an_order_that_never_arrived_is_proved_absent_and_never_sent_again(
    bench: KrakenBench, fault: Fault, place: int
) -> None:
    bench.open(hold_seconds="10")
    bench.double.inject("AddOrder", fault, after=place)
    before = bench.clock.now()
    record = bench.run()
    assert bench.clock.now() - before > timedelta(seconds=20), "its deadline and the hold have to pass first"
    assert not record.success
    assert bench.codes() == [["ORDER_NOT_ACCEPTED"]]
    lost, kept = bench.sent()[place], [BTC, ETH][1 - place]
    assert bench.taken() == [kept]
    assert bench.run().success
    assert sorted(bench.taken()) == sorted([BTC, ETH])
    assert bench.sent().count(lost) == 1, "the next run plans anew, with a new client id"
    assert lost not in {order.cl_ord_id for order in bench.double.orders}
    bench.assert_one_story()


@named(
    Reset(done=False),
    EmptyBody(done=False),
    EmptyJson(done=False),
    EmptyResult(done=False),
    Hang(),
    FixedAnswer(200, "null"),
    FixedAnswer(200, '{"error":[],"result":{"txid":[]}}'),
    FixedAnswer(200, '{"error":["EOrder:Insufficient funds"]} trailing'),
    FixedAnswer(403, "<html>Forbidden</html>"),
    FixedAnswer(307, ""),
    *(Status(status, done=False) for status in GATEWAYS[1:]),
    *(ErrorAnswer(error) for error in UNCERTAIN_ERRORS),
)
def test_every_other_answer_that_proves_nothing_is_no_proof_of_absence_at_once(
    bench: KrakenBench, fault: Fault
) -> None:
    bench.open(hold_seconds="10")
    bench.double.inject("AddOrder", fault)
    before = bench.clock.now()
    bench.run()
    assert bench.clock.now() - before > timedelta(seconds=20)
    assert bench.intents() == [("BTC/EUR", "NOT_ACCEPTED"), ("ETH/EUR", "FILLED")]
    assert bench.taken() == [ETH]
    assert len(bench.sent()) == 2
    bench.assert_one_story()


@PLACES
def test_an_order_accepted_with_a_warning_is_accepted(bench: KrakenBench, place: int) -> None:
    bench.open()
    bench.double.inject("AddOrder", AcceptedWithWarning(), after=place)
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    assert bench.double.count("OpenOrders") == 0, "its id was in the answer, so nothing has to be searched for"
    bench.assert_one_story()


@PLACES
def test_an_order_that_is_held_up_for_30_seconds_is_stopped_by_its_deadline(bench: KrakenBench, place: int) -> None:
    bench.open(hold_seconds="25")
    bench.double.inject("AddOrder", Delayed(30), after=place)
    bench.run()
    late = [request for request in bench.double.requests if request.endpoint == "AddOrder"][place]
    assert late.outcome == "EService:Deadline elapsed"
    assert bench.taken() == [[BTC, ETH][1 - place]]
    assert bench.codes() == [["ORDER_NOT_ACCEPTED"]]
    bench.assert_one_story()


@PLACES
@pytest.mark.parametrize("seconds", [1, 9])
def test_an_order_that_is_held_up_within_its_deadline_trades_and_is_found(
    bench: KrakenBench, seconds: int, place: int
) -> None:
    bench.open()
    bench.double.inject("AddOrder", Delayed(seconds), after=place)
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    assert len(bench.sent()) == 2
    bench.assert_one_story()


def test_every_answer_of_a_run_may_be_lost(bench: KrakenBench) -> None:
    bench.double.deposit("SOL", "5")
    bench.open("BTC=40,ETH=30,SOL=0,EUR=30")
    bench.double.inject("AddOrder", LoseResponse(), times=None)
    assert bench.run().success
    assert bench.taken() == ["SOLEUR", BTC, ETH]
    bench.assert_one_story()


def test_every_request_of_a_run_may_be_lost(bench: KrakenBench) -> None:
    bench.open()
    bench.double.inject("AddOrder", LoseRequest(), times=None)
    before = bench.clock.now()
    assert not bench.run().success
    assert bench.clock.now() - before > timedelta(seconds=140), "two deadlines and two holds of a minute"
    assert bench.taken() == []
    assert bench.intents() == [("BTC/EUR", "NOT_ACCEPTED"), ("ETH/EUR", "NOT_ACCEPTED")]
    bench.assert_one_story()


def answer_with(order_id: str) -> str:
    return f'{{"error":[],"result":{{"txid":["{order_id}"],"descr":{{"order":"buy"}}}}}}'


@dataclass
class Replayed(Fault):
    """A proxy keeps the first answer and gives it to the next request too, which is done all the same."""

    kept: list[Answer] = field(default_factory=list)

    def deliver(self, answer: Answer) -> Delivery:
        self.kept.append(answer)
        return Delivery(self.kept[0])


def test_an_order_that_is_answered_with_anothers_id_is_looked_up_by_its_own(bench: KrakenBench) -> None:
    bench.open()
    bench.double.inject("AddOrder", Replayed(), times=2)
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


def test_an_order_that_is_answered_with_nobodys_id_is_not_taken_for_absent(bench: KrakenBench) -> None:
    """The answer says that it was taken, and no look ever shows it: a person has to decide."""
    bench.open(hold_seconds="10")
    bench.double.inject("AddOrder", FixedAnswer(200, answer_with("OAAAAA-BBBBB-CCCCCC")), after=1)
    with pytest.raises(DeniedError, match=r"ACCOUNT_HALTED: .*\(buy ETH/EUR\) is OPEN"):
        bench.run()
    assert bench.taken() == [BTC]
    sent = bench.sent()
    bench.clock.pass_time(timedelta(minutes=16))
    with pytest.raises(DeniedError, match="NEEDS_REVIEW"):
        bench.run()
    assert review_account(bench.ports, "kraken", not_accepted=[sent[1]]).is_clear
    resume(bench.ports, "kraken")
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


def test_an_id_that_is_none_keeps_no_other_order_from_being_settled(bench: KrakenBench) -> None:
    bench.open(hold_seconds="10")
    bench.double.inject("AddOrder", FixedAnswer(200, answer_with("nonsense")), after=1)
    bench.run()
    assert bench.intents() == [("BTC/EUR", "FILLED"), ("ETH/EUR", "NOT_ACCEPTED")]
    assert bench.taken() == [BTC]
    bench.assert_one_story()


# Sells, whose proceeds the buys are paid with.


def open_with_bitcoin(bench: KrakenBench) -> None:
    """Nearly everything is in bitcoin, and the plan sells some of it for ether."""
    bench.double.withdraw("EUR", "999")
    bench.double.deposit("BTC", "0.02")
    bench.open("BTC=30,ETH=68,EUR=2", hold_seconds="25")


@named(LoseResponse(), Status(504), Delayed(5))
def test_a_sell_whose_answer_is_lost_pays_for_the_buys_once_it_is_found(bench: KrakenBench, fault: Fault) -> None:
    open_with_bitcoin(bench)
    bench.double.inject("AddOrder", fault)
    assert bench.run().success
    assert [(order.pair, order.side) for order in bench.double.orders] == [(BTC, "sell"), (ETH, "buy")]
    assert bench.double.orders[0].accepted_at < bench.double.orders[1].accepted_at
    bench.assert_one_story()


@named(LoseRequest(), Delayed(30), ErrorAnswer("EOrder:Insufficient funds"))
def test_nothing_is_bought_with_the_proceeds_of_a_sell_that_never_was(bench: KrakenBench, fault: Fault) -> None:
    open_with_bitcoin(bench)
    bench.double.inject("AddOrder", fault)
    assert not bench.run().success
    assert bench.taken() == []
    assert bench.intents()[1] == ("ETH/EUR", "DENIED")
    assert len(bench.sent()) == 1
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


def test_a_sell_that_is_filled_in_part_pays_for_part_of_the_buys(bench: KrakenBench) -> None:
    open_with_bitcoin(bench)
    bench.double.fill_next("0.004")
    bench.double.inject("AddOrder", LoseResponse(), times=None)
    assert bench.run().orders_failed == 0
    sold, bought = bench.double.orders
    assert sold.vol_exec == Decimal("0.004")
    assert bought.cost + bought.fee < sold.cost - sold.fee + 1
    bench.double.clear_faults()
    bench.run()
    bench.assert_one_story()
