"""What happens at the venue without us: found, typed and booked, or the account freezes with the difference."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from rebalancer_pipelines.application.portfolios import allocate_money, create_portfolio, release_money
from rebalancer_pipelines.application.ports import MovementKind
from rebalancer_pipelines.application.review import review_account
from rebalancer_pipelines.application.trading_control import resume
from rebalancer_pipelines.domain.errors import DeniedError, InvalidInputError
from tests.support.live_bench import ACCOUNT, BTC, EUR, LiveBench


def entries(bench: LiveBench) -> list[tuple[str, str, str]]:
    """Kind, currency and amount of what was booked from the venue's own ledger."""
    rows = bench.stored.rows(
        "SELECT kind, currency, amount FROM ledger_entry WHERE venue_entry_id IS NOT NULL ORDER BY occurred_at"
    )
    return [(row["kind"], row["currency"], f"{row['amount']:f}") for row in rows]


def test_every_kind_of_movement_becomes_an_entry_of_its_own(bench: LiveBench) -> None:
    bench.open(weights="BTC=40,ETH=30,EUR=30")
    bench.run()
    bench.venue.move("EUR", "500", fee="1")
    bench.venue.move("EUR", "-50")
    bench.venue.move("ETH", "0.0001", kind=MovementKind.REWARD)
    bench.venue.move("BTC", "-0.001", kind=MovementKind.TRADE, trade_id="by-hand")
    bench.venue.move("EUR", "30", kind=MovementKind.TRADE, fee="0.12", trade_id="by-hand")
    bench.venue.move("KFEE", "7", kind=MovementKind.OTHER)
    assert bench.run().success
    assert sorted(entries(bench)) == sorted(
        [
            ("deposit", "EUR", "500"),
            ("fee", "EUR", "-1"),
            ("withdrawal", "EUR", "-50"),
            ("reward", "ETH", "0.0001"),
            ("outside_trade", "BTC", "-0.001"),
            ("outside_trade", "EUR", "30"),
            ("fee", "EUR", "-0.12"),
            ("adjustment", "KFEE", "7"),
        ]
    )
    assert bench.stored.ledger_sums() == bench.venue_totals()
    assert bench.stored.book("core") == {str(c): amount for (_, c), amount in bench.venue_totals().items()}


def test_our_own_trades_in_the_venues_ledger_are_not_booked_again(bench: LiveBench) -> None:
    bench.venue.shows_trades = True
    bench.open()
    bench.run()
    bench.venue.move("EUR", "10")
    bench.run()
    assert entries(bench) == [("deposit", "EUR", "10")]
    assert bench.stored.ledger_sums() == bench.venue_totals()


def test_what_was_booked_is_never_booked_twice(bench: LiveBench) -> None:
    bench.open()
    for _ in range(3):
        bench.venue.move("EUR", "10")
        bench.run()
    assert entries(bench) == [("deposit", "EUR", "10")] * 3
    assert bench.stored.ledger_sums() == bench.venue_totals()


def test_half_an_explanation_books_nothing_and_freezes(bench: LiveBench) -> None:
    bench.open()
    bench.run()
    bench.venue.move("EUR", "100")
    bench.venue.hold("EUR", "-0.01")
    before = bench.clock.now()
    with pytest.raises(DeniedError, match=r"BOOKS_DIFFER: .*\(EUR \+99\.99\)"):
        bench.run()
    assert bench.clock.now() - before > timedelta(seconds=90), "balances that lag are given their time"
    assert entries(bench) == []
    assert bench.account()["trading_state"] == "halted"
    with pytest.raises(DeniedError, match=r"ACCOUNT_HALTED: .*EUR \+99\.99.*rebalancer account review main"):
        bench.run()
    review = review_account(bench.ports, ACCOUNT)
    assert not review.is_clear
    assert [(m.currency, m.amount) for m in review.movements] == [(EUR, Decimal(100))]
    assert review_account(bench.ports, ACCOUNT, accept_balances=True).is_clear
    assert bench.stored.ledger_sums() == bench.venue_totals()
    resume(bench.ports, ACCOUNT)
    assert bench.run().success


def test_balances_that_lag_are_waited_for(bench: LiveBench) -> None:
    bench.open()
    bench.run()
    bench.venue.hold("EUR", "-5")
    sleep = bench.clock.sleep

    def sleep_until_it_shows(duration: timedelta) -> None:
        sleep(duration)
        if duration >= timedelta(seconds=15):
            bench.venue.hold("EUR", "5")
            bench.clock.sleep = sleep  # type: ignore[method-assign]

    bench.clock.sleep = sleep_until_it_shows  # type: ignore[method-assign]
    assert bench.run().success
    assert bench.account()["trading_state"] == "active"


def test_money_that_portfolios_own_and_that_left_has_to_be_given_by_one_of_them(bench: LiveBench) -> None:
    bench.open()
    create_portfolio(bench.ports, {"name": "other", "account": ACCOUNT, "weights": "EUR=100"}, allocations=None)
    allocate_money(bench.ports, "other", {EUR: Decimal(400)}, source="core")
    bench.venue.move("EUR", "-100")
    with pytest.raises(DeniedError, match=r"UNALLOCATED_SHORT: EUR -100 left account main .*release NAME EUR=100"):
        bench.run()
    assert bench.venue.received == []
    with pytest.raises(InvalidInputError, match=r"release\.EUR"):
        release_money(bench.ports, "other", {EUR: Decimal(401)})
    release_money(bench.ports, "other", {EUR: Decimal(100)})
    assert bench.run().success
    assert bench.stored.book("other") == {"EUR": Decimal(300)}
    assert bench.stored.ledger_sums() == bench.venue_totals()


def test_money_that_came_in_belongs_to_nobody_until_it_is_allocated(bench: LiveBench) -> None:
    bench.open()
    create_portfolio(bench.ports, {"name": "other", "account": ACCOUNT, "weights": "EUR=100"})
    allocate_money(bench.ports, "other", {EUR: Decimal(400)}, source="core")
    bench.venue.move("EUR", "1000")
    record = bench.run()
    assert record.portfolio_value == 600
    assert bench.stored.book("other") == {"EUR": Decimal(400)}
    assert bench.stored.ledger_sums() == bench.venue_totals()


def test_locked_units_count_for_value_and_are_never_sold(bench: LiveBench) -> None:
    bench.venue.hold("BTC", "0.1")
    bench.venue.lock("BTC", "0.09")
    bench.open(weights="BTC=0,EUR=100")
    record = bench.run()
    assert record.portfolio_value is not None
    assert record.portfolio_value > 4000
    (ticket,) = bench.venue.received
    assert ticket.quantity == Decimal("0.01")
    assert bench.stored.book("core")[BTC] == Decimal("0.09")
