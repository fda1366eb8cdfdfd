"""The terminal's tables and the report, read from marts that were really built."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from rebalancer_pipelines.adapters.report.page import report_page
from rebalancer_pipelines.application.accounts import NewAccount, open_account
from rebalancer_pipelines.application.portfolio_report import read_report
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.statistics import read_statistics, statistics_document
from rebalancer_pipelines.domain.history_basis import HistoryBasis
from rebalancer_pipelines.domain.statistics import RunMode
from tests.support.written_history import DAY, Ordered, Traded, WrittenHistory, noon

BuildIt = Callable[..., Any]
FIRST = date(2024, 3, 1)
DAYS = 6


@pytest.fixture
def core(ports: Ports, history: WrittenHistory) -> UUID:
    """A portfolio that bought once, was looked at every day, and was rehearsed over two days of the past."""
    open_account(ports, NewAccount("main", "paper", "recorded"))
    portfolio = create_portfolio(ports, {"name": "core", "account": "main", "weights": "BTC=50,EUR=50"}).id
    first = datetime(FIRST.year, FIRST.month, FIRST.day, 9, tzinfo=UTC)
    history.book(portfolio, "deposit", "EUR", Decimal(1000), first)
    bought = Ordered("BTC/EUR", "buy", Decimal(5), Decimal(100), [Traded(Decimal(5), Decimal("100.1"), Decimal("1.3"))])
    weights = {
        "BTC": (Decimal(0), Decimal(50), Decimal(50)),
        "EUR": (Decimal(100), Decimal(50), Decimal(50)),
    }
    history.rebalance(portfolio, first + timedelta(hours=3), [bought], weights=weights)
    denied = {"code": "PRICE_STALE", "message": "BTC/EUR has no price"}
    history.rebalance(portfolio, first + timedelta(hours=4), success=False, errors=[denied])
    history.rebalance(portfolio, first + timedelta(hours=5), dry_run=True)
    for number in range(DAYS):
        day = FIRST + number * DAY
        history.close("BTC", day, Decimal(100 + number) if number != 3 else None)
        history.close("BTC", date(2017, 10, 1) + number * DAY, Decimal(4000 + number))
    history.value_days(portfolio, FIRST + (DAYS - 1) * DAY)
    history.change("INSERT INTO rehearsed_deposit VALUES (%s, 'EUR', %s, 500)", portfolio, noon(date(2017, 10, 1)))
    history.value_days(portfolio, date(2017, 10, 6), basis="rehearsed")
    history.rebalance(portfolio, noon(date(2017, 10, 2)), dry_run=True, triggered_by="backfill", weights=weights)
    return portfolio


@pytest.mark.usefixtures("core")
def test_the_statistics_are_those_of_the_marts(ports: Ports, build: BuildIt) -> None:
    build()
    document = statistics_document(read_statistics(ports, "core"))
    rates = {row["run_mode"]: row["success_rate"] for row in document["rebalance_success_rate"]}
    assert rates == {"live": "50", "dry_run": "100", "backfill": "100"}
    newest = {row["basis"]: (row["day"], row["value"]) for row in document["portfolio_performance"]}
    # 1000 − 5 × 100.1 − 1.3 in EUR, and five coins at the last close.
    assert newest == {"booked": ("2024-03-06", "1023.2"), "rehearsed": ("2017-10-06", "500")}
    (quality,) = document["execution_quality"]
    assert (quality["symbol"], quality["fills"], quality["slippage_bps"]) == ("BTC/EUR", 1, "10")
    assert [(row["code"], row["run_mode"]) for row in document["failure_reasons"]] == [("PRICE_STALE", "live")]
    assert [row["run_mode"] for row in document["recent_rebalances"]] == ["dry_run", "live", "live", "backfill"]
    together = statistics_document(read_statistics(ports, None))
    assert [row["run_mode"] for row in together["rebalance_success_rate"]] == ["live", "dry_run", "backfill"]


@pytest.mark.usefixtures("core")
def test_the_report_shows_them(ports: Ports, build: BuildIt) -> None:
    build()
    report = read_report(ports, "core")
    booked, rehearsed = report.histories
    assert (booked.basis, len(booked.days), booked.charted) == (HistoryBasis.BOOKED, DAYS, RunMode.LIVE)
    assert (rehearsed.basis, len(rehearsed.days), rehearsed.charted) == (HistoryBasis.REHEARSED, 6, RunMode.BACKFILL)
    assert [row.day for row in booked.missing] == [FIRST + 3 * DAY]
    page = report_page(report)
    assert "No value on 4 Mar 2024: no price of BTC." in page
    assert "Rehearsed on a recorded market (2017): what the planner would have done, no money moved" in page
    for kind in ("value", "drawdown", "weights", "drift", "traded", "success", "fees"):
        assert f'id="booked-{kind}"' in page, kind


def test_many_rebalances_of_the_present_do_not_push_the_rehearsed_ones_out(
    ports: Ports, core: UUID, history: WrittenHistory, build: BuildIt
) -> None:
    for number in range(120):
        history.rebalance(core, noon(date(2024, 5, 1)) + timedelta(hours=number))
    build()
    _, rehearsed = read_report(ports, "core").histories
    assert [row.run_mode for row in rehearsed.recent] == [RunMode.BACKFILL]
