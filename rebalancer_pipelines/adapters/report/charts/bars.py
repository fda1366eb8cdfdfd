"""Columns per period, stacked up from zero, and down from it below zero."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from itertools import pairwise

from rebalancer_pipelines.adapters.report.charts.frame import Frame
from rebalancer_pipelines.adapters.report.charts.scale import ValueScale
from rebalancer_pipelines.adapters.report.charts.svg import cut, element

_WIDEST, _THINNEST, _FILLED = 28.0, 1.5, 0.72


def draw_columns(
    frame: Frame,
    span: tuple[date, date],
    classes: Sequence[str],
    columns: Mapping[date, Sequence[float]],
    *,
    leaving_out: Collection[date] = (),
    least_step: float = 0.0,
) -> str:
    """A column per key day with a part in the style of each CSS class.

    The columns of `leaving_out` have no say in the scale: they may end at its edge, with a cut that shows it.
    """
    scaled = [parts for start, parts in columns.items() if start not in leaving_out]
    ups = [sum(part for part in parts if part > 0) for parts in scaled]
    downs = [sum(part for part in parts if part < 0) for parts in scaled]
    values = ValueScale.around(
        [*ups, *downs], bottom=frame.floor, top=frame.top, lines=4, with_zero=True, least_step=least_step
    )
    starts = sorted(columns)
    apart = min(((after - before).days for before, after in pairwise(starts)), default=1)
    room = (frame.width - frame.left - frame.right) / max(1, (span[1] - span[0]).days) * apart
    width = max(_THINNEST, min(_WIDEST, room * _FILLED))
    days = frame.days(*span, inset=width / 2 + 2)
    parts: list[str] = []
    for start in starts:
        above = below = 0.0
        for class_, part in zip(classes, columns[start], strict=True):
            if not part:
                continue
            reached = (above if part > 0 else below) + part
            top, bottom = values.at(max(reached, reached - part)), values.at(min(reached, reached - part))
            parts.append(
                element(
                    "rect",
                    x=days.at(start) - width / 2,
                    y=top,
                    width=width,
                    height=max(0.6, bottom - top),
                    class_=f"{class_} column",
                )
            )
            above, below = (reached, below) if part > 0 else (above, reached)
        if above > values.high or below < values.low:
            parts.append(cut(days.at(start), width, frame.top if above > values.high else frame.floor - 8))
    return frame.axes(values, days) + "".join(parts)
