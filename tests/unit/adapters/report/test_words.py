"""Figures and days as people read them."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from rebalancer_pipelines.adapters.report import words
from rebalancer_pipelines.adapters.report.performance_figures import drawdowns

FIRST = date(2018, 1, 30)


def test_amounts() -> None:
    assert words.money(Decimal("12345.678"), "EUR") == "12,345.68 EUR"
    assert words.money(Decimal("-0.001")) == "0.00"
    assert words.money(None, "EUR") == "–"
    assert words.percent(Decimal("-0.1234")) == "−12.34\u00a0%"
    assert words.percent(Decimal("0.1"), signed=True) == "+10.00\u00a0%"
    assert words.percent(Decimal("0.000001"), signed=True) == "0.00\u00a0%"


def test_days_in_a_row_are_a_range() -> None:
    listed = [FIRST, FIRST + timedelta(days=1), FIRST + timedelta(days=2), FIRST + timedelta(days=9)]
    assert words.days(listed) == "30 Jan 2018 – 1 Feb 2018, 8 Feb 2018"


def test_a_drawdown_is_the_way_down_from_the_highest_point_so_far() -> None:
    returns = [Decimal("0.5"), Decimal("0.2"), None, Decimal("-0.25"), Decimal(1)]
    found = [deep for _, deep in drawdowns([(FIRST, gained) for gained in returns])]
    assert found == [Decimal(0), Decimal("-0.2"), None, Decimal("-0.5"), Decimal(0)]
    assert [deep for _, deep in drawdowns([(FIRST, Decimal("-0.1"))])] == [Decimal("-0.1")], "the start counts as well"
