"""What a rebalance did: from where it began to where it came, one stroke each."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta

from rebalancer_pipelines.adapters.report.charts.frame import Frame
from rebalancer_pipelines.adapters.report.charts.scale import ValueScale
from rebalancer_pipelines.adapters.report.charts.svg import cut, element

Step = tuple[datetime, float, float]


def draw_steps(
    frame: Frame, span: tuple[date, date], steps: Sequence[Step], *, unit: str, leaving_out: Collection[datetime] = ()
) -> str:
    """A stroke per step, with a ring where it begins and a dot where it ends; the last day of the span is whole.

    The steps of `leaving_out` have no say in the scale: they may begin beyond its edge, with a cut that shows it.
    """
    known = [value for moment, *ends in steps if moment not in leaving_out for value in ends]
    values = ValueScale.around(known, bottom=frame.floor, top=frame.top, lines=4, with_zero=True)
    days = frame.days(span[0], span[1] + timedelta(days=1), inset=4)
    radius = 3.0 if len(steps) <= frame.width / 9 else 1.8
    parts: list[str] = []
    for moment, before, after in steps:
        place = days.at(moment.date(), moment.hour + moment.minute / 60)
        beginning = element("circle", cx=place, cy=values.at(before), r=radius, class_="ring")
        parts += [
            element("line", x1=place, x2=place, y1=values.at(before), y2=values.at(after), class_="stroke"),
            cut(place, 4, frame.top) if before > values.high else beginning,
            element("circle", cx=place, cy=values.at(after), r=radius, class_="reached"),
        ]
    return frame.axes(values, days, unit) + "".join(parts)
