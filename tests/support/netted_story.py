"""What must hold inside an account whose portfolios trade with each other, beside the venue's own story."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal

from rebalancer_pipelines.domain.order import OrderState
from tests.support.stored import Stored

_PARTS = """
    SELECT net_fill.id, net_fill.quantity, net_fill.notional, net_fill.fee,
        sum(part.quantity) AS parts_quantity, sum(part.notional) AS parts_notional, sum(part.fee) AS parts_fee
    FROM fill net_fill
    JOIN order_intent net_order ON net_order.id = net_fill.order_intent_id AND net_order.rebalance_id IS NULL
    LEFT JOIN order_intent rider ON rider.netted_into = net_order.id
    LEFT JOIN fill part ON part.order_intent_id = rider.id
        AND part.trade_id = net_fill.trade_id || ':' || rider.client_order_id
    GROUP BY net_fill.id
"""
_CROSSED = """
    SELECT symbol, side, rebalance.dagster_run_id AS run, sum(fill.quantity) AS quantity,
        sum(fill.notional) AS notional, sum(fill.fee) AS fee
    FROM fill JOIN order_intent ON order_intent.id = order_intent_id JOIN rebalance ON rebalance.id = rebalance_id
    WHERE liquidity_side = 'internal' GROUP BY symbol, side, run
"""
_BOOKS = """
    SELECT coalesce(portfolio.name, 'nobody') AS book, currency, sum(amount) AS amount FROM ledger_entry
    LEFT JOIN portfolio ON portfolio.id = portfolio_id GROUP BY 1, 2
"""


def assert_nothing_lost_inside(stored: Stored) -> None:
    """Parts sum to net fills, crossings are even, no book owes, and everything has ended with its one row."""
    _assert_parts_sum_up(stored)
    _assert_crossings_are_even(stored)
    assert [row for row in stored.rows(_BOOKS) if row["amount"] < 0] == [], "a portfolio spent what it has not"
    states = Counter(row["state"] for row in stored.rows("SELECT state FROM order_intent"))
    assert [state for state in states if not OrderState(state).is_terminal] == []
    assert stored.rows("SELECT id FROM rebalance WHERE status <> 'finished'") == []
    assert stored.rows("SELECT id FROM rebalance EXCEPT SELECT id FROM rebalance_history") == []
    assert stored.held_leases() == []
    _assert_history_is_what_is_stored(stored)


def _assert_parts_sum_up(stored: Stored) -> None:
    for fill in stored.rows(_PARTS):
        for amount in ("quantity", "notional", "fee"):
            assert fill[f"parts_{amount}"] == fill[amount], (amount, fill)
    over = stored.rows(
        "SELECT o.id FROM order_intent o JOIN fill ON fill.order_intent_id = o.id "
        "GROUP BY o.id HAVING sum(fill.quantity) > o.quantity"
    )
    assert over == [], "an order traded more than it wanted"


def _assert_crossings_are_even(stored: Stored) -> None:
    sums: dict[tuple[str, str], dict[str, tuple[Decimal, Decimal]]] = defaultdict(dict)
    for row in stored.rows(_CROSSED):
        assert row["fee"] == 0
        sums[row["symbol"], row["run"]][row["side"]] = row["quantity"], row["notional"]
    for market, sides in sums.items():
        assert sides["buy"] == sides["sell"], f"units or money were made in {market}"


def _assert_history_is_what_is_stored(stored: Stored) -> None:
    """Every order of every portfolio is told once, with all of its fills."""
    told = {
        document["client_order_id"]: document
        for row in stored.rows("SELECT orders FROM rebalance_history")
        for document in row["orders"]
        if document["client_order_id"] is not None
    }
    rows = stored.rows(
        "SELECT o.client_order_id, o.state, coalesce(sum(f.quantity), 0) AS filled FROM order_intent o "
        "LEFT JOIN fill f ON f.order_intent_id = o.id WHERE o.rebalance_id IS NOT NULL GROUP BY o.id"
    )
    assert set(told) == {row["client_order_id"] for row in rows}
    for row in rows:
        document = told[row["client_order_id"]]
        assert (document["state"], Decimal(document["filled_quantity"])) == (row["state"], row["filled"])
