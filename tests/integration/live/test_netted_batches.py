"""Portfolios that share a real account, in one batch: whatever the venue does to a net order, the story is one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import pytest

from rebalancer_pipelines.application.batch.attempt import Outcome
from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.application.review import review_account
from rebalancer_pipelines.application.trading_control import halt, resume
from rebalancer_pipelines.domain.rebalance import TriggeredBy
from tests.support.batches import create_sharing
from tests.support.kraken_bench import KrakenBench, Meanwhile
from tests.support.kraken_double import ErrorAnswer, Fault, HtmlPage, LoseRequest, LoseResponse, Status

BTC, ETH = "XXBTZEUR", "XETHZEUR"

SHARING = {
    # BTC crosses, and some is left to sell; three want ETH and nobody has it.
    "buyer": ("BTC=30,ETH=30,EUR=40", {"EUR": "400"}),
    "seller": ("BTC=20,ETH=40,EUR=40", {"BTC": "0.012"}),
    "both": ("BTC=50,ETH=30,EUR=20", {"BTC": "0.004", "EUR": "300"}),
    "still": ("EUR=100", {"EUR": "100"}),
}
"""What each wants, and what is its own."""


@pytest.fixture
def shared(bench: KrakenBench) -> KrakenBench:
    bench.open_shared(SHARING, hold_seconds="10")
    return bench


def successes(outcomes: Mapping[str, Outcome]) -> dict[str, bool | None]:
    return {name: outcome.record.success if outcome.record else None for name, outcome in outcomes.items()}


def net_states(bench: KrakenBench) -> dict[str, str]:
    rows = bench.stored.rows("SELECT symbol, state FROM order_intent WHERE rebalance_id IS NULL")
    return {row["symbol"]: row["state"] for row in rows}


def rider_states(bench: KrakenBench, symbol: str) -> list[str]:
    rows = bench.stored.rows(
        "SELECT DISTINCT state FROM order_intent WHERE netted_into IS NOT NULL AND symbol = %s ORDER BY 1", symbol
    )
    return [row["state"] for row in rows]


def test_the_venue_sees_one_order_for_a_market(shared: KrakenBench) -> None:
    outcomes = shared.run_together()
    assert successes(outcomes) == dict.fromkeys(SHARING, True)
    assert sorted(shared.taken()) == sorted([BTC, ETH])
    assert outcomes["still"].record is not None
    assert outcomes["still"].record.orders_planned == 0
    shared.assert_one_story_inside()
    again = shared.run_together()
    assert successes(again) == dict.fromkeys(SHARING, True)
    assert len(shared.taken()) == 2, "nothing is left to do"


@pytest.mark.parametrize("place", [0, 1], ids=["sell", "buy"])
@pytest.mark.parametrize("fault", [LoseResponse(), HtmlPage(), Status(502)], ids=repr)
def test_a_net_order_whose_answer_is_spoilt_is_found_and_shared_out_once(
    shared: KrakenBench, fault: Fault, place: int
) -> None:
    shared.double.inject("AddOrder", fault, after=place)
    assert successes(shared.run_together()) == dict.fromkeys(SHARING, True)
    assert len(shared.sent()) == 2
    shared.assert_one_story_inside()


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (LoseRequest(), "NOT_ACCEPTED"),
        (ErrorAnswer("EOrder:Insufficient funds"), "REJECTED"),
        (ErrorAnswer("EGeneral:Invalid arguments"), "REJECTED"),
    ],
    ids=repr,
)
def test_a_net_buy_that_never_was_is_told_to_each_who_rode_on_it(shared: KrakenBench, fault: Fault, state: str) -> None:
    shared.double.inject("AddOrder", fault, after=1)
    outcomes = shared.run_together()
    assert successes(outcomes) == {"buyer": False, "seller": False, "both": False, "still": True}
    assert net_states(shared)["ETH/EUR"] == state
    assert rider_states(shared, "ETH/EUR") == [state]
    assert all(
        outcome.record.errors[0]["code"] == f"ORDER_{state}"
        for outcome in outcomes.values()
        if outcome.record and outcome.record.errors
    )
    shared.assert_one_story_inside()
    assert successes(shared.run_together()) == dict.fromkeys(SHARING, True)
    shared.assert_one_story_inside()


def test_a_net_sell_that_is_refused_keeps_nobody_from_crossing(shared: KrakenBench) -> None:
    shared.double.inject("AddOrder", ErrorAnswer("EGeneral:Invalid arguments"))
    shared.run_together()
    assert net_states(shared)["BTC/EUR"] == "REJECTED"
    crossed = shared.stored.rows("SELECT id FROM fill WHERE liquidity_side = 'internal'")
    assert crossed != []
    shared.assert_one_story_inside()


@pytest.mark.parametrize("place", [0, 1], ids=["sell", "buy"])
@pytest.mark.parametrize("part", ["0.00123457", "0.003"])
def test_a_part_of_a_net_order_is_shared_out_to_the_last_digit(shared: KrakenBench, part: str, place: int) -> None:
    for _ in range(place):
        shared.double.fill_next("1000000")
    shared.double.fill_next(part)
    outcomes = shared.run_together()
    assert all(outcome.record for outcome in outcomes.values())
    assert sorted(net_states(shared).values()) == ["FILLED", "PARTIALLY_FILLED"]
    shared.assert_one_story_inside()


def test_a_net_order_that_fills_in_many_trades_is_shared_out(shared: KrakenBench) -> None:
    # Ever dearer, a little each: every trade has digits of its own.
    best = Decimal(shared.double.tickers[ETH]["a"][0])
    asks = [(best + Decimal("0.37") * step, Decimal("0.0171")) for step in range(30)]
    shared.double.book("ETH/EUR", bids=[(best - 1, "100")], asks=asks)
    shared.run_together()
    shared.assert_one_story_inside()


@pytest.mark.parametrize(("filled", "state"), [("0", "CANCELED"), ("0.003", "PARTIALLY_FILLED")])
def test_a_net_order_that_stays_open_is_cancelled(shared: KrakenBench, filled: str, state: str) -> None:
    shared.double.leave_open(filled=filled)
    shared.run_together()
    assert net_states(shared)["BTC/EUR"] == state
    assert shared.double.count("CancelOrder") == 1
    shared.assert_one_story_inside()


def test_a_net_order_that_is_hidden_for_a_while_is_found(bench: KrakenBench) -> None:
    bench.open_shared(SHARING)
    bench.double.hide_orders_for(45)
    bench.double.inject("AddOrder", LoseResponse())
    assert successes(bench.run_together()) == dict.fromkeys(SHARING, True)
    bench.assert_one_story_inside()


def test_a_net_order_of_unknown_fate_stops_all_and_is_settled_later(shared: KrakenBench) -> None:
    """Nothing is compared, crossed or written while it may still trade; recovery shares it out and writes the rows."""
    shared.double.inject("AddOrder", LoseResponse())
    shared.double.hide_orders_for(3600)
    outcomes = shared.run_together()
    assert successes(outcomes) == dict.fromkeys(SHARING)
    assert all(outcome.note for outcome in outcomes.values())
    assert shared.stored.rows("SELECT id FROM rebalance_history") == []
    assert shared.stored.rows("SELECT id FROM fill") == []
    assert shared.stored.rows("SELECT id FROM ledger_entry WHERE kind = 'outside_trade'") == []

    shared.double.hide_orders_for(0)
    assert recover_abandoned_accounts(shared.ports) == []
    rows = shared.stored.rows("SELECT errors FROM rebalance_history")
    assert [row["errors"][0]["code"] for row in rows] == ["INTERRUPTED"] * len(SHARING)
    assert net_states(shared) == {"BTC/EUR": "FILLED", "ETH/EUR": "VOID"}
    shared.assert_one_story_inside()
    assert successes(shared.run_together()) == dict.fromkeys(SHARING, True)
    shared.assert_one_story_inside()


def test_a_net_order_that_needs_a_person_is_shared_out_by_the_review(shared: KrakenBench) -> None:
    shared.double.inject("AddOrder", LoseResponse())
    shared.double.hide_orders_for(7200)
    shared.run_together()
    shared.clock.pass_time(shared.ports.lease_patience * 10)
    (line,) = recover_abandoned_accounts(shared.ports)
    assert "NEEDS_REVIEW" in line
    shared.double.hide_orders_for(0)
    assert review_account(shared.ports, "kraken").is_clear
    assert len(shared.stored.rows("SELECT id FROM rebalance_history")) == len(SHARING)
    shared.assert_one_story_inside()
    resume(shared.ports, "kraken")
    assert successes(shared.run_together()) == dict.fromkeys(SHARING, True)
    shared.assert_one_story_inside()


def test_nothing_crosses_and_nothing_is_bought_once_everything_is_stopped(shared: KrakenBench) -> None:
    shared.double.inject("AddOrder", Meanwhile(lambda: halt(shared.ports, None, "a test")))
    outcomes = shared.run_together()
    assert shared.taken() == [BTC], "the sell was on its way"
    assert shared.stored.rows("SELECT id FROM fill WHERE liquidity_side = 'internal'") == []
    codes = {name: o.record.errors[0]["code"] if o.record and o.record.errors else "" for name, o in outcomes.items()}
    assert codes == {"buyer": "KILLED", "seller": "KILLED", "both": "KILLED", "still": ""}
    shared.assert_one_story_inside()


def test_a_market_that_is_gone_is_the_problem_of_those_who_need_it(shared: KrakenBench) -> None:
    create_sharing(shared.ports, {"bitcoin": ("BTC=50,EUR=50", {"EUR": "200"})}, account="kraken")
    del shared.double.pairs[ETH]
    shared.clock.pass_time(timedelta(minutes=2))
    needing_it = {"buyer": False, "seller": False, "both": False}
    assert successes(shared.run_together()) == {**needing_it, "bitcoin": True, "still": True}
    assert shared.taken() == [BTC]
    shared.assert_one_story_inside()


def test_who_loses_its_buyer_is_not_blamed_for_it(bench: KrakenBench) -> None:
    """One cannot pay because its own sell was refused; the other's units stay, and it is no failure that pauses it."""
    bench.open_shared(
        {
            "poor": ("ETH=0,BTC=95,EUR=5", {"ETH": "0.2"}),
            "seller": ("BTC=0,EUR=100", {"BTC": "0.002"}),
            "still": ("EUR=100", {"EUR": "100"}),
        }
    )
    bench.double.inject("AddOrder", ErrorAnswer("EGeneral:Invalid arguments"))
    outcomes = bench.run_together(TriggeredBy.SCHEDULER)
    told = {name: [e["code"] for e in o.record.errors or []] for name, o in outcomes.items() if o.record}
    assert told == {"poor": ["ORDER_REJECTED", "DUST_SKIPPED"], "seller": ["DUST_SKIPPED"], "still": []}
    bench.assert_one_story_inside()
    failures = bench.stored.rows("SELECT name, failures_in_a_row FROM portfolio ORDER BY name")
    assert [row["failures_in_a_row"] for row in failures] == [1, 0, 0]
    bench.run_together()
    assert bench.stored.book("seller").keys() == {"EUR"}
    bench.assert_one_story_inside()
