"""Plans that can be checked by hand: one rule at a time."""

from __future__ import annotations

import hashlib
from decimal import Decimal

import pytest

from rebalancer_pipelines.domain.drift import DriftBand, DriftBandKind
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.market import FeeSchedule, Market, MarketStatus, PriceMark
from rebalancer_pipelines.domain.order import OrderSide
from rebalancer_pipelines.domain.plan import RebalancePlan, SkipReason
from rebalancer_pipelines.domain.portfolio import Holding, RebalancePolicy
from rebalancer_pipelines.domain.values import Currency
from tests.support.builders import (
    BTC,
    ETH,
    EUR,
    Situation,
    a_holding,
    a_market,
    a_policy,
    a_portfolio,
    a_price,
    no_fees,
)

XRP = Currency("XRP")


def a_situation(
    weights: str,
    holdings: dict[str, Holding | int | str],
    *,
    policy: RebalancePolicy | None = None,
    prices: list[PriceMark] | None = None,
    markets: list[Market] | None = None,
    fees: FeeSchedule | None = None,
) -> Situation:
    """A portfolio in markets for BTC at 100, ETH at 10 and XRP at 1 EUR, without spread and fees."""
    quotes = {p.symbol: p for p in (a_price("BTC/EUR", 100), a_price("ETH/EUR", 10), a_price("XRP/EUR", 1))}
    rules = {m.symbol: m for m in (a_market("BTC/EUR"), a_market("ETH/EUR"), a_market("XRP/EUR"))}
    return Situation(
        portfolio=a_portfolio(weights, policy=policy),
        holdings={Currency(c): h if isinstance(h, Holding) else a_holding(h) for c, h in holdings.items()},
        prices=quotes | {p.symbol: p for p in prices or []},
        markets=rules | {m.symbol: m for m in markets or []},
        fees=fees or no_fees(),
    )


def trades(plan: RebalancePlan) -> list[tuple[str, str, Decimal]]:
    return [(order.side.value, order.base_currency, order.quantity) for order in plan.orders]


def code_of(plan: RebalancePlan, currency: str) -> SkipReason:
    return next(skipped.code for skipped in plan.skipped if skipped.currency == currency)


def reason_for(plan: RebalancePlan, currency: str) -> str:
    return next(skipped.reason for skipped in plan.skipped if skipped.currency == currency)


def test_half_of_the_cash_buys_half_of_the_portfolio() -> None:
    plan = a_situation("BTC=50,EUR=50", {"EUR": 1000}).plan()

    assert trades(plan) == [("buy", BTC, 5)]
    assert plan.cost == 0
    assert dict(plan.quantities_after) == {BTC: 5, EUR: 500}
    assert code_of(plan, EUR) is SkipReason.SETTLEMENT


def test_sells_pay_for_buys_and_come_first_the_largest_first() -> None:
    plan = a_situation("BTC=10,ETH=80,XRP=10", {"BTC": 5, "XRP": 500}).plan()

    assert trades(plan) == [("sell", BTC, 4), ("sell", XRP, 400), ("buy", ETH, 80)]


def test_a_weight_of_zero_sells_everything() -> None:
    plan = a_situation("BTC=0,EUR=100", {"BTC": "1.2345"}).plan()

    assert trades(plan) == [("sell", BTC, Decimal("1.2345"))]


def test_orders_are_sized_for_the_value_that_is_left_after_costs() -> None:
    situation = a_situation(
        "BTC=50,EUR=50",
        {"EUR": 1000},
        prices=[a_price("BTC/EUR", 99, 101)],
        fees=FeeSchedule(Decimal(0), Decimal("0.01")),
    )
    plan = situation.plan()

    # n units take 101 × 1.01 × n = 102.01 n and are worth 100 n; half of 1000 − 2.01 n is 100 n at n = 4.9502…
    assert trades(plan) == [("buy", BTC, Decimal("4.9502"))]
    assert plan.orders[0].price == 101
    assert plan.orders[0].fee == Decimal("4.9502") * 101 * Decimal("0.01")
    assert plan.cost == Decimal("4.9502") * Decimal("2.01")
    assert plan.value_after == 1000 - plan.cost


def test_sells_at_the_bid_and_buys_at_the_ask_on_the_price_grid() -> None:
    plan = a_situation(
        "BTC=50,ETH=50",
        {"BTC": 10},
        prices=[a_price("BTC/EUR", "99.97", "100.03"), a_price("ETH/EUR", "9.99", "10.01")],
        markets=[a_market("BTC/EUR", price_increment="0.1"), a_market("ETH/EUR", price_increment="0.1")],
    ).plan()

    assert [(order.side, order.price) for order in plan.orders] == [
        (OrderSide.SELL, Decimal("99.9")),
        (OrderSide.BUY, Decimal("10.1")),
    ]


def test_a_drift_below_the_threshold_is_left_alone_and_one_at_the_threshold_is_not() -> None:
    def plan_with(threshold: str) -> RebalancePlan:
        return a_situation("BTC=50,EUR=50", {"BTC": "5.1", "EUR": 490}, policy=a_policy(threshold=threshold)).plan()

    assert trades(plan_with("10")) == [("sell", BTC, Decimal("0.1"))]
    assert code_of(plan_with("10.01"), BTC) is SkipReason.BELOW_THRESHOLD
    assert reason_for(plan_with("10.010"), BTC) == (
        "drift +1.00 points: the order would be worth less than the threshold of 10.01 EUR"
    )


@pytest.mark.parametrize(
    "market",
    [a_market(min_amount="0.1001"), a_market(min_notional="10.01")],
    ids=["min_amount", "min_notional"],
)
def test_an_order_below_the_venues_minimum_is_not_planned(market: Market) -> None:
    holdings: dict[str, Holding | int | str] = {"BTC": "5.1", "EUR": 490}
    allowed = a_market(min_amount="0.1", min_notional="10")
    policy = a_policy(threshold=1)

    assert trades(a_situation("BTC=50,EUR=50", holdings, policy=policy, markets=[allowed]).plan())
    plan = a_situation("BTC=50,EUR=50", holdings, policy=policy, markets=[market]).plan()
    assert code_of(plan, BTC) is SkipReason.BELOW_VENUE_MINIMUM
    assert reason_for(plan, BTC).endswith(
        f"below the venue's minimum of {market.min_amount} BTC or {market.min_notional} EUR"
    )


@pytest.mark.parametrize(
    ("threshold", "min_amount", "min_notional", "code"),
    [
        (10, 0, 0, SkipReason.BELOW_THRESHOLD),
        (1, "1.5", 0, SkipReason.BELOW_VENUE_MINIMUM),
        (1, 0, 10, SkipReason.BELOW_VENUE_MINIMUM),
    ],
)
def test_a_minimum_between_two_increments_asks_for_the_upper_one(
    threshold: int, min_amount: int | str, min_notional: int, code: SkipReason
) -> None:
    # The drift is worth 10, but one increment is worth 7 and two are too many.
    market = a_market("XRP/EUR", size_increment=1, min_amount=min_amount, min_notional=min_notional)
    plan = a_situation(
        "XRP=50,EUR=50",
        {"XRP": 10, "EUR": 90},
        policy=a_policy(threshold=threshold),
        prices=[a_price("XRP/EUR", 7)],
        markets=[market],
    ).plan()

    assert code_of(plan, XRP) is code


def test_only_what_is_free_is_sold_and_only_free_cash_is_spent() -> None:
    half_locked = a_situation("BTC=0,EUR=100", {"BTC": a_holding(4, 1)}).plan()
    locked = a_situation("BTC=0,EUR=100", {"BTC": a_holding(4, 0)}).plan()
    locked_cash = a_situation("BTC=50,EUR=50", {"EUR": a_holding(1000, 200)}).plan()

    assert trades(half_locked) == [("sell", BTC, 1)]
    assert code_of(locked, BTC) is SkipReason.LOCKED
    assert trades(locked_cash) == [("buy", BTC, 2)]


def test_scarce_cash_goes_to_the_largest_drift() -> None:
    plan = a_situation("BTC=40,ETH=30,EUR=30", {"EUR": a_holding(1000, 400)}).plan()

    assert trades(plan) == [("buy", BTC, 4)]
    assert code_of(plan, ETH) is SkipReason.NO_CASH


def test_buys_leave_the_cash_reserve_all_alike() -> None:
    plan = a_situation("BTC=50,ETH=50", {"EUR": 1000}, policy=a_policy(cash_reserve="0.1")).plan()

    assert trades(plan) == [("buy", BTC, Decimal("4.5")), ("buy", ETH, 45)]
    assert plan.quantities_after[EUR] == 100


def test_the_reserve_stops_buys_short_and_not_sells() -> None:
    plan = a_situation("BTC=50,ETH=50", {"BTC": 10}, policy=a_policy(cash_reserve="0.1")).plan()

    assert trades(plan) == [("sell", BTC, 5), ("buy", ETH, 40)]


def test_a_cash_target_above_the_reserve_is_reserve_enough() -> None:
    plan = a_situation("BTC=80,EUR=20", {"EUR": 1000}, policy=a_policy(cash_reserve="0.1")).plan()

    assert plan.quantities_after[EUR] == 200


def test_a_currency_between_its_target_with_and_without_the_reserve_is_left_alone() -> None:
    plan = a_situation("BTC=100", {"BTC": "9.5", "EUR": 50}, policy=a_policy(cash_reserve="0.1")).plan()

    assert code_of(plan, BTC) is SkipReason.CASH_RESERVE
    assert "cash reserve of 10 %" in reason_for(plan, BTC)


def test_the_order_limit_prefers_the_largest_drifts() -> None:
    plan = a_situation("BTC=50,ETH=30,XRP=20", {"EUR": 1000}, policy=a_policy(max_orders=2)).plan()

    assert trades(plan) == [("buy", BTC, 5), ("buy", ETH, 30)]
    assert code_of(plan, XRP) is SkipReason.ORDER_LIMIT
    assert "max_orders 2" in reason_for(plan, XRP)


def test_the_order_limit_weighs_sells_and_buys_alike() -> None:
    holdings: dict[str, Holding | int | str] = {"XRP": 500, "EUR": 500}
    plan = a_situation("BTC=10,XRP=10,EUR=80", holdings, policy=a_policy(max_orders=1)).plan()

    assert trades(plan) == [("sell", XRP, 400)]


def test_under_an_order_limit_a_buy_without_money_makes_room_for_the_sell_that_pays() -> None:
    holdings: dict[str, Holding | int | str] = {"XRP": 500, "EUR": a_holding(500, 0)}
    plan = a_situation("BTC=45,ETH=40,XRP=15", holdings, policy=a_policy(max_orders=2)).plan()

    assert trades(plan) == [("sell", XRP, 350), ("buy", BTC, Decimal("3.5"))]
    assert code_of(plan, ETH) is SkipReason.ORDER_LIMIT


def test_under_an_order_limit_a_buy_that_made_room_comes_before_smaller_ones() -> None:
    plan = a_situation(
        "BTC=40,ETH=30,SOL=5,XRP=25",
        {"XRP": 500, "EUR": a_holding(500, 0)},
        policy=a_policy(max_orders=2),
        prices=[a_price("SOL/EUR", 10)],
        markets=[a_market("BTC/EUR", min_notional=300), a_market("SOL/EUR")],
    ).plan()

    assert trades(plan) == [("sell", XRP, 250), ("buy", ETH, 25)]
    assert code_of(plan, BTC) is SkipReason.NO_CASH
    assert code_of(plan, "SOL") is SkipReason.ORDER_LIMIT


def test_under_an_order_limit_a_buy_that_nothing_pays_for_makes_room_for_a_smaller_one() -> None:
    plan = a_situation(
        "BTC=50,ETH=30,EUR=20",
        {"EUR": a_holding(1000, 200)},
        policy=a_policy(max_orders=1),
        markets=[a_market("BTC/EUR", min_notional=300)],
    ).plan()

    assert trades(plan) == [("buy", ETH, 20)]
    assert code_of(plan, BTC) is SkipReason.NO_CASH


@pytest.mark.parametrize("status", [status for status in MarketStatus if status is not MarketStatus.ONLINE])
def test_a_market_that_is_not_online_is_not_traded(status: MarketStatus) -> None:
    plan = a_situation("BTC=50,EUR=50", {"EUR": 1000}, markets=[a_market(status=status)]).plan()

    assert code_of(plan, BTC) is SkipReason.MARKET_NOT_ONLINE
    assert reason_for(plan, BTC) == f"drift -50.00 points: market BTC/EUR is {status.value}"


def test_what_no_weight_names_is_neither_counted_nor_traded() -> None:
    plan = a_situation("BTC=50,EUR=50", {"EUR": 1000, "ADA": 7}).plan()

    assert plan.value == 1000
    assert code_of(plan, "ADA") is SkipReason.UNMANAGED
    assert reason_for(plan, "ADA") == "7 held, but no weight names it: left alone"


@pytest.mark.parametrize(
    ("band", "held", "trades_expected"),
    [
        (DriftBand(Decimal(5)), "5.5", False),
        (DriftBand(Decimal(5)), "5.5001", True),
        (DriftBand(Decimal(10), DriftBandKind.RELATIVE), "5.5", False),
        (DriftBand(Decimal(10), DriftBandKind.RELATIVE), "5.5001", True),
        (DriftBand(Decimal(5)), "4.5", False),
        (DriftBand(Decimal(5)), "4.4999", True),
    ],
)
def test_a_currency_may_reach_the_edge_of_its_band_but_not_leave_it(
    band: DriftBand, held: str, *, trades_expected: bool
) -> None:
    cash = 1000 - Decimal(held) * 100
    plan = a_situation("BTC=50,EUR=50", {"BTC": held, "EUR": str(cash)}, policy=a_policy(band=band)).plan()

    assert bool(plan.orders) is trades_expected
    if not trades_expected:
        assert code_of(plan, BTC) is SkipReason.WITHIN_BAND
        assert reason_for(plan, BTC).endswith("band ±5, and no currency has left its band")


def test_once_one_currency_leaves_its_band_all_return_to_target() -> None:
    policy = a_policy(band=DriftBand(Decimal(5)))
    plan = a_situation("BTC=40,ETH=40,XRP=20", {"BTC": "4.6", "ETH": 36, "XRP": 180}, policy=policy).plan()

    assert trades(plan) == [("sell", BTC, Decimal("0.6")), ("buy", ETH, 4), ("buy", XRP, 20)]


def test_cash_that_the_reserve_keeps_back_opens_no_band_and_cash_beyond_it_does() -> None:
    policy = a_policy(band=DriftBand(Decimal(20), DriftBandKind.RELATIVE), cash_reserve="0.01")

    kept = a_situation("BTC=100", {"BTC": "9.9", "EUR": 10}, policy=policy).plan()
    deposited = a_situation("BTC=100", {"BTC": "9.9", "EUR": 60}, policy=policy).plan()

    assert code_of(kept, BTC) is SkipReason.WITHIN_BAND
    assert [order.side for order in deposited.orders] == [OrderSide.BUY]


def test_a_relative_band_around_zero_leaves_the_decision_to_the_threshold() -> None:
    policy = a_policy(threshold=10, band=DriftBand(Decimal(20), DriftBandKind.RELATIVE))

    dust = a_situation("BTC=100,XRP=0", {"BTC": 10, "XRP": "9.9"}, policy=policy).plan()
    worth_selling = a_situation("BTC=100,XRP=0", {"BTC": 10, "XRP": 10}, policy=policy).plan()

    assert code_of(dust, XRP) is SkipReason.WITHIN_BAND
    assert trades(worth_selling)[0] == ("sell", XRP, 10)


def test_an_order_that_its_own_cost_puts_in_doubt_is_made_once() -> None:
    # Five units cost 5 and leave 999.5, of which half is too little for five; four leave enough for five.
    situation = a_situation(
        "BTC=50,EUR=50",
        {"EUR": "1004.5"},
        markets=[a_market("BTC/EUR", size_increment=1)],
        fees=FeeSchedule(Decimal(0), Decimal("0.01")),
    )
    plan = situation.plan()

    assert trades(plan) == [("buy", BTC, 5)]
    assert situation.after(plan).plan().orders == ()


def test_a_buy_and_a_sell_that_take_turns_are_both_made() -> None:
    # The cost of the buy calls for the sell; the sell alone costs less, which calls for the buy.
    situation = a_situation(
        "BTC=50,XRP=30,EUR=20",
        {"BTC": 4, "XRP": 350, "EUR": "250.75"},
        markets=[a_market("BTC/EUR", size_increment=1), a_market("XRP/EUR", size_increment=50)],
        fees=FeeSchedule(Decimal(0), Decimal("0.01")),
    )
    plan = situation.plan()

    assert trades(plan) == [("sell", XRP, 50), ("buy", BTC, 1)]
    assert situation.after(plan).plan().orders == ()


def test_buys_that_take_turns_for_scarce_cash_come_to_rest() -> None:
    # Without XRP the reserve leaves 0.05 too little for a fifth BTC; with XRP and its cost, enough for it.
    situation = a_situation(
        "BTC=60,XRP=30,EUR=10",
        {"EUR": a_holding(2000, "699.95")},
        policy=a_policy(cash_reserve="0.1"),
        prices=[a_price("XRP/EUR", "0.99", "1.01")],
        markets=[
            a_market("BTC/EUR", size_increment=1),
            a_market("XRP/EUR", price_increment="0.01", size_increment=1),
        ],
    )
    plan = situation.plan()

    assert trades(plan) == [("buy", BTC, 4), ("buy", XRP, 98)]
    assert situation.after(plan).plan().orders == ()


def test_an_empty_portfolio_has_a_plan_without_orders() -> None:
    plan = a_situation("BTC=50,EUR=50", {}).plan()

    assert (plan.value, plan.orders, code_of(plan, BTC)) == (0, (), SkipReason.ON_TARGET)
    assert [weight.current for weight in plan.weights] == [0, 0]


def test_a_portfolio_of_cash_alone_has_nothing_to_trade() -> None:
    plan = a_situation("EUR=100", {"EUR": 5}, policy=a_policy(band=DriftBand(Decimal(1)))).plan()

    assert plan.orders == ()
    assert [skipped.code for skipped in plan.skipped] == [SkipReason.SETTLEMENT]


def test_a_price_grid_that_rounds_the_bid_to_zero_sells_nothing() -> None:
    plan = a_situation("XRP=0,EUR=100", {"XRP": 500}, markets=[a_market("XRP/EUR", price_increment=5)]).plan()

    assert code_of(plan, "XRP") is SkipReason.BELOW_VENUE_MINIMUM


def test_a_missing_price_denies_the_plan() -> None:
    situation = a_situation("BTC=50,EUR=50", {"EUR": 1000})
    without = Situation(situation.portfolio, situation.holdings, {}, situation.markets, situation.fees)

    with pytest.raises(DeniedError, match="no price for BTC/EUR") as denied:
        without.plan()
    assert denied.value.reason is DenialReason.PRICE_INVALID


@pytest.mark.parametrize(
    "price", [a_price(bid=0, ask=1), a_price(bid=-1, ask=1), a_price(bid=2, ask=1), a_price(bid="NaN", ask="NaN")]
)
def test_an_unsound_price_denies_the_plan(price: PriceMark) -> None:
    with pytest.raises(DeniedError) as denied:
        a_situation("BTC=50,EUR=50", {"BTC": 1, "EUR": 1000}, prices=[price]).plan()
    assert denied.value.reason is DenialReason.PRICE_INVALID


def test_a_missing_market_denies_the_plan() -> None:
    situation = a_situation("BTC=50,EUR=50", {"EUR": 1000})
    without = Situation(situation.portfolio, situation.holdings, situation.prices, {}, situation.fees)

    with pytest.raises(DeniedError, match="the venue has no market BTC/EUR") as denied:
        without.plan()
    assert denied.value.reason is DenialReason.MARKET_MISSING


def test_a_plan_has_the_same_hash_on_every_machine() -> None:
    plan = a_situation("BTC=50,EUR=50", {"EUR": 1000}).plan()

    canonical = "EUR 1000\nbuy BTC/EUR 5 100 0\nEUR SETTLEMENT\nBTC 0 50\nEUR 100 50"
    assert plan.plan_hash == hashlib.sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        a_situation("BTC=50,EUR=50", {"EUR": 1001}),
        a_situation("BTC=51,EUR=49", {"EUR": 1000}),
        a_situation("BTC=50,EUR=50", {"EUR": 1000}, prices=[a_price(bid=100, ask="100.2")]),
        a_situation("BTC=50,EUR=50", {"EUR": 1000}, fees=FeeSchedule(Decimal(0), Decimal("0.001"))),
        a_situation("BTC=50,EUR=50", {"EUR": 1000, "ADA": 1}),
    ],
    ids=["value", "weights", "price", "fee", "unmanaged"],
)
def test_a_plan_that_differs_has_another_hash(other: Situation) -> None:
    assert other.plan().plan_hash != a_situation("BTC=50,EUR=50", {"EUR": 1000}).plan().plan_hash
