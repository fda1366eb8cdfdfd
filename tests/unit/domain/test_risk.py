"""Every limit at its edge: what it lets pass, what it refuses, and what the refusal tells."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from rebalancer_pipelines.domain.account_settings import AccountSettings
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.market import FeeSchedule, PriceMark
from rebalancer_pipelines.domain.order import OrderSide
from rebalancer_pipelines.domain.plan import PlannedOrder, RebalancePlan
from rebalancer_pipelines.domain.risk import (
    cash_reserve,
    collar_denial,
    drawdown_denial,
    plan_denials,
    price_jumps,
    rate_denial,
    skew_denial,
)
from tests.support.builders import BTC, ETH, EUR, NOON

FEES = FeeSchedule(maker=Decimal("0.0025"), taker=Decimal("0.004"))
LOOSE = replace(
    AccountSettings(),
    max_turnover=None,
    max_order_notional=None,
    max_daily_notional=None,
    max_orders_per_run=None,
    cash_reserve=Decimal(0),
)


def a_plan(*notionals: str, value: str = "10000", cash_after: str = "500") -> RebalancePlan:
    """Sells of BTC worth these amounts; a negative one buys ETH."""
    orders = tuple(
        PlannedOrder(
            symbol="ETH/EUR" if text.startswith("-") else "BTC/EUR",
            base_currency=ETH if text.startswith("-") else BTC,
            quote_currency=EUR,
            side=OrderSide.BUY if text.startswith("-") else OrderSide.SELL,
            quantity=Decimal(1),
            price=abs(Decimal(text)),
            notional=abs(Decimal(text)),
            fee=Decimal(1),
        )
        for text in notionals
    )
    return RebalancePlan(
        valuation_currency=EUR,
        value=Decimal(value),
        cost=Decimal(0),
        orders=orders,
        skipped=(),
        weights=(),
        quantities_after={EUR: Decimal(cash_after)},
        plan_hash="0",
    )


def a_mark(bid: str, ask: str, *, days_ago: int = 0) -> PriceMark:
    return PriceMark("BTC/EUR", Decimal(bid), Decimal(ask), "test", NOON - timedelta(days=days_ago))


def reasons(denials: list[DeniedError]) -> list[DenialReason]:
    return [denial.reason for denial in denials]


@pytest.mark.parametrize(
    ("limits", "notionals", "sent_today", "reason"),
    [
        ({"max_turnover": Decimal("0.25")}, ["2500", "-2500"], "0", None),
        ({"max_turnover": Decimal("0.25")}, ["2500", "-2500.01"], "0", DenialReason.TURNOVER),
        ({"max_order_notional": Decimal(2500)}, ["2500", "-2500"], "0", None),
        ({"max_order_notional": Decimal(2500)}, ["10", "-2500.01"], "0", DenialReason.MAX_NOTIONAL),
        ({"max_daily_notional": Decimal(5000)}, ["2500"], "2500", None),
        ({"max_daily_notional": Decimal(5000)}, ["2500"], "2500.01", DenialReason.MAX_NOTIONAL),
        ({"max_orders_per_run": 2}, ["10", "20"], "0", None),
        ({"max_orders_per_run": 2}, ["10", "20", "30"], "0", DenialReason.ORDER_RATE),
        ({"cash_reserve": Decimal("0.05")}, ["-100"], "0", None),
        ({"cash_reserve": Decimal("0.0501")}, ["-100"], "0", DenialReason.CASH_RESERVE),
    ],
)
def test_a_limit_holds_to_the_cent(
    limits: dict[str, object], notionals: list[str], sent_today: str, reason: DenialReason | None
) -> None:
    settings = replace(LOOSE, **limits)  # type: ignore[arg-type]
    denials = plan_denials(a_plan(*notionals), settings, FEES, sent_today=Decimal(sent_today))
    assert reasons(denials) == ([] if reason is None else [reason])
    for denial in denials:
        assert "setting" in denial.message
        assert "limit" in denial.message or "least" in denial.message


def test_every_broken_limit_is_told_at_once() -> None:
    plan = a_plan(*["6000", "-6000"] * 11, cash_after="1")
    denials = plan_denials(plan, AccountSettings(), FEES, sent_today=Decimal(0))
    assert reasons(denials) == [
        DenialReason.ORDER_RATE,
        DenialReason.TURNOVER,
        DenialReason.MAX_NOTIONAL,
        DenialReason.CASH_RESERVE,
    ]


def test_an_empty_plan_breaks_no_limit_even_when_the_day_is_spent() -> None:
    assert plan_denials(a_plan(cash_after="0"), AccountSettings(), FEES, sent_today=Decimal(10**9)) == []


def test_sells_alone_need_no_reserve() -> None:
    settings = replace(LOOSE, cash_reserve=Decimal("0.5"))
    assert plan_denials(a_plan("100", cash_after="1"), settings, FEES, sent_today=Decimal(0)) == []


def test_the_reserve_covers_twice_the_fees_where_they_are_high() -> None:
    dear = FeeSchedule(maker=Decimal("0.005"), taker=Decimal("0.008"))
    assert cash_reserve(AccountSettings(), FEES) == Decimal("0.01")
    assert cash_reserve(AccountSettings(), dear) == Decimal("0.016")
    assert cash_reserve(LOOSE, dear) == 0


@pytest.mark.parametrize(
    ("mid", "days", "denied"),
    [
        ("33000", 0, False),
        ("33001", 0, True),
        ("26999", 0, True),
        ("33001", 1, True),
        ("35999", 4, False),
        ("36001", 4, True),
        ("300000", 100, True),
    ],
)
def test_a_mid_far_from_the_last_runs_is_not_believed(mid: str, days: int, denied: bool) -> None:
    jumps = price_jumps(
        {"BTC/EUR": a_mark(mid, mid)}, {"BTC/EUR": a_mark("30000", "30000", days_ago=days)}, AccountSettings()
    )
    assert reasons(jumps) == ([DenialReason.PRICE_COLLAR] if denied else [])


def test_a_market_seen_for_the_first_time_has_nothing_to_be_far_from() -> None:
    assert price_jumps({"BTC/EUR": a_mark("1", "1")}, {}, AccountSettings()) == []
    off = replace(AccountSettings(), max_price_jump=None)
    assert price_jumps({"BTC/EUR": a_mark("1", "1")}, {"BTC/EUR": a_mark("9", "9")}, off) == []


@pytest.mark.parametrize(
    ("side", "limit", "denied"),
    [
        (OrderSide.BUY, "30300", False),
        (OrderSide.BUY, "30300.1", True),
        (OrderSide.BUY, "1", False),
        (OrderSide.SELL, "29700", False),
        (OrderSide.SELL, "29699.9", True),
        (OrderSide.SELL, "99999", False),
    ],
)
def test_a_limit_stands_within_the_collar_on_its_dangerous_side(side: OrderSide, limit: str, denied: bool) -> None:
    denial = collar_denial("BTC/EUR", side, Decimal(limit), a_mark("29990", "30010"), AccountSettings())
    assert (denial is not None and denial.reason is DenialReason.PRICE_COLLAR) is denied


@pytest.mark.parametrize(
    ("value", "flows", "denied"),
    [
        ("8000", "0", False),
        ("7999", "0", True),
        ("4000", "-5000", False),
        ("3999", "-5000", True),
        ("12000", "5000", False),
        ("11999", "5000", True),
        ("1", "-10000", False),
    ],
)
def test_a_loss_within_a_day_halts_but_a_withdrawal_is_no_loss(value: str, flows: str, denied: bool) -> None:
    peak = (NOON, Decimal(10_000))
    denial = drawdown_denial(Decimal(value), peak, Decimal(flows), AccountSettings(), "EUR")
    assert (denial is not None and denial.reason is DenialReason.DRAWDOWN_HALT) is denied


def test_nothing_to_compare_with_is_no_loss() -> None:
    assert drawdown_denial(Decimal(1), None, Decimal(0), AccountSettings(), "EUR") is None


@pytest.mark.parametrize(("seconds", "denied"), [(0, False), (2, False), (-2, False), (2.001, True), (-300, True)])
def test_a_clock_may_be_two_seconds_off(seconds: float, denied: bool) -> None:
    denial = skew_denial(timedelta(seconds=seconds))
    assert (denial is not None and denial.reason is DenialReason.CLOCK_SKEW) is denied


def test_a_clock_that_is_off_says_which_way() -> None:
    behind, ahead = skew_denial(timedelta(seconds=5)), skew_denial(timedelta(seconds=-5))
    assert behind is not None
    assert ahead is not None
    assert "behind the venue's" in behind.message
    assert "ahead of the venue's" in ahead.message


def test_sixty_orders_a_minute_are_enough() -> None:
    assert rate_denial(59) is None
    denial = rate_denial(60)
    assert denial is not None
    assert denial.reason is DenialReason.ORDER_RATE
