"""Reads that hang, drip, break or lie: every run ends in time, in one line, and rests on nothing that was not read."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from rebalancer_pipelines.application.trading_control import resume
from rebalancer_pipelines.domain.errors import DeniedError, RebalancerError, VenueUnreachableError
from tests.support.kraken_bench import KrakenBench
from tests.support.kraken_double import (
    AcceptedWithWarning,
    BadGzip,
    Drip,
    EmptyBody,
    EmptyJson,
    EmptyResult,
    Fault,
    FixedAnswer,
    Hang,
    HtmlPage,
    LoseResponse,
    Reset,
    Status,
    Truncated,
)

BTC, ETH = "XXBTZEUR", "XETHZEUR"

BEFORE_THE_ORDERS = ("GetApiKeyInfo", "Time", "BalanceEx", "TradeVolume", "Ticker", "AssetPairs", "Assets")
"""What a run reads before it sends anything."""

LIES = (
    LoseResponse(),
    Reset(),
    Truncated(),
    Truncated(length_matches=False),
    HtmlPage(),
    EmptyBody(),
    EmptyJson(),
    EmptyResult(),
    BadGzip(),
    Status(502),
    FixedAnswer(200, "[]"),
    FixedAnswer(200, '{"error":[],"result":null}'),
    FixedAnswer(200, '{"error":[],"result":[]}'),
)
MAY_BE_EMPTY = {("BalanceEx", EmptyResult())}
"""An account that holds nothing is answered so; it is looked at again, see the faults of the balances."""

LISTS_ARE_OLD = timedelta(minutes=2)
"""Lists and the time are read again once they are a minute old."""


@pytest.mark.parametrize("endpoint", BEFORE_THE_ORDERS)
def test_a_read_that_lies_stops_the_run_before_its_orders(bench: KrakenBench, endpoint: str) -> None:
    bench.open()
    for lie in LIES:
        if (endpoint, lie) in MAY_BE_EMPTY:
            continue
        bench.clock.pass_time(LISTS_ARE_OLD)
        bench.double.inject(endpoint, lie, times=None)
        with pytest.raises(RebalancerError) as refusal:
            bench.run()
        assert "\n" not in str(refusal.value), lie
        assert len(str(refusal.value)) < 300, lie
        assert bench.sent() == [], lie
        bench.double.clear_faults()
        resume(bench.ports, "kraken")
    bench.clock.pass_time(LISTS_ARE_OLD)
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


def test_a_read_that_lies_after_the_orders_leaves_them_to_the_next_run(bench: KrakenBench) -> None:
    """The balances after the last fill cannot be read: what was traded is booked all the same."""
    bench.open()
    bench.double.inject("BalanceEx", Status(502), after=1, times=None)
    with pytest.raises(VenueUnreachableError, match="HTTP 502"):
        bench.run()
    assert bench.taken() == [BTC, ETH]
    assert bench.intents() == [("BTC/EUR", "FILLED"), ("ETH/EUR", "FILLED")]
    bench.double.clear_faults()
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


@pytest.mark.parametrize(
    ("endpoint", "silence"), [("BalanceEx", Hang()), ("BalanceEx", Drip()), ("Ticker", Hang()), ("AssetPairs", Drip())]
)
def test_an_answer_that_never_ends_ends_the_run_in_time(bench: KrakenBench, endpoint: str, silence: Fault) -> None:
    bench.open()
    bench.clock.pass_time(LISTS_ARE_OLD)
    bench.double.inject(endpoint, silence, times=None)
    begun = time.monotonic()
    with pytest.raises(VenueUnreachableError, match=r"no whole answer|RequestTimeout"):
        bench.run()
    assert time.monotonic() - begun < 4
    assert bench.sent() == []
    bench.double.clear_faults()
    bench.double.release()
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


def test_a_look_up_that_never_ends_is_asked_again(bench: KrakenBench) -> None:
    bench.open()
    bench.double.inject("AddOrder", LoseResponse())
    bench.double.inject("OpenOrders", Hang())
    bench.double.inject("QueryTrades", Drip())
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


def test_a_cancellation_that_hangs_is_followed_by_a_look(bench: KrakenBench) -> None:
    bench.open()
    bench.double.leave_open(filled="0.003")
    bench.double.inject("CancelOrder", Hang(done=True))
    assert bench.run().success
    assert bench.intents()[0] == ("BTC/EUR", "PARTIALLY_FILLED")
    bench.assert_one_story()


@pytest.mark.parametrize(
    "row",
    [
        '{"balance":"NaN","hold_trade":"0"}',
        '{"balance":null,"hold_trade":"0"}',
        '{"balance":"1000.0"}',
        '{"balance":"1000.0","hold_trade":"-5"}',
        '["1000.0"]',
    ],
)
def test_a_balance_that_is_no_amount_is_no_balance(bench: KrakenBench, row: str) -> None:
    bench.open()
    bench.double.inject("BalanceEx", FixedAnswer(200, f'{{"error":[],"result":{{"ZEUR":{row}}}}}'))
    with pytest.raises(VenueUnreachableError, match="balances cannot be read: the answer is not Kraken's"):
        bench.run()
    assert bench.sent() == []
    bench.assert_one_story()


def test_a_warning_beside_an_answer_is_no_failure(bench: KrakenBench) -> None:
    bench.open()
    for endpoint in ("GetApiKeyInfo", "BalanceEx", "TradeVolume", "QueryOrders", "QueryTrades", "Ledgers"):
        bench.double.inject(endpoint, AcceptedWithWarning(), times=None)
    assert bench.run().success
    bench.assert_one_story()


@pytest.mark.parametrize("minutes", [5, -5])
def test_a_venue_whose_clock_is_far_off_gets_no_order(bench: KrakenBench, minutes: int) -> None:
    bench.open()
    bench.clock.pass_time(LISTS_ARE_OLD)
    told = int(bench.clock.now().timestamp()) + minutes * 60
    bench.double.inject("Time", FixedAnswer(200, f'{{"error":[],"result":{{"unixtime":{told}}}}}'))
    with pytest.raises(DeniedError, match="CLOCK_SKEW"):
        bench.run()
    assert bench.sent() == []
    bench.clock.pass_time(LISTS_ARE_OLD)
    assert bench.run().success
    bench.assert_one_story()
