"""Portfolios that share an account trade with each other first; the venue sees only what is left."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.values import Currency, exact_sum
from tests.support.batches import create_sharing, rebalance_together
from tests.support.paper_account import open_paper_account
from tests.support.stored import MORNING, Stored

CROSSING = {
    "buyer": ("BTC=80,EUR=20", {"EUR": "2000"}),
    "seller": ("BTC=0,EUR=100", {"BTC": "0.8"}),
    "holder": ("ETH=50,EUR=50", {"EUR": "1000"}),
}


@pytest.fixture
def shared(ports: Ports, stored: Stored) -> Ports:
    stored.show_recording(MORNING)
    open_paper_account(ports, {Currency("EUR"): Decimal(3000), Currency("BTC"): Decimal("0.8")})
    create_sharing(ports, CROSSING)
    return ports


def venue_orders(stored: Stored) -> list[tuple[str, str]]:
    return [(row["symbol"], row["side"]) for row in stored.rows("SELECT * FROM paper_order ORDER BY created_at, id")]


def assert_books_equal_venue(stored: Stored) -> None:
    books = Counter[str]()
    for row in stored.rows(
        "SELECT currency, sum(amount) AS amount FROM ledger_entry GROUP BY 1 HAVING sum(amount) <> 0"
    ):
        books[row["currency"]] = row["amount"]
    venue = {row["currency"]: row["total"] for row in stored.rows("SELECT * FROM paper_balance WHERE total <> 0")}
    assert dict(books) == venue


def test_what_two_want_of_each_other_never_reaches_the_venue(shared: Ports, stored: Stored) -> None:
    outcomes = rebalance_together(shared, list(CROSSING))
    assert {name: o.record and o.record.success for name, o in outcomes.items()} == dict.fromkeys(CROSSING, True)
    assert sorted(venue_orders(stored)) == [("BTC/EUR", "sell"), ("ETH/EUR", "buy")]
    buyer, seller = outcomes["buyer"].record, outcomes["seller"].record
    assert buyer is not None
    assert seller is not None
    assert buyer.value_crossed == buyer.total_value_traded == seller.value_crossed > 1500
    assert buyer.fees_paid == 0
    assert buyer.fees_saved == buyer.value_crossed * Decimal("0.004")
    assert seller.total_value_traded > seller.value_crossed
    assert seller.fees_paid > 0
    assert stored.book("seller").get("BTC", 0) == 0
    assert_books_equal_venue(stored)


def test_every_portfolio_keeps_what_its_own_orders_brought(shared: Ports, stored: Stored) -> None:
    rebalance_together(shared, list(CROSSING))
    for name in CROSSING:
        moved = exact_sum(
            row["quantity"] if row["side"] == "buy" else -row["quantity"]
            for row in stored.rows(
                "SELECT side, fill.quantity FROM fill JOIN order_intent o ON o.id = order_intent_id "
                "JOIN portfolio p ON p.id = o.portfolio_id WHERE p.name = %s AND base_currency = 'BTC'",
                name,
            )
        )
        owned = Decimal(CROSSING[name][1].get("BTC", "0"))
        assert stored.book(name).get("BTC", Decimal(0)) == owned + moved


def test_a_batch_again_finds_nothing_to_do(shared: Ports, stored: Stored) -> None:
    rebalance_together(shared, list(CROSSING))
    sent = len(venue_orders(stored))
    outcomes = rebalance_together(shared, list(CROSSING))
    assert [o.record.orders_planned for o in outcomes.values() if o.record] == [0, 0, 0]
    assert len(venue_orders(stored)) == sent
    for outcome in rebalance_together(shared, list(CROSSING), dry_run=True).values():
        assert outcome.after == outcome.before != ()


def test_a_dry_run_moves_nothing_and_tells_the_same(shared: Ports, stored: Stored) -> None:
    rehearsed = rebalance_together(shared, list(CROSSING), dry_run=True)
    assert venue_orders(stored) == []
    assert stored.book("seller") == {"BTC": Decimal("0.8")}
    real = rebalance_together(shared, list(CROSSING))
    for name in CROSSING:
        before, after = rehearsed[name].record, real[name].record
        assert before is not None
        assert after is not None
        assert before.dry_run
        assert not after.dry_run
        assert before.success
        assert before.plan_hash == after.plan_hash
        assert before.value_crossed == after.value_crossed


def test_a_portfolio_that_is_refused_stops_nobody_else(shared: Ports, stored: Stored) -> None:
    create_sharing(shared, {"empty": ("BTC=100", {})})
    outcomes = rebalance_together(shared, [*CROSSING, "empty"])
    refused = outcomes["empty"].record
    assert refused is not None
    assert refused.errors is not None
    assert refused.errors[0]["code"] == "NOTHING_TO_DIVIDE"
    assert all(outcomes[name].record.success for name in CROSSING)  # type: ignore[union-attr]
    assert_books_equal_venue(stored)


def test_net_orders_keep_the_limit_on_an_orders_size(ports: Ports, stored: Stored) -> None:
    stored.show_recording(MORNING)
    open_paper_account(ports, {Currency("EUR"): Decimal(60_000)}, settings={"max_order_notional": "12000"})
    create_sharing(ports, {f"p{n}": ("BTC=50,EUR=50", {"EUR": "10000"}) for n in range(6)})
    outcomes = rebalance_together(ports, [f"p{n}" for n in range(6)])
    assert all(o.record and o.record.success for o in outcomes.values())
    worth = [row["quantity"] * row["limit_price"] for row in stored.rows("SELECT * FROM paper_order")]
    assert len(worth) == 3
    assert max(worth) < Decimal(12_000) * Decimal("1.02")
    assert_books_equal_venue(stored)


def test_an_account_that_is_halted_leaves_a_row_for_each(shared: Ports, stored: Stored) -> None:
    stored.change("UPDATE account SET trading_state = 'halted', trading_state_reason = 'a test'")
    outcomes = rebalance_together(shared, list(CROSSING))
    assert {o.record.errors[0]["code"] for o in outcomes.values() if o.record and o.record.errors} == {"ACCOUNT_HALTED"}
    assert len(stored.rows("SELECT * FROM rebalance_history")) == 3


def test_what_is_left_below_the_venues_minimum_is_no_failure(ports: Ports, stored: Stored) -> None:
    stored.show_recording(MORNING)
    open_paper_account(
        ports, {Currency("EUR"): Decimal(3000), Currency("BTC"): Decimal(1)}, settings={"max_turnover": "off"}
    )
    create_sharing(ports, {"still": ("EUR=100", {"EUR": "10"}), "buyer": ("BTC=50,EUR=50", {"EUR": "1000"})})
    rehearsed = rebalance_together(ports, ["buyer"], dry_run=True)["buyer"].record
    assert rehearsed is not None
    wanted = Decimal(rehearsed.orders[0]["quantity"])
    dust = Decimal("0.00004")
    create_sharing(ports, {"seller": ("BTC=0,EUR=100", {"BTC": str(wanted + dust)})})

    outcomes = rebalance_together(ports, ["buyer", "seller", "still"])
    assert all(o.record and o.record.success for o in outcomes.values())
    assert venue_orders(stored) == []
    assert stored.book("seller")["BTC"] == dust
    assert_books_equal_venue(stored)
    again = rebalance_together(ports, ["buyer", "seller", "still"])
    assert all(o.record and o.record.success for o in again.values()), "dust is left alone for good"
    assert venue_orders(stored) == []
