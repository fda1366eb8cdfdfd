"""Values of portfolios as an image in the UI."""

from __future__ import annotations

import base64
import re
from datetime import date, timedelta
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from rebalancer_pipelines.domain.daily_value import ValueCurve
from rebalancer_pipelines.domain.history_basis import HistoryBasis
from rebalancer_pipelines.domain.values import Currency
from rebalancer_pipelines.orchestration.charts import value_charts

FIRST = date(2018, 1, 1)
_IMAGE = re.compile(r"!\[[^]]*\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)")


def curve(name: str, *values: int | None, among: int = 2, basis: HistoryBasis = HistoryBasis.BOOKED) -> ValueCurve:
    days = tuple((FIRST + timedelta(days=n), None if v is None else Decimal(v)) for n, v in enumerate(values))
    return ValueCurve(name, basis, Currency("EUR"), days, among)


def image(markdown: str) -> str:
    found = _IMAGE.search(markdown)
    assert found is not None, markdown
    svg = base64.b64decode(found[1]).decode()
    ElementTree.fromstring(svg)
    return svg


def test_each_portfolio_has_a_line_with_its_newest_value() -> None:
    (chart,) = value_charts([curve("large", 10, None, 30), curve("small", 1, 2, None)]).values()
    svg = image(chart.value)
    assert svg.index("large  30.00") < svg.index("small  2.00")
    # A day without a value interrupts the line; a value that stands alone is a dot.
    assert (svg.count('class="c0 dot"'), svg.count('class="c1 line"')) == (2, 1)
    assert chart.value.startswith("**Value in EUR**")
    assert "smaller" not in chart.value


@pytest.mark.parametrize(("among", "note"), [(3, "… and 1 smaller portfolio"), (9, "… and 7 smaller portfolios")])
def test_those_that_are_left_out_are_counted(among: int, note: str) -> None:
    (chart,) = value_charts([curve("one", 9, 9, among=among), curve("two", 8, 8, among=among)]).values()
    assert chart.value.endswith(f"\n\n{note}")


def test_what_was_rehearsed_has_a_chart_of_its_own_that_says_so() -> None:
    charts = value_charts([curve("real", 1, 2), curve("tried", 3, 4, basis=HistoryBasis.REHEARSED)])
    assert list(charts) == ["values_booked_EUR", "values_rehearsed_EUR"]
    real, tried = charts.values()
    assert "RECORDED" not in real.value
    assert "tried" not in image(real.value)
    assert tried.value.startswith("**Value in EUR, rehearsed on a RECORDED market: no money moved**")
    assert "real" not in image(tried.value)
