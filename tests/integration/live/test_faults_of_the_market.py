"""What may be wrong with markets and prices: nothing is traded on them, and every order keeps the venue's rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from rebalancer_pipelines.application.accounts import change_settings
from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.application.review import review_account
from rebalancer_pipelines.application.trading_control import resume
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, VenueUnreachableError
from tests.support.kraken_bench import KrakenBench, Meanwhile, assert_nothing_doubled, merged
from tests.support.kraken_double import Fault, OtherPair
from tests.support.kraken_double.messages import Answer, Delivery, json_answer
from tests.support.rebalancing import rebalance

BTC, ETH = "XXBTZEUR", "XETHZEUR"


# Prices.


def quoted(bid: Any, ask: Any) -> Callable[[KrakenBench], None]:
    return lambda bench: bench.double.quote("ETH/EUR", bid, ask)


def told(ticker: Any) -> Callable[[KrakenBench], None]:
    return lambda bench: bench.double.tickers.update({ETH: ticker})


UNSOUND = {
    "null": quoted(None, None),
    "no bid": quoted(None, "2431.38"),
    "NaN": quoted("NaN", "NaN"),
    "infinite": quoted("2431.37", "Infinity"),
    "zero": quoted("0.00000", "0.00000"),
    "zero bid": quoted("0.00000", "2431.38"),
    "negative": quoted("-2431.37", "-2431.36"),
    "crossed": quoted("2440.00", "2431.38"),
    "too wide": quoted("2400.00", "2460.00"),
    "no text": quoted(2431.37, 2431.38),
    "no prices": told({}),
    "no object": told(None),
    "empty lists": told({"a": [], "b": []}),
}


@pytest.mark.parametrize("spoil", UNSOUND.values(), ids=UNSOUND)
def test_a_price_that_is_none_denies_the_whole_run(bench: KrakenBench, spoil: Callable[[KrakenBench], None]) -> None:
    bench.open()
    spoil(bench)
    with pytest.raises(DeniedError, match=r"PRICE_INVALID: .*ETH/EUR"):
        bench.run()
    assert bench.sent() == []
    assert bench.codes() == [["PRICE_INVALID"]]
    bench.assert_one_story()


@pytest.mark.parametrize("spoilt", ["null", "zero", "crossed", "too wide"])
def test_a_price_that_is_none_when_it_is_read_again_holds_its_order_back(bench: KrakenBench, spoilt: str) -> None:
    """The first order takes so long that the second one's quote has to be read again."""
    bench.open()

    def take_long() -> None:
        UNSOUND[spoilt](bench)
        bench.clock.pass_time(timedelta(seconds=16))

    bench.double.inject("AddOrder", Meanwhile(take_long))
    bench.run()
    assert bench.taken() == [BTC]
    assert len(bench.sent()) == 1
    assert bench.intents() == [("BTC/EUR", "FILLED"), ("ETH/EUR", "DENIED")]
    assert bench.codes() == [["PRICE_INVALID"]]
    bench.assert_one_story()


@dataclass(frozen=True)
class Without(Fault):
    """The answer lacks one pair, as if nobody had asked for it."""

    pair: str

    def deliver(self, answer: Answer) -> Delivery:
        document = json.loads(answer.body)
        document["result"].pop(self.pair)
        return Delivery(json_answer(document))


def test_a_price_that_is_missing_from_the_answer_never_drops_its_currency(bench: KrakenBench) -> None:
    bench.open()
    bench.double.inject("Ticker", Without(ETH))
    with pytest.raises(DeniedError, match="PRICE_INVALID: no price for ETH/EUR"):
        bench.run()
    assert bench.sent() == []
    assert bench.run().success
    bench.assert_one_story()


def test_the_ticker_of_another_pair_is_nobodys_price(bench: KrakenBench) -> None:
    bench.open("BTC=70,EUR=30")
    bench.double.inject("Ticker", OtherPair("ETH/EUR"))
    with pytest.raises(VenueUnreachableError):
        bench.run()
    assert bench.sent() == []
    assert bench.run().success
    assert bench.taken() == [BTC]
    bench.assert_one_story()


def test_another_markets_price_under_our_symbol_wants_a_persons_word(bench: KrakenBench) -> None:
    bench.open()
    assert bench.run().success
    change_settings(bench.ports, "kraken", {"max_price_jump": "0.1"})
    sound = bench.double.tickers[ETH]
    bench.double.tickers[ETH] = bench.double.tickers[BTC]
    sent = bench.sent()
    with pytest.raises(DeniedError, match="PRICE_COLLAR: mid of ETH/EUR is 61234"):
        rebalance(bench.ports, "core", confirmed=frozenset({DenialReason.TURNOVER}))
    assert bench.sent() == sent
    bench.double.tickers[ETH] = sound
    assert bench.run().success
    bench.assert_one_story()


def test_a_market_that_runs_away_is_not_followed_beyond_the_limit(bench: KrakenBench) -> None:
    bench.open()
    bench.double.inject("AddOrder", Meanwhile(lambda: bench.double.quote("BTC/EUR", "65000.0", "65000.1")))
    bench.run()
    assert bench.intents() == [("BTC/EUR", "CANCELED"), ("ETH/EUR", "FILLED")]
    assert bench.double.orders[0].trades == []
    bench.assert_one_story()


# Markets that close.

UNQUOTED = {"cancel_only", "delisted", "work_in_progress"}
"""In these nothing can trade, so what their tickers say is no price."""


def forget_lists(bench: KrakenBench) -> None:
    """The lists of markets are read again once they are a minute old."""
    bench.clock.pass_time(timedelta(minutes=2))


@pytest.mark.parametrize("status", ["cancel_only", "post_only", "reduce_only", "delisted", "work_in_progress"])
def test_a_market_that_is_not_online_gets_no_order(bench: KrakenBench, status: str) -> None:
    bench.open()
    bench.double.set_status("ETH/EUR", status)
    forget_lists(bench)
    refused = status in UNQUOTED
    if refused:
        with pytest.raises(DeniedError, match="PRICE_INVALID: no price for ETH/EUR"):
            bench.run()
    else:
        assert bench.run().success
    assert bench.taken() == ([] if refused else [BTC])
    assert len(bench.sent()) == len(bench.taken())
    bench.double.set_status("ETH/EUR", "online")
    forget_lists(bench)
    assert bench.run().success
    assert sorted(bench.taken()) == sorted([BTC, ETH])
    bench.assert_one_story()


def test_a_pair_that_is_gone_from_the_list_denies_the_run(bench: KrakenBench) -> None:
    bench.open()
    del bench.double.pairs[ETH]
    forget_lists(bench)
    with pytest.raises(DeniedError, match="ETH/EUR"):
        bench.run()
    assert bench.sent() == []
    bench.assert_one_story()


@pytest.mark.parametrize("status", ["cancel_only", "delisted"])
@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
def test_a_market_that_closes_while_its_order_is_on_the_way_refuses_it(
    bench: KrakenBench, status: str, place: int
) -> None:
    bench.open()
    symbol = ["BTC/EUR", "ETH/EUR"][place]
    bench.double.inject("AddOrder", Meanwhile(lambda: bench.double.set_status(symbol, status)), after=place)
    bench.run()
    assert bench.codes() == [["ORDER_REJECTED"]]
    assert bench.taken() == [[BTC, ETH][1 - place]]
    assert len(bench.sent()) == 2
    bench.assert_one_story()


@pytest.mark.parametrize("is_gone", [False, True], ids=["cancel only", "gone from the list"])
def test_a_market_that_closes_between_the_plan_and_its_orders_gets_none(bench: KrakenBench, is_gone: bool) -> None:
    """The lists are a minute old by then, so they are read again before anything leaves."""
    bench.open()

    def close_market() -> None:
        if is_gone:
            del bench.double.pairs[ETH]
        else:
            bench.double.set_status("ETH/EUR", "cancel_only")

    # Fees are asked for twice, for the plan and before the orders; then clock and lists are looked at once more.
    bench.double.inject("TradeVolume", Meanwhile(lambda: forget_lists(bench)), after=1)
    bench.double.inject("Time", Meanwhile(close_market), after=1)
    bench.run()
    assert bench.intents() == [("BTC/EUR", "FILLED"), ("ETH/EUR", "DENIED")]
    assert bench.codes() == [["PAIR_HALTED"]]
    assert bench.taken() == [BTC]
    assert len(bench.sent()) == 1
    bench.assert_one_story()


# Orders that end up in another market.


@pytest.mark.parametrize(
    ("place", "other", "is_filled"),
    [(0, "ETH/EUR", True), (1, "SOL/EUR", True), (1, "SOL/EUR", False)],
    ids=["first", "second", "unfilled"],
)
def test_an_order_that_was_taken_for_another_pair_goes_to_a_person(
    bench: KrakenBench, place: int, other: str, is_filled: bool
) -> None:
    bench.open()
    if not is_filled:
        bench.double.book(other, bids=[("143.12", "10")])
    bench.double.inject("AddOrder", OtherPair(other), after=place)
    with pytest.raises(DeniedError, match="ACCOUNT_HALTED"):
        bench.run()
    wrong = bench.double.orders[place]
    assert bool(wrong.trades) == is_filled
    assert bench.intents()[place][1] == "NEEDS_REVIEW"
    reason = bench.account()["trading_state_reason"]
    assert str(wrong.cl_ord_id) in reason
    assert "in another market" in reason
    sent = bench.sent()
    with pytest.raises(DeniedError, match="ACCOUNT_HALTED"):
        bench.run()
    bench.clock.pass_time(timedelta(hours=1))
    assert len(recover_abandoned_accounts(bench.ports)) == 1
    assert bench.sent() == sent, "nothing more leaves until a person has looked"
    # Whatever it traded is no trade of ours any more: it is booked as one that was made by hand.
    review = review_account(bench.ports, "kraken", not_accepted=[str(wrong.cl_ord_id)])
    assert review.is_clear
    resume(bench.ports, "kraken")
    assert bench.run().success
    assert_nothing_doubled(bench.double, bench.stored)
    assert {currency: amount for (_, currency), amount in bench.stored.ledger_sums().items()} == merged(
        bench.double.balances()
    )


# Grids and minimums.


@pytest.mark.parametrize(
    ("changes", "multiple"),
    [
        ({"tick_size": "0.5"}, "0.5"),
        ({"tick_size": "25"}, "25"),
        ({"pair_decimals": 0, "tick_size": "1"}, "1"),
        ({"tick_size": "0.1", "lot_decimals": 4}, "0.1"),
    ],
    ids=repr,
)
def test_every_order_stands_on_the_grids_of_its_market(
    bench: KrakenBench, changes: dict[str, Any], multiple: str
) -> None:
    bench.double.pairs[BTC] |= changes
    bench.double.deposit("BTC", "0.05")
    bench.open("BTC=10,ETH=60,EUR=30")
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    assert bench.double.orders[0].side == "sell"
    assert bench.double.orders[0].limit % Decimal(multiple) == 0
    bench.assert_one_story()


def test_prices_of_many_digits_and_amounts_of_few_are_traded_alike(bench: KrakenBench) -> None:
    bench.open("PEPE=20,DOGE=20,XRP=20,ADA=20,EUR=20")
    assert bench.run().success
    assert sorted(bench.taken()) == ["ADAEUR", "PEPEEUR", "XXDGZEUR", "XXRPZEUR"]
    bench.assert_one_story()


def test_a_grid_that_changes_during_the_run_is_refused_and_known_to_the_next(bench: KrakenBench) -> None:
    bench.open()

    def change_grid() -> None:
        bench.double.pairs[ETH] |= {"tick_size": "5"}

    bench.double.inject("AddOrder", Meanwhile(change_grid), after=1)
    bench.run()
    assert bench.intents() == [("BTC/EUR", "FILLED"), ("ETH/EUR", "REJECTED")]
    forget_lists(bench)
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


def test_dust_is_left_alone_and_makes_no_loop(bench: KrakenBench) -> None:
    bench.double.pairs[ETH] |= {"ordermin": "1"}
    bench.open()
    for _ in range(3):
        assert bench.run().success
    assert bench.taken() == [BTC]
    assert len(bench.sent()) == 1
    bench.assert_one_story()


def test_a_minimum_cost_that_rose_is_kept(bench: KrakenBench) -> None:
    bench.double.pairs[ETH] |= {"costmin": "500"}
    bench.open()
    assert bench.run().success
    assert bench.taken() == [BTC]
    assert len(bench.sent()) == 1
    bench.assert_one_story()
