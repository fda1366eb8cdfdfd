"""A chart that stands alone, as an image: it brings its own style and its own legend, for light and for dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from rebalancer_pipelines.adapters.report.charts.frame import Frame
from rebalancer_pipelines.adapters.report.charts.line import Line, draw_lines
from rebalancer_pipelines.adapters.report.charts.svg import element, label

MOST_CURVES = 6
"""So many lines can be told apart."""

_WIDTH, _HEIGHT, _ROW = 760.0, 260.0, 20.0
_COLOURS = ("#2d8fb3", "#e0912f", "#7c6fd6", "#3aa37a", "#c9609c", "#a0793f")
_STYLE = (
    "text{fill:#6b7580;font:12px system-ui,sans-serif}.name{font-size:13px}.grid{stroke:#8a94a1;stroke-opacity:.25}"
    ".zero,.tick{stroke:#8a94a1;stroke-opacity:.7}.line{fill:none;stroke-width:2;stroke-linejoin:round}"
) + "".join(
    f".c{place}.line,.c{place}.key{{stroke:{colour}}}.c{place}.dot{{fill:{colour}}}"
    for place, colour in enumerate(_COLOURS)
)
"""Colours that can be read on white and on black: an image does not know where it is shown."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A line with what its legend says."""

    name: str
    newest: str
    points: Sequence[tuple[date, float | None]]


def draw_standalone(title: str, curves: Sequence[Curve]) -> str:
    """The first `MOST_CURVES` curves on one chart as an SVG document; each day without a value is a gap."""
    shown = curves[:MOST_CURVES]
    head = _ROW * len(shown) + 8
    frame = Frame(_WIDTH, _HEIGHT + head, top=head + 10)
    days = [day for curve in shown for day, _ in curve.points]
    legend: list[str] = []
    for place, curve in enumerate(shown):
        height = _ROW * (place + 1) - 4
        legend.append(
            element("line", x1=0, x2=18, y1=height - 4, y2=height - 4, class_=f"c{place} key", stroke_width="3")
        )
        legend.append(label(f"{curve.name}  {curve.newest}", (26, height), class_="name"))
    lines = [Line(f"c{place}", curve.points) for place, curve in enumerate(shown)]
    return frame.draw(
        element("style", _STYLE),
        *legend,
        draw_lines(frame, (min(days), max(days)), lines),
        identity="chart",
        title=title,
        description="; ".join(f"{curve.name} {curve.newest}" for curve in shown),
    )
