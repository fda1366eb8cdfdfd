"""Values of portfolios as an image in the UI."""

from __future__ import annotations

import base64
import re
from datetime import date, timedelta
from decimal import Decimal
from xml.etree import ElementTree

from rebalancer_pipelines.orchestration.charts import value_chart

FIRST = date(2018, 1, 1)
_IMAGE = re.compile(r"!\[[^]]*\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)")


def days(*values: int | None) -> list[tuple[date, Decimal | None]]:
    return [(FIRST + timedelta(days=n), None if v is None else Decimal(v)) for n, v in enumerate(values)]


def image(markdown: str) -> str:
    found = _IMAGE.search(markdown)
    assert found is not None, markdown
    svg = base64.b64decode(found[1]).decode()
    ElementTree.fromstring(svg)
    return svg


def test_each_portfolio_has_a_line_with_its_newest_value() -> None:
    svg = image(value_chart("Value in EUR", {"small": days(1, 2, None), "large": days(10, None, 30)}).value)
    assert svg.index("large  30.00") < svg.index("small  2.00")


def test_portfolios_without_a_value_are_left_out() -> None:
    assert value_chart("Value in EUR", {"empty": days(None)}).value == "No portfolio has a value on these days."
    assert "empty" not in image(value_chart("Value in EUR", {"empty": days(None), "one": days(1)}).value)


def test_of_many_portfolios_the_largest_are_shown() -> None:
    chart = value_chart("Value in EUR", {f"portfolio-{n}": days(n, n) for n in range(1, 10)}).value
    svg = image(chart)
    assert chart.endswith("… and 3 smaller portfolios")
    assert "portfolio-9" in svg
    assert "portfolio-3" not in svg
