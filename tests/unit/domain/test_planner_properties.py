"""What holds for every plan, whatever the portfolio, the markets and the prices."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import ROUND_UP, Context, Decimal, localcontext
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rebalancer_pipelines.domain.market import MarketStatus
from rebalancer_pipelines.domain.order import OrderSide
from rebalancer_pipelines.domain.plan import PlannedOrder, RebalancePlan, SkipReason, plan_conserves_value
from rebalancer_pipelines.domain.portfolio import Holding
from rebalancer_pipelines.domain.values import Currency, is_multiple
from rebalancer_pipelines.domain.weights import TargetWeights
from tests.support.builders import EUR, Situation, situations, wide_product, wide_sum

ZERO = Decimal(0)
broad = settings(max_examples=120)
thorough = settings(max_examples=500)


def sells(plan: RebalancePlan) -> list[PlannedOrder]:
    return [order for order in plan.orders if order.side is OrderSide.SELL]


def buys(plan: RebalancePlan) -> list[PlannedOrder]:
    return [order for order in plan.orders if order.side is OrderSide.BUY]


def codes(plan: RebalancePlan) -> dict[Currency, SkipReason]:
    return {skipped.currency: skipped.code for skipped in plan.skipped}


def free_cash(situation: Situation) -> Decimal:
    return situation.holdings[EUR].free if EUR in situation.holdings else ZERO


def outlay(order: PlannedOrder) -> Decimal:
    return wide_sum(wide_product(order.quantity, order.price), order.fee)


def proceeds(order: PlannedOrder) -> Decimal:
    return wide_sum(wide_product(order.quantity, order.price), order.fee.copy_negate())


def drift_values(situation: Situation, total: Decimal) -> dict[Currency, Decimal]:
    """What each managed currency is worth beyond its share of `total`, in valuation currency."""
    targets = dict(situation.portfolio.weights)
    return {
        currency: wide_sum(value, wide_product(-targets.get(currency, ZERO), total).scaleb(-2, Context(prec=200)))
        for currency, value in situation.values().items()
    }


def sum_of_sizes(drifts: dict[Currency, Decimal]) -> Decimal:
    return wide_sum(*(drift.copy_abs() for drift in drifts.values()))


# Value and money


@broad
@given(situations())
def test_value_is_conserved_to_the_last_digit(situation: Situation) -> None:
    plan = situation.plan()

    assert plan.value == situation.value()
    assert plan_conserves_value(plan, situation.prices) == 0
    assert wide_sum(situation.after(plan).value(), plan.cost) == plan.value
    assert plan.value_after == situation.after(plan).value()


@broad
@given(situations())
def test_the_plan_states_the_quantities_that_its_orders_lead_to(situation: Situation) -> None:
    plan = situation.plan()

    after = situation.after(plan).holdings
    assert dict(plan.quantities_after) == {c: after[c].total if c in after else ZERO for c in situation.values()}


@broad
@given(situations())
def test_a_plan_costs_what_spread_and_fees_take_from_its_orders(situation: Situation) -> None:
    plan = situation.plan()

    assert plan.cost == wide_sum(
        *(
            wide_sum(
                wide_product(wide_sum(order.price, -situation.mid(order.base_currency)).copy_abs(), order.quantity),
                wide_product(order.price, order.quantity, situation.fees.taker),
            )
            for order in plan.orders
        )
    )


@broad
@given(situations())
def test_buys_spend_no_more_than_free_cash_and_the_proceeds_of_sells(situation: Situation) -> None:
    plan = situation.plan()

    at_hand = wide_sum(free_cash(situation), *(proceeds(order) for order in sells(plan)))
    spent = wide_sum(*(outlay(order) for order in buys(plan)))
    assert spent <= at_hand
    assert all(holding.free >= 0 for holding in situation.after(plan).holdings.values())
    if spent:
        assert wide_sum(at_hand, -spent) >= wide_product(situation.portfolio.policy.cash_reserve, plan.value_after)


# Rules


@broad
@given(situations())
def test_every_order_keeps_its_markets_rules(situation: Situation) -> None:
    for order in situation.plan().orders:
        market, mark = situation.markets[order.symbol], situation.prices[order.symbol]
        assert market.status is MarketStatus.ONLINE
        assert is_multiple(order.quantity, market.size_increment)
        assert is_multiple(order.price, market.price_increment)
        assert order.quantity >= max(market.min_amount, market.size_increment)
        assert order.notional == wide_product(order.quantity, order.price)
        assert order.notional >= market.min_notional
        if order.side is OrderSide.SELL:
            assert mark.bid - market.price_increment < order.price <= mark.bid
        else:
            assert mark.ask <= order.price < mark.ask + market.price_increment


@broad
@given(situations())
def test_every_order_is_worth_the_threshold(situation: Situation) -> None:
    for order in situation.plan().orders:
        worth = wide_product(order.quantity, situation.mid(order.base_currency))
        assert worth >= situation.portfolio.policy.threshold


@broad
@given(situations())
def test_only_free_units_are_sold(situation: Situation) -> None:
    for order in sells(situation.plan()):
        assert order.quantity <= situation.holdings[order.base_currency].free


@broad
@given(situations())
def test_sells_come_before_buys_and_no_currency_is_traded_twice(situation: Situation) -> None:
    plan = situation.plan()

    assert list(plan.orders) == [*sells(plan), *buys(plan)]
    assert max(Counter(order.base_currency for order in plan.orders).values(), default=0) <= 1


@broad
@given(situations())
def test_the_order_limit_is_kept_and_named_only_where_it_is_used_up(situation: Situation) -> None:
    plan, limit = situation.plan(), situation.portfolio.policy.max_orders

    assert limit is None or len(plan.orders) <= limit
    if SkipReason.ORDER_LIMIT in codes(plan).values():
        paid_or_not = [code for code in codes(plan).values() if code is SkipReason.NO_CASH]
        assert limit is not None
        assert len(plan.orders) + len(paid_or_not) >= limit


@broad
@given(situations())
def test_nothing_trades_while_every_currency_is_within_its_band(situation: Situation) -> None:
    plan, band = situation.plan(), situation.portfolio.policy.band
    if band is None:
        assert SkipReason.WITHIN_BAND not in codes(plan).values()
        return
    targets, reserve = dict(situation.portfolio.weights), situation.portfolio.policy.cash_reserve * 100
    has_left = False
    for currency, value in situation.values().items():
        low = high = targets.get(currency, ZERO)
        if currency == EUR:
            high = max(low, reserve)
        for target, sign in ((high, 1), (low, -1)):
            gap = wide_product(
                Decimal(sign), wide_sum(wide_product(value, Decimal(100)), wide_product(-target, plan.value))
            )
            worth_an_order = gap >= situation.portfolio.policy.threshold * 100
            has_left |= worth_an_order and gap > wide_product(band.allowance(target), plan.value)
    assert (SkipReason.WITHIN_BAND in codes(plan).values()) is (not has_left and set(situation.values()) != {EUR})
    if not has_left:
        assert plan.orders == ()


# Reasons


@broad
@given(situations())
def test_every_currency_has_either_an_order_or_a_reason(situation: Situation) -> None:
    plan = situation.plan()

    explained = [order.base_currency for order in plan.orders] + [skipped.currency for skipped in plan.skipped]
    unmanaged = {c for c, h in situation.holdings.items() if h.total and c not in situation.values()}
    assert Counter(explained) == Counter({*situation.values(), *unmanaged})
    assert {c for c, code in codes(plan).items() if code is SkipReason.UNMANAGED} == unmanaged
    assert [weight.currency for weight in plan.weights] == sorted(situation.values())
    assert all(skipped.reason and "\n" not in skipped.reason for skipped in plan.skipped)


# Again


@thorough
@given(situations())
def test_planning_again_after_the_orders_filled_yields_no_order(situation: Situation) -> None:
    plan = situation.plan()
    assume(SkipReason.ORDER_LIMIT not in codes(plan).values())

    assert situation.after(plan).plan().orders == ()


@broad
@given(situations(), st.randoms(use_true_random=False), st.integers(1, 30))
def test_the_plan_depends_on_neither_key_order_nor_decimal_context(
    situation: Situation, chance: Any, precision: int
) -> None:
    plan = situation.plan()

    def shuffled(mapping: Any) -> Any:
        items = list(mapping.items())
        chance.shuffle(items)
        return dict(items)

    weights = TargetWeights.of(shuffled(dict(situation.portfolio.weights.given)))
    same = Situation(
        portfolio=replace(situation.portfolio, weights=weights),
        holdings=shuffled(situation.holdings),
        prices=shuffled(situation.prices),
        markets=shuffled(situation.markets),
        fees=situation.fees,
    )
    with localcontext(Context(prec=precision, rounding=ROUND_UP)):
        again = same.plan()
    assert again == plan
    assert again.plan_hash == plan.plan_hash


@broad
@given(situations(), st.integers(1, 12))
def test_zeros_after_the_last_digit_change_neither_hash_nor_orders(situation: Situation, zeros: int) -> None:
    def padded(number: Decimal) -> Decimal:
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int)
        return number.quantize(Decimal(1).scaleb(min(exponent, 0) - zeros), context=Context(prec=100))

    policy = situation.portfolio.policy
    weights = TargetWeights.of({c: w if w is None else padded(w) for c, w in situation.portfolio.weights.given})
    wordy = Situation(
        portfolio=replace(
            situation.portfolio,
            weights=weights,
            policy=replace(policy, threshold=padded(policy.threshold), cash_reserve=padded(policy.cash_reserve)),
        ),
        holdings={c: Holding(padded(h.total), padded(h.free)) for c, h in situation.holdings.items()},
        prices={s: replace(p, bid=padded(p.bid), ask=padded(p.ask)) for s, p in situation.prices.items()},
        markets={
            s: replace(m, price_increment=padded(m.price_increment), size_increment=padded(m.size_increment))
            for s, m in situation.markets.items()
        },
        fees=replace(situation.fees, taker=padded(situation.fees.taker)),
    )
    plan, again = situation.plan(), wordy.plan()
    assert again.plan_hash == plan.plan_hash
    assert again.orders == plan.orders
    assert again.skipped == plan.skipped


# Targets


@broad
@given(situations())
def test_every_traded_currency_ends_nearer_to_its_target_than_it_began(situation: Situation) -> None:
    """Distance of a currency: |value − weight × total|, both times of the total after, so that costs are aside."""
    plan = situation.plan()

    before = drift_values(situation, plan.value_after)
    after = drift_values(situation.after(plan), plan.value_after)
    for order in plan.orders:
        assert after[order.base_currency].copy_abs() < before[order.base_currency].copy_abs()


@broad
@given(situations())
def test_no_portfolio_ends_further_from_its_targets_than_it_began(situation: Situation) -> None:
    """Distance of a portfolio: Σ |value − weight × total| over all managed currencies, cash among them.

    Before, `total` is the value before, and after, the value after. Costs are aside: they are taken from cash alone
    while every currency's share shrinks with the total, so they may add to the distance twice.
    """
    plan = situation.plan()

    before = drift_values(situation, plan.value)
    after = drift_values(situation.after(plan), plan.value_after)
    assert sum_of_sizes(after) <= wide_sum(sum_of_sizes(before), plan.cost, plan.cost)


@broad
@given(situations())
def test_the_plan_states_the_weights_that_its_orders_lead_to(situation: Situation) -> None:
    plan, after = situation.plan(), situation.after(situation.plan()).values()

    for change in plan.weights:
        for weight, value, total in (
            (change.current, situation.values()[change.currency], plan.value),
            (change.after, after[change.currency], plan.value_after),
        ):
            off = wide_sum(wide_product(weight, total), -wide_product(value, Decimal(100))).copy_abs()
            assert off <= wide_product(Decimal("0.0000005000001"), total)
        assert change.drift == change.current - change.target


@broad
@given(situations(order_limits=False))
def test_a_sale_that_nothing_limits_ends_within_one_increment_of_its_target_or_kept_for_its_costs(
    situation: Situation,
) -> None:
    plan = situation.plan()

    after, weights = drift_values(situation.after(plan), plan.value_after), dict(situation.portfolio.weights)
    for order in sells(plan):
        currency, market = order.base_currency, situation.markets[order.symbol]
        increment = wide_product(situation.mid(currency), market.size_increment)
        is_sold_out = situation.after(plan).holdings[currency].free < market.size_increment
        assert is_sold_out or after[currency] < increment
        # A kept order may have been sized for a total that the costs of other orders then moved.
        moved = wide_product(weights[currency], plan.cost).scaleb(-2, Context(prec=200))
        assert after[currency] >= -max(increment, moved)
