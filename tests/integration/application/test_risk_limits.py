"""Limits of a live account, as a run meets them: nothing is sent, the row says why, and there is a way out."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from rebalancer_pipelines.application.accounts import change_settings
from rebalancer_pipelines.application.trading_control import resume
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, InvalidInputError
from rebalancer_pipelines.domain.market import MarketStatus
from tests.support.live_bench import ACCOUNT, LiveBench


@pytest.mark.parametrize(
    ("setting", "text", "reason"),
    [
        ("max_order_notional", "100", "MAX_NOTIONAL"),
        ("max_daily_notional", "100", "MAX_NOTIONAL"),
        ("max_orders_per_run", "1", "ORDER_RATE"),
    ],
)
def test_a_plan_beyond_a_limit_sends_nothing_and_passes_once_it_is_raised(
    bench: LiveBench, setting: str, text: str, reason: str
) -> None:
    bench.open(settings={setting: text})
    with pytest.raises(DeniedError, match=rf"{reason}: .*\(setting {setting}\)"):
        bench.run()
    assert bench.venue.received == []
    assert bench.orders() == [("BTC/EUR", "VOID"), ("ETH/EUR", "VOID")]
    assert bench.denials() == [reason]
    change_settings(bench.ports, ACCOUNT, {setting: None})
    assert bench.run().success


def test_the_day_is_counted_over_runs(bench: LiveBench) -> None:
    bench.open(settings={"max_daily_notional": "1000"})
    assert bench.run().success
    bench.venue.move("EUR", "1000")
    with pytest.raises(DeniedError, match=r"MAX_NOTIONAL: .* within 24 hours, limit 1,000\.00 a day"):
        bench.run()


def test_bad_settings_change_nothing(bench: LiveBench) -> None:
    bench.open()
    before = bench.account()["settings"]
    with pytest.raises(InvalidInputError, match=r"set\.max_turnover"):
        change_settings(bench.ports, ACCOUNT, {"max_orders_per_run": "5", "max_turnover": "lots"})
    assert bench.account()["settings"] == before


def test_a_price_far_from_the_last_runs_wants_a_persons_word(bench: LiveBench) -> None:
    bench.open()
    bench.run()
    bench.prices.quote("ETH/EUR", "3000.0", "3001.0")
    sent = len(bench.venue.received)
    with pytest.raises(DeniedError, match=r"PRICE_COLLAR: mid of ETH/EUR is 3000\.5, .*--confirm PRICE_COLLAR"):
        bench.run()
    assert len(bench.venue.received) == sent
    assert bench.run(confirmed=frozenset({DenialReason.PRICE_COLLAR, DenialReason.TURNOVER})).success


def test_a_buy_does_not_follow_a_market_that_runs_away(bench: LiveBench) -> None:
    bench.open()
    submit = bench.venue.submit

    def submit_slowly(ticket, clearance):  # type: ignore[no-untyped-def]
        answer = submit(ticket, clearance)
        bench.prices.quote("ETH/EUR", "2100.0", "2101.0")
        bench.clock.pass_time(timedelta(seconds=16))
        return answer

    bench.venue.submit = submit_slowly  # type: ignore[method-assign]
    bench.run()
    assert bench.orders() == [("BTC/EUR", "FILLED"), ("ETH/EUR", "CANCELED")]


@pytest.mark.parametrize(
    ("bid", "ask", "reason"), [("1900.0", "1901.0", "PRICE_COLLAR"), ("1900.0", "1990.0", "PRICE_INVALID")]
)
def test_quotes_that_went_stale_are_read_again_and_judged(bench: LiveBench, bid: str, ask: str, reason: str) -> None:
    bench.open()
    submit = bench.venue.submit

    def submit_slowly(ticket, clearance):  # type: ignore[no-untyped-def]
        answer = submit(ticket, clearance)
        bench.prices.quote("ETH/EUR", bid, ask)
        bench.clock.pass_time(timedelta(seconds=16))
        return answer

    bench.venue.submit = submit_slowly  # type: ignore[method-assign]
    record = bench.run()
    assert bench.orders() == [("BTC/EUR", "FILLED"), ("ETH/EUR", "DENIED")]
    assert [error["code"] for error in record.errors or []] == [reason]
    assert len(bench.venue.received) == 1


def test_a_market_that_closes_during_the_run_gets_no_order(bench: LiveBench) -> None:
    bench.open()
    skew = bench.venue.clock_skew

    def close_market() -> timedelta:
        # The clock is compared once more when the plan stands and its orders are about to leave.
        if bench.orders():
            bench.prices.set_status("ETH/EUR", MarketStatus.CANCEL_ONLY)
        return skew()

    bench.venue.clock_skew = close_market  # type: ignore[method-assign]
    record = bench.run()
    assert bench.orders() == [("BTC/EUR", "FILLED"), ("ETH/EUR", "DENIED")]
    assert [error["code"] for error in record.errors or []] == ["PAIR_HALTED"]


def test_a_loss_within_a_day_halts_the_account_but_a_withdrawal_does_not(bench: LiveBench) -> None:
    bench.open(weights="BTC=90,EUR=10", settings={"max_price_jump": "off"})
    bench.run()
    bench.venue.move("EUR", "-60")
    assert bench.run().success
    bench.prices.quote("BTC/EUR", "20000.0", "20010.0")
    with pytest.raises(DeniedError, match="DRAWDOWN_HALT"):
        bench.run()
    assert bench.account()["trading_state"] == "halted"
    assert "below the" in str(bench.account()["trading_state_reason"])
    with pytest.raises(DeniedError, match="ACCOUNT_HALTED"):
        bench.run()
    bench.clock.pass_time(timedelta(days=1))
    resume(bench.ports, ACCOUNT)
    assert bench.run().success


def test_three_failures_in_a_row_open_the_circuit_and_resume_closes_it(bench: LiveBench) -> None:
    bench.open()
    for _ in range(3):
        bench.venue.refuse_next("EOrder:Insufficient funds")
        bench.venue.refuse_next("EOrder:Insufficient funds")
        assert not bench.run().success
    sent = len(bench.venue.received)
    with pytest.raises(DeniedError, match=r"CIRCUIT_OPEN: the last 3 live runs .*rebalancer resume --account main"):
        bench.run()
    assert len(bench.venue.received) == sent
    resume(bench.ports, ACCOUNT)
    assert bench.run().success


def test_refusals_of_our_own_do_not_open_the_circuit(bench: LiveBench) -> None:
    bench.open()
    for _ in range(4):
        with pytest.raises(DeniedError, match="TURNOVER"):
            bench.run(confirmed=frozenset())
    assert bench.run().success


def test_a_reserve_stays_in_cash_whatever_the_portfolio_says(bench: LiveBench) -> None:
    bench.open(weights="BTC=100", settings={"cash_reserve": "0.2"})
    bench.run()
    assert bench.stored.book("core")["EUR"] >= Decimal(199)
