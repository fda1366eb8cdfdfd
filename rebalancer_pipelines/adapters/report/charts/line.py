"""Lines over days. Where a day has no value, the line has a gap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

from rebalancer_pipelines.adapters.report.charts.frame import Frame
from rebalancer_pipelines.adapters.report.charts.scale import DayScale, ValueScale
from rebalancer_pipelines.adapters.report.charts.svg import Point, closed, element, path

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Line:
    """Values by day, drawn in the style of a CSS class; `filled` down, or up, to zero or to the lower edge."""

    class_: str
    points: Sequence[tuple[date, float | None]]
    filled: bool = False


def draw_lines(
    frame: Frame,
    span: tuple[date, date],
    lines: Sequence[Line],
    *,
    unit: str = "",
    with_zero: bool = False,
    marked: Sequence[date] = (),
) -> str:
    """The lines with their axes; the first is drawn last, above the others. `marked` days have a line of their own."""
    known = [value for line in lines for _, value in line.points if value is not None]
    ticks = 5 if frame.height > 200 else 3
    values = ValueScale.around(known, bottom=frame.floor, top=frame.top, lines=ticks, with_zero=with_zero)
    days = frame.days(*span)
    marks = (
        element("line", x1=days.at(day), x2=days.at(day), y1=frame.top, y2=frame.floor, class_="mark") for day in marked
    )
    curves = (_line(line, values, days) for line in reversed(lines))
    return "".join([frame.axes(values, days, unit), *marks, *curves])


def _line(line: Line, values: ValueScale, days: DayScale) -> str:
    parts: list[str] = []
    base = values.at(min(max(0.0, values.low), values.high))
    for stretch in stretches(line.points):
        points = [(days.at(day), values.at(value)) for day, value in stretch]
        if len(points) == 1:
            parts.append(element("circle", cx=points[0][0], cy=points[0][1], r=3, class_=f"{line.class_} dot"))
            continue
        if line.filled:
            parts.append(element("path", d=closed(points, _flat(points, base)), class_=f"{line.class_} fill"))
        parts.append(element("path", d=path(points), class_=f"{line.class_} line"))
    return "".join(parts)


def stretches(points: Sequence[tuple[date, float | None]]) -> Iterator[list[tuple[date, float]]]:
    """Runs of days in a row that have values."""
    known = [(day, value) for day, value in points if value is not None]
    # Days in a row have the same difference to their place in the list.
    for _, run in groupby(enumerate(known), key=lambda item: item[1][0] - item[0] * _ONE_DAY):
        yield [found for _, found in run]


def _flat(points: Sequence[Point], height: float) -> list[Point]:
    return [(points[0][0], height), (points[-1][0], height)]
