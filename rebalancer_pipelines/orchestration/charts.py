"""Charts: what days of a history look like, as metadata in the UI.

Here: small images made from values that a step has built. Not here: how a chart is drawn; that is the report's.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import groupby

import dagster as dg

from rebalancer_pipelines.adapters.report.charts.standalone import MOST_CURVES, Curve, draw_standalone
from rebalancer_pipelines.domain.daily_value import ValueCurve
from rebalancer_pipelines.domain.history_basis import HistoryBasis
from rebalancer_pipelines.orchestration.metadata import money

_LABELS = {
    HistoryBasis.BOOKED: "",
    HistoryBasis.REHEARSED: ", rehearsed on a RECORDED market: no money moved",
}

DailyValues = Sequence[tuple[date, Decimal | None]]
"""A value per day, in order; None where the day has none."""


def value_charts(curves: Sequence[ValueCurve]) -> dict[str, dg.MarkdownMetadataValue]:
    """A chart for what happened and one for what was rehearsed, each of one currency."""
    charts: dict[str, dg.MarkdownMetadataValue] = {}
    for (basis, currency), together in groupby(curves, key=lambda curve: (curve.basis, curve.valuation_currency)):
        title = f"Value in {currency}{_LABELS[basis]}"
        charts[f"values_{basis.value}_{currency}"] = value_chart(
            title, {each.portfolio: each.days for each in together}
        )
    return charts


def value_chart(title: str, values: Mapping[str, DailyValues]) -> dg.MarkdownMetadataValue:
    """Values of portfolios over days, all of one basis and in one currency, as an image; the largest come first.

    Portfolios without a value on any of the days are left out.
    """
    newest = {
        name: next((value for _, value in reversed(days) if value is not None), None) for name, days in values.items()
    }
    known = {name: value for name, value in newest.items() if value is not None}
    if not known:
        return dg.MetadataValue.md("No portfolio has a value on these days.")
    shown = sorted(known, key=lambda name: (-known[name], name))
    curves = [
        Curve(
            name=name,
            newest=money(known[name]),
            points=[(day, float(value) if value is not None else None) for day, value in values[name]],
        )
        for name in shown[:MOST_CURVES]
    ]
    image = base64.b64encode(draw_standalone(title, curves).encode()).decode()
    more = f"\n\n… and {len(shown) - MOST_CURVES} smaller portfolios" if len(shown) > MOST_CURVES else ""
    return dg.MetadataValue.md(f"**{title}**\n\n![{title}](data:image/svg+xml;base64,{image}){more}")
