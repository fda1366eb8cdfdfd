"""What may happen to the money on the account without us: found, typed and booked, or the account freezes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest

from rebalancer_pipelines.application.portfolios import allocate_money, release_money
from rebalancer_pipelines.application.review import review_account
from rebalancer_pipelines.application.trading_control import resume
from rebalancer_pipelines.domain.errors import DeniedError, VenueUnreachableError
from rebalancer_pipelines.domain.values import Currency
from tests.support.kraken_bench import KrakenBench, Meanwhile, open_live_account, run_live, sums_by_kind
from tests.support.kraken_double import EmptyResult, ErrorAnswer, Fault, LoseRequest, LoseResponse
from tests.support.kraken_double.records import Order

EUR = Currency("EUR")
BTC, ETH = "XXBTZEUR", "XETHZEUR"

PLACES = pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
"""During which order of the run it happens."""


@dataclass(frozen=True)
class FeeInBase(Fault):
    """The venue takes the fee in the currency that is bought or sold, whatever we asked for."""

    def rewritten(self, parameters: dict[str, str]) -> dict[str, str]:
        return {**parameters, "oflags": "fcib"}


# Balances that are late.


@pytest.mark.parametrize("seconds", [20, 85])
def test_balances_that_lag_behind_the_fills_are_waited_for(bench: KrakenBench, seconds: int) -> None:
    bench.open()
    bench.double.stale_balances_for(seconds)
    assert bench.run().success
    assert bench.account()["trading_state"] == "active"
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


def test_balances_that_stay_behind_freeze_the_account_with_the_difference(bench: KrakenBench) -> None:
    bench.open()
    bench.double.stale_balances_for(600)
    with pytest.raises(DeniedError, match=r"BOOKS_DIFFER: .*BTC -0\.006.*, ETH -0\.12.*, EUR \+70"):
        bench.run()
    assert bench.account()["trading_state"] == "halted"
    with pytest.raises(DeniedError, match="ACCOUNT_HALTED"):
        bench.run()
    assert bench.taken() == [BTC, ETH]
    bench.clock.pass_time(timedelta(minutes=10))
    assert review_account(bench.ports, "kraken").is_clear
    resume(bench.ports, "kraken")
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


def test_a_trade_that_the_very_first_balances_did_not_show_yet_is_booked_later(bench: KrakenBench) -> None:
    """The opening balances are older than they look: what happened before them is not in them."""
    bench.open()
    bench.double.stale_balances_for(20)
    trade(bench)
    bench.clock.pass_time(timedelta(seconds=1))
    assert bench.run().success
    assert booked_from_outside(bench) == exact(EVENTS["outside trade"][1])
    bench.assert_one_story()


def test_an_absence_is_judged_once_the_other_order_of_the_run_explains_the_balances(bench: KrakenBench) -> None:
    """Another order of ours has moved the same currency, and is not shown yet: only that explains the balances."""
    bench.open()
    bench.double.hide_orders_for(80)
    bench.double.stale_balances_for(40)
    bench.double.inject("AddOrder", LoseRequest(), after=1)
    bench.run()
    assert bench.intents() == [("BTC/EUR", "FILLED"), ("ETH/EUR", "NOT_ACCEPTED")]
    bench.assert_one_story()


@pytest.mark.parametrize("times", [1, 3])
def test_an_empty_list_of_balances_is_looked_at_again(bench: KrakenBench, times: int) -> None:
    bench.open()
    bench.double.inject("BalanceEx", EmptyResult(), times=times)
    assert bench.run().success
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


def test_balances_that_stay_empty_freeze_the_account_and_nothing_is_planned_on_them(bench: KrakenBench) -> None:
    bench.open()
    bench.double.inject("BalanceEx", EmptyResult(), times=None)
    with pytest.raises(DeniedError, match=r"BOOKS_DIFFER: .*EUR -1000"):
        bench.run()
    assert bench.sent() == []
    bench.double.clear_faults()
    assert review_account(bench.ports, "kraken").is_clear
    resume(bench.ports, "kraken")
    assert bench.run().success
    bench.assert_one_story()


# What others do.


def deposit(bench: KrakenBench) -> None:
    bench.double.deposit("EUR", "500", fee="1.5")


def withdraw(bench: KrakenBench) -> None:
    bench.double.withdraw("EUR", "50", fee="0.35")


def trade(bench: KrakenBench) -> None:
    bench.double.trade_by_hand("SOL/EUR", "buy", "0.2", "143.13")


def convert(bench: KrakenBench) -> None:
    bench.double.convert("EUR", "40", "SOL", "0.27", fee="0.2")


def reward(bench: KrakenBench) -> None:
    bench.double.reward("SOL", "0.02", fee="0.001")


EVENTS = {
    "deposit": (deposit, {("deposit", "EUR"): "500", ("fee", "EUR"): "-1.5"}),
    "withdrawal": (withdraw, {("withdrawal", "EUR"): "-50", ("fee", "EUR"): "-0.35"}),
    "outside trade": (
        trade,
        {("outside_trade", "EUR"): "-28.626", ("fee", "EUR"): "-0.1145", ("outside_trade", "SOL"): "0.2"},
    ),
    "conversion": (convert, {("adjustment", "EUR"): "-40", ("fee", "EUR"): "-0.2", ("adjustment", "SOL"): "0.27"}),
    "reward": (reward, {("reward", "SOL"): "0.02", ("fee", "SOL"): "-0.001"}),
}
OUTSIDE = pytest.mark.parametrize(("event", "entries"), EVENTS.values(), ids=EVENTS)


def booked_from_outside(bench: KrakenBench) -> dict[tuple[str, str], Decimal]:
    """What the ledger has of lines of the venue's own ledger, by kind and currency."""
    rows = bench.stored.rows(
        "SELECT kind, currency, sum(amount) AS amount FROM ledger_entry WHERE venue_entry_id IS NOT NULL GROUP BY 1, 2"
    )
    return {(row["kind"], row["currency"]): row["amount"] for row in rows}


def exact(entries: dict[tuple[str, str], str]) -> dict[tuple[str, str], Decimal]:
    return {key: Decimal(amount) for key, amount in entries.items()}


@OUTSIDE
def test_what_happens_between_two_looks_is_typed_and_booked_once(
    bench: KrakenBench, event: Callable[[KrakenBench], None], entries: dict[tuple[str, str], str]
) -> None:
    bench.open()
    event(bench)
    assert bench.run().success
    assert bench.run().success
    assert booked_from_outside(bench) == exact(entries)
    bench.assert_one_story()


@pytest.mark.parametrize(
    ("event", "entries", "place"),
    [(*case, 1) for case in EVENTS.values()] + [(*EVENTS["outside trade"], 0)],
    ids=[*EVENTS, "outside trade, first"],
)
def test_what_happens_during_a_run_is_typed_and_booked_at_its_end(
    bench: KrakenBench, event: Callable[[KrakenBench], None], entries: dict[tuple[str, str], str], place: int
) -> None:
    bench.open()
    bench.double.inject("AddOrder", Meanwhile(lambda: event(bench)), after=place)
    assert bench.run().success
    assert booked_from_outside(bench) == exact(entries)
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


@dataclass(frozen=True)
class LostMeanwhile(LoseRequest):
    """The request is lost while something else happens."""

    act: Callable[[], object] = lambda: None

    def on_arrival(self, gate: object, now: object) -> None:
        self.act()


def test_a_deposit_does_not_keep_a_lost_order_from_being_proved_absent(bench: KrakenBench) -> None:
    bench.open()
    bench.double.inject("AddOrder", LostMeanwhile(lambda: deposit(bench)))
    bench.run()
    assert bench.intents() == [("BTC/EUR", "NOT_ACCEPTED"), ("ETH/EUR", "FILLED")]
    bench.assert_one_story()


def test_a_trade_by_hand_in_its_market_keeps_a_lost_order_from_being_judged_absent(bench: KrakenBench) -> None:
    """The trade may be the order's own: nobody but a person can say that it is not."""
    bench.open()

    def trade_bitcoin() -> None:
        bench.double.trade_by_hand("BTC/EUR", "buy", "0.0001", "61234.6")

    bench.double.inject("AddOrder", LostMeanwhile(trade_bitcoin))
    with pytest.raises(DeniedError, match="ACCOUNT_HALTED"):
        bench.run()
    assert bench.intents() == [("BTC/EUR", "UNKNOWN"), ("ETH/EUR", "VOID")]
    bench.clock.pass_time(timedelta(minutes=16))
    with pytest.raises(DeniedError, match="CIRCUIT_OPEN"):
        bench.run()
    assert bench.intents()[0] == ("BTC/EUR", "NEEDS_REVIEW")
    assert "which no order of ours explains" in bench.account()["trading_state_reason"]
    (lost,) = bench.sent()
    assert review_account(bench.ports, "kraken", not_accepted=[lost]).is_clear
    resume(bench.ports, "kraken")
    assert bench.run().success
    assert sums_by_kind(bench.stored)["outside_trade", "BTC"] == Decimal("0.0001")
    bench.assert_one_story()


def order_by_hand(bench: KrakenBench) -> Order:
    """A person's limit order, which rests and holds half of the cash."""
    now = bench.clock.now()
    wanted = {"pair": ETH, "type": "buy", "ordertype": "limit", "price": "2000", "volume": "0.249"}
    _, order = bench.double._exchange.add_order(wanted, arrived_at=now, now=now)
    assert order is not None
    order.by_hand = True
    return order


def test_what_a_persons_order_holds_is_not_spent_and_the_order_is_left_alone(bench: KrakenBench) -> None:
    bench.open("BTC=80,EUR=20")
    resting = order_by_hand(bench)
    bench.double.leave_open(filled="0.001")
    bench.run()
    assert resting.status == "open"
    assert bench.double.orders[1].status == "canceled"
    assert bench.double.orders[1].volume * Decimal("61234.6") < 500
    bench.assert_one_story()


def test_a_persons_order_that_fills_during_the_run_is_a_trade_from_outside(bench: KrakenBench) -> None:
    bench.open("BTC=80,EUR=20")
    resting = order_by_hand(bench)
    bench.double.inject("AddOrder", Meanwhile(lambda: bench.double.fill_open(resting.txid)))
    assert bench.run().success
    assert sums_by_kind(bench.stored)["outside_trade", "ETH"] == Decimal("0.249")
    assert bench.taken() == [BTC]
    bench.assert_one_story()


def test_a_hundred_movements_are_read_to_the_last_page(bench: KrakenBench) -> None:
    bench.open()
    for _ in range(101):
        bench.double.deposit("EUR", "1")
    assert bench.run().success
    assert booked_from_outside(bench) == {("deposit", "EUR"): Decimal(101)}
    bench.assert_one_story()


def test_a_movement_that_the_venues_ledger_shows_late_freezes_nothing(bench: KrakenBench) -> None:
    bench.open()
    assert bench.run().success
    bench.double.hide_trades_for(60)
    trade(bench)
    assert bench.run().success
    assert ("outside_trade", "SOL") in booked_from_outside(bench)
    bench.assert_one_story()


def test_a_change_that_cannot_be_looked_up_stops_the_run_and_is_booked_by_the_next(bench: KrakenBench) -> None:
    bench.open()
    deposit(bench)
    bench.double.inject("Ledgers", ErrorAnswer("EService:Unavailable"), times=None)
    with pytest.raises(VenueUnreachableError, match="ledger cannot be read"):
        bench.run()
    assert bench.sent() == []
    bench.double.clear_faults()
    assert bench.run().success
    assert booked_from_outside(bench) == exact({("deposit", "EUR"): "500", ("fee", "EUR"): "-1.5"})
    bench.assert_one_story()


# Portfolios that share the account.


def test_what_goes_wrong_in_one_portfolio_is_not_paid_by_another(bench: KrakenBench) -> None:
    open_live_account(bench.ports, bench.double, portfolios={"core": "BTC=40,ETH=30,EUR=30", "other": "EUR=100"})
    allocate_money(bench.ports, "other", {EUR: Decimal(400)}, source="core")
    bench.double.set_fees(taker_percent="0.8", maker_percent="0.5")
    bench.double.inject("AddOrder", LoseResponse())
    bench.double.fill_next("0.002")
    bench.double.inject("AddOrder", FeeInBase(), after=1)
    bench.double.inject("AddOrder", Meanwhile(lambda: deposit(bench)), after=1)
    bench.run()
    assert bench.taken() == [BTC, ETH]
    assert bench.stored.book("other") == {"EUR": Decimal(400)}
    assert bench.stored.book("core")["EUR"] > 0
    bench.assert_one_story()


def test_money_that_left_without_a_portfolio_that_gave_it_stops_both(bench: KrakenBench) -> None:
    open_live_account(bench.ports, bench.double, portfolios={"core": "BTC=40,ETH=30,EUR=30", "other": "BTC=100"})
    allocate_money(bench.ports, "other", {EUR: Decimal(400)}, source="core")
    withdraw(bench)
    for portfolio in ("core", "other"):
        with pytest.raises(DeniedError, match=r"UNALLOCATED_SHORT: EUR -50\.35 left account kraken"):
            run_live(bench.ports, portfolio)
    assert bench.sent() == []
    release_money(bench.ports, "core", {EUR: Decimal("50.35")})
    for portfolio in ("core", "other"):
        assert run_live(bench.ports, portfolio).success
    assert bench.taken() == [BTC, ETH, BTC]
    bench.assert_one_story()


# Forms of one currency.


def test_units_that_earn_rewards_are_spendable_with_their_currency(bench: KrakenBench) -> None:
    bench.double.deposit("BTC", "0.004")
    bench.double.deposit("BTC.F", "0.016")
    bench.open("BTC=0,EUR=100")

    def take_out_of_rewards() -> None:
        # Kraken does this by itself when an order needs them.
        bench.double.transfer("BTC.F", "BTC", "0.016", kind="earn")

    bench.double.inject("AddOrder", Meanwhile(take_out_of_rewards))
    assert bench.run().success
    (order,) = bench.double.orders
    assert (order.side, order.vol_exec) == ("sell", Decimal("0.02"))
    bench.assert_one_story()


@pytest.mark.parametrize("form", ["BTC.S", "BTC.B", "BTC.M", "BTC28.S"])
def test_locked_units_count_for_value_and_are_never_sold(bench: KrakenBench, form: str) -> None:
    bench.double.deposit("BTC", "0.004")
    bench.double.deposit(form, "0.016")
    bench.open("BTC=0,EUR=100")
    record = bench.run()
    assert record.portfolio_value is not None
    assert record.portfolio_value > 2200
    (order,) = bench.double.orders
    assert order.vol_exec == Decimal("0.004")
    assert bench.run().portfolio_value is not None
    assert len(bench.sent()) == 1, "what is locked is not tried again and again"
    assert bench.stored.book("core")["BTC"] == Decimal("0.016")
    bench.assert_one_story()


@pytest.mark.parametrize("form", ["EUR.HOLD", "EUR.M"])
def test_cash_that_is_on_hold_counts_for_value_and_is_not_spent(bench: KrakenBench, form: str) -> None:
    bench.double.deposit(form, "500")
    bench.open("BTC=80,EUR=20")
    record = bench.run()
    assert record.portfolio_value == 1500
    (order,) = bench.double.orders
    assert order.cost + order.fee < 1000
    assert bench.double.balances()["EUR"] >= 0
    bench.assert_one_story()


@pytest.mark.parametrize(
    ("form", "kind"), [("ETH.F", "earn"), ("ETH.S", "transfer"), ("ETH.B", "transfer"), ("ETH.M", "earn")]
)
def test_moves_between_forms_change_no_book(bench: KrakenBench, form: str, kind: str) -> None:
    bench.open()
    assert bench.run().success
    bench.double.transfer("ETH", form, "0.05", kind=kind)
    assert bench.run().success
    assert booked_from_outside(bench) == {}
    assert bench.taken() == [BTC, ETH]
    bench.assert_one_story()


def test_a_reward_on_another_form_is_income_of_its_currency(bench: KrakenBench) -> None:
    bench.open()
    assert bench.run().success
    bench.double.transfer("ETH", "ETH.F", "0.05", kind="earn")
    bench.double.reward("ETH.F", "0.001", kind="earn")
    bench.double.reward("DOT28.S", "0.4")
    assert bench.run().success
    sums = sums_by_kind(bench.stored)
    assert sums["reward", "ETH"] == Decimal("0.001")
    assert sums["reward", "DOT"] == Decimal("0.4")
    bench.assert_one_story()


# Fees.


@PLACES
def test_a_fee_in_base_is_booked_in_base(bench: KrakenBench, place: int) -> None:
    bench.open()
    bench.double.inject("AddOrder", FeeInBase(), after=place)
    assert bench.run().success
    assert bench.double.orders[place].fee_in_base
    sums = sums_by_kind(bench.stored)
    assert sums["fee", ["BTC", "ETH"][place]] < 0
    bench.assert_one_story()


def test_a_sell_whose_fee_is_taken_in_base_is_booked_to_the_last_unit(bench: KrakenBench) -> None:
    bench.double.deposit("BTC", "0.05")
    bench.open("BTC=10,ETH=60,EUR=30")
    bench.double.inject("AddOrder", FeeInBase())
    bench.run()
    assert bench.double.orders[0].side == "sell"
    assert sums_by_kind(bench.stored)["fee", "BTC"] < 0
    bench.assert_one_story()


def test_fees_that_rose_since_the_plan_are_paid_out_of_the_reserve(bench: KrakenBench) -> None:
    bench.open("BTC=50,ETH=50")

    def raise_fees() -> None:
        bench.double.set_fees(taker_percent="0.8", maker_percent="0.5")

    bench.double.inject("AddOrder", Meanwhile(raise_fees))
    assert bench.run().success
    assert bench.double.balances()["EUR"] > 0
    bench.assert_one_story()
