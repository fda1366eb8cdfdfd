"""The marts say what plain SQL on the tables says."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, LiteralString

import pytest

from tests.support.stored import Stored
from tests.support.written_history import DAY, Ordered, Traded, WrittenHistory, noon

from .conftest import BuildIt, Marts
from .stories import FIRST, Story

_MODE = "CASE WHEN NOT dry_run THEN 'live' WHEN triggered_by = 'backfill' THEN 'backfill' ELSE 'dry_run' END"


@pytest.fixture
def built(history: WrittenHistory, build: BuildIt) -> None:
    Story(history, seed=7).tell("core", "other", "third")
    build()


def same(stored: Stored, mart: LiteralString, plain: LiteralString) -> list[dict[str, Any]]:
    found, expected = stored.rows(mart), stored.rows(plain)
    assert found == expected
    assert found
    return found


@pytest.mark.usefixtures("built")
def test_the_marts_equal_plain_queries_on_the_tables(stored: Stored) -> None:
    newest = same(
        stored,
        "SELECT portfolio_name, executed_at, success, orders_executed, total_value_traded "
        "FROM analytics.recent_rebalances ORDER BY executed_at DESC, id DESC LIMIT 10",
        "SELECT portfolio.name AS portfolio_name, executed_at, success, orders_executed, total_value_traded "
        "FROM rebalance_history h JOIN portfolio ON portfolio.id = portfolio_id "
        "ORDER BY executed_at DESC, h.id DESC LIMIT 10",
    )
    assert len(newest) == 10
    same(
        stored,
        "SELECT run_mode, rebalances, total_value_traded, average_portfolio_value, average_duration_ms, "
        "orders_planned, orders_executed, orders_failed, fees_paid FROM analytics.rebalance_statistics "
        "WHERE portfolio_id IS NULL ORDER BY 1",
        f"SELECT {_MODE} AS run_mode, count(*) AS rebalances, sum(total_value_traded) AS total_value_traded, "
        "avg(portfolio_value) AS average_portfolio_value, avg(duration_ms) AS average_duration_ms, "
        "sum(orders_planned) AS orders_planned, sum(orders_executed) AS orders_executed, "
        "sum(orders_failed) AS orders_failed, sum(fees_paid) AS fees_paid FROM rebalance_history GROUP BY 1 ORDER BY 1",
    )
    same(
        stored,
        "SELECT portfolio_name, run_mode, rebalances, total_value_traded, average_portfolio_value "
        "FROM analytics.rebalance_statistics WHERE portfolio_id IS NOT NULL ORDER BY 1, 2",
        f"SELECT name AS portfolio_name, {_MODE} AS run_mode, count(*) AS rebalances, "
        "sum(total_value_traded) AS total_value_traded, avg(portfolio_value) AS average_portfolio_value "
        "FROM rebalance_history JOIN portfolio ON portfolio.id = portfolio_id GROUP BY 1, 2 ORDER BY 1, 2",
    )
    same(
        stored,
        "SELECT run_mode, success_rate FROM analytics.rebalance_success_rate "
        "WHERE grain = 'all' AND portfolio_id IS NULL ORDER BY 1",
        f"SELECT {_MODE} AS run_mode, count(*) FILTER (WHERE success) * 100::numeric / count(*) AS success_rate "
        "FROM rebalance_history GROUP BY 1 ORDER BY 1",
    )
    for grain in ("day", "week", "month"):
        same(
            stored,
            "SELECT portfolio_name, run_mode, period_start, rebalances, successes, failures, success_rate "  # type: ignore[arg-type]
            f"FROM analytics.rebalance_success_rate WHERE grain = '{grain}' AND portfolio_id IS NOT NULL "
            "ORDER BY 1, 2, 3",
            f"SELECT name AS portfolio_name, {_MODE} AS run_mode, "  # type: ignore[arg-type]
            f"date_trunc('{grain}', executed_at AT TIME ZONE 'UTC')::date AS period_start, count(*) AS rebalances, "
            "count(*) FILTER (WHERE success) AS successes, count(*) FILTER (WHERE NOT success) AS failures, "
            "count(*) FILTER (WHERE success) * 100::numeric / count(*) AS success_rate "
            "FROM rebalance_history JOIN portfolio ON portfolio.id = portfolio_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        )
        same(
            stored,
            "SELECT run_mode, period_start, currency, side, valuation_currency, orders, quantity, traded_value "  # type: ignore[arg-type]
            f"FROM analytics.traded_value WHERE grain = '{grain}' AND portfolio_id IS NULL ORDER BY 1, 2, 3, 4",
            f"SELECT {_MODE.replace('dry_run', 'h.dry_run', 1)} AS run_mode, "  # type: ignore[arg-type]
            f"date_trunc('{grain}', h.executed_at AT TIME ZONE 'UTC')::date AS period_start, "
            "base_currency AS currency, side, quote_currency AS valuation_currency, count(DISTINCT o.id) AS orders, "
            "sum(f.quantity) AS quantity, sum(f.notional) AS traded_value FROM rebalance_history h "
            "JOIN order_intent o ON o.rebalance_id = h.id JOIN fill f ON f.order_intent_id = o.id "
            "GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4",
        )
    same(
        stored,
        "SELECT run_mode, code, occurrences, last_at, last_message FROM analytics.failure_reasons "
        "WHERE portfolio_id IS NULL ORDER BY 1, 2",
        f"SELECT {_MODE} AS run_mode, e ->> 'code' AS code, count(*) AS occurrences, max(executed_at) AS last_at, "
        "(array_agg(e ->> 'message' ORDER BY executed_at DESC))[1] AS last_message "
        "FROM rebalance_history, jsonb_array_elements(errors) e GROUP BY 1, 2 ORDER BY 1, 2",
    )
    same(
        stored,
        "SELECT rebalance_id, drift_before, drift_after FROM analytics.drift_history ORDER BY 1",
        "SELECT rebalance_id, sum(abs(weight - target)) FILTER (WHERE phase = 'before') / 2 AS drift_before, "
        "sum(abs(weight - target)) FILTER (WHERE phase = 'after') / 2 AS drift_after "
        "FROM portfolio_position GROUP BY 1 ORDER BY 1",
    )


@pytest.mark.usefixtures("built")
def test_percentiles_are_within_half_a_percent(stored: Stored) -> None:
    found = stored.rows(
        "SELECT portfolio_name, p95_duration_ms FROM analytics.rebalance_statistics "
        "WHERE run_mode = 'live' ORDER BY 1 NULLS LAST"
    )
    exact = stored.rows(
        "SELECT name AS portfolio_name, percentile_disc(0.95) WITHIN GROUP (ORDER BY duration_ms) AS p95_duration_ms "
        "FROM rebalance_history JOIN portfolio ON portfolio.id = portfolio_id WHERE NOT dry_run "
        "GROUP BY ROLLUP (1) ORDER BY 1 NULLS LAST"
    )
    assert [row["portfolio_name"] for row in found] == ["core", "other", "third", None]
    for rounded, row in zip(found, exact, strict=True):
        assert abs(rounded["p95_duration_ms"] - row["p95_duration_ms"]) <= row["p95_duration_ms"] * 0.005


def test_execution_quality_compares_fills_with_the_decision(
    history: WrittenHistory, build: BuildIt, marts: Marts
) -> None:
    core = history.portfolio("core")
    fills = [
        Traded(Decimal(1), Decimal(101), fee=Decimal("0.2"), liquidity_side="maker", after=timedelta(seconds=1)),
        Traded(Decimal(3), Decimal(100), fee=Decimal("0.006"), fee_currency="BTC", after=timedelta(seconds=4)),
        Traded(Decimal(1), Decimal(99), liquidity_side="internal", after=timedelta(seconds=9)),
    ]
    history.rebalance(core, noon(FIRST), [Ordered("BTC/EUR", "buy", Decimal(6), Decimal(99), fills)])
    sold = [Traded(Decimal(2), Decimal("98.01"))]
    history.rebalance(core, noon(FIRST + DAY), [Ordered("BTC/EUR", "sell", Decimal(2), Decimal(99), sold)])
    build()
    bought, sold_row = marts("execution_quality", "side")
    assert (bought["fills"], bought["notional"], bought["median_seconds_to_fill"]) == (3, 500, 4)
    assert bought["slippage_bps"] == round(Decimal(5) / 495 * 10000, 6)
    assert bought["fees_bps"] == round((Decimal("0.2") + Decimal("0.006") * 99) / 500 * 10000, 6)
    assert bought["maker_share"] == Decimal("0.202")
    assert (sold_row["slippage_bps"], sold_row["run_mode"], sold_row["portfolio_name"]) == (100, "live", "core")


def test_performance_is_right_whatever_was_deposited_or_withdrawn(
    history: WrittenHistory, build: BuildIt, marts: Marts
) -> None:
    """Prices: +10 %, −20 %, a gap, then +25 % over the gap. Deposits and withdrawals change none of the returns."""
    prices = ("100", "110", "88", None, "110")
    for offset, price in enumerate(prices):
        history.close("BTC", FIRST + offset * DAY, Decimal(price) if price else None)
    core, still = history.portfolio("core"), history.portfolio("still")
    for portfolio in (core, still):
        history.book(portfolio, "deposit", "BTC", Decimal(10), noon(FIRST))
    history.book(core, "deposit", "BTC", Decimal(5), noon(FIRST + DAY))
    history.book(core, "withdrawal", "BTC", Decimal(-3), noon(FIRST + 2 * DAY))
    for portfolio in (core, still):
        history.value_days(portfolio, FIRST + 4 * DAY)
    build()
    for name in ("core", "still"):
        days = marts("portfolio_performance", "day", f"portfolio_name = '{name}'")
        assert [row["value"] is None for row in days] == [False, False, False, True, False]
        returns = [row["cumulative_return"] for row in days]
        assert returns[0] == 0
        if name == "still":
            assert returns == [0, Decimal("0.1"), Decimal("-0.12"), Decimal("-0.12"), Decimal("0.1")]
            assert [row["drawdown"] for row in days] == [0, 0, Decimal("-0.2"), Decimal("-0.2"), 0]
            assert [row["hold_value"] for row in days] == [1000, 1100, 880, None, 1100]
            assert [row["edge"] for row in days] == [0, 0, 0, None, 0]
        else:
            # What is deposited counts as there from the day's beginning on, at the day's close.
            assert days[1]["daily_return"] == round(Decimal(15 * 110) / (1000 + 550) - 1, 15)
            assert days[2]["daily_return"] == round(Decimal(12 * 88 + 3 * 88) / (15 * 110) - 1, 15)
            assert [row["hold_value"] for row in days] == [row["value"] for row in days]


def test_the_basket_that_is_held_never_trades(history: WrittenHistory, build: BuildIt, marts: Marts) -> None:
    """Half BTC, half EUR; the portfolio sells its BTC at once, and BTC doubles."""
    for offset, price in enumerate(("100", "200")):
        history.close("BTC", FIRST + offset * DAY, Decimal(price))
    core = history.portfolio("core")
    history.book(core, "deposit", "BTC", Decimal(1), noon(FIRST))
    history.book(core, "deposit", "EUR", Decimal(100), noon(FIRST))
    sale = [Traded(Decimal(1), Decimal(100), fee=Decimal(2))]
    history.rebalance(core, noon(FIRST + DAY), [Ordered("BTC/EUR", "sell", Decimal(1), Decimal(100), sale)])
    history.value_days(core, FIRST + DAY)
    build()
    first, second = marts("portfolio_performance", "day")
    assert (first["hold_value"], second["hold_value"], second["value"]) == (200, 300, 198)
    assert (second["hold_return"], second["cumulative_return"]) == (Decimal("0.5"), Decimal("-0.01"))
    assert (second["edge"], second["fees_to_date"], second["fee_drag"]) == (Decimal("-0.51"), 2, Decimal("0.01"))
