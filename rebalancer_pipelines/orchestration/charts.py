"""Charts: what days of a history look like, as metadata in the UI.

Here: small images made from values that a step has built. Not here: how a chart is drawn; that is the report's.
"""

import base64
from collections.abc import Sequence
from itertools import groupby

import dagster as dg

from rebalancer_pipelines.adapters.report.charts.standalone import Curve, draw_standalone
from rebalancer_pipelines.adapters.report.words import counted
from rebalancer_pipelines.domain.daily_value import ValueCurve
from rebalancer_pipelines.domain.history_basis import HistoryBasis
from rebalancer_pipelines.orchestration.metadata import money

_LABELS = {
    HistoryBasis.BOOKED: "",
    HistoryBasis.REHEARSED: ", rehearsed on a RECORDED market: no money moved",
}


def value_charts(curves: Sequence[ValueCurve]) -> dict[str, dg.MarkdownMetadataValue]:
    """A chart for what happened and one for what was rehearsed, each of one currency.

    Expects curves that go together one after another, the largest first, and of each a value on one day at least.
    """
    charts: dict[str, dg.MarkdownMetadataValue] = {}
    for (basis, currency), together in groupby(curves, key=lambda curve: (curve.basis, curve.valuation_currency)):
        title = f"Value in {currency}{_LABELS[basis]}"
        charts[f"values_{basis.value}_{currency}"] = _value_chart(title, list(together))
    return charts


def _value_chart(title: str, curves: Sequence[ValueCurve]) -> dg.MarkdownMetadataValue:
    """Values of portfolios over days, all of one basis and in one currency, as an image, and how many it leaves out."""
    lines = [
        Curve(
            name=curve.portfolio,
            newest=money(next(value for _, value in reversed(curve.days) if value is not None)),
            points=[(day, float(value) if value is not None else None) for day, value in curve.days],
        )
        for curve in curves
    ]
    image = base64.b64encode(draw_standalone(title, lines).encode()).decode()
    smaller = curves[0].among - len(curves)
    more = f"\n\n… and {counted(smaller, 'smaller portfolio')}" if smaller else ""
    return dg.MetadataValue.md(f"**{title}**\n\n![{title}](data:image/svg+xml;base64,{image}){more}")
