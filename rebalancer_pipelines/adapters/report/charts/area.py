"""Shares of a whole over days, one upon the other. A day without shares is a gap."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from rebalancer_pipelines.adapters.report.charts.frame import Frame
from rebalancer_pipelines.adapters.report.charts.line import stretches
from rebalancer_pipelines.adapters.report.charts.scale import ValueScale
from rebalancer_pipelines.adapters.report.charts.svg import closed, element

Shares = Sequence[tuple[date, Sequence[float] | None]]


def draw_shares(frame: Frame, span: tuple[date, date], classes: Sequence[str], shares: Shares) -> str:
    """Layers in the style of their CSS classes, the first at the bottom; shares are in percent."""
    values = ValueScale(0.0, 100.0, 25.0, frame.floor, frame.top)
    days = frame.days(*span)
    by_day = {day: parts for day, parts in shares if parts is not None}
    layers: list[str] = []
    for stretch in stretches([(day, 0.0 if parts is not None else None) for day, parts in shares]):
        places = [day for day, _ in stretch]
        lower = [0.0] * len(places)
        for layer, class_ in enumerate(classes):
            upper = [below + max(0.0, by_day[day][layer]) for below, day in zip(lower, places, strict=True)]
            xs = [days.at(day) for day in places]
            if len(xs) == 1:
                # One day alone has no width: it is shown as a column.
                xs, tops, bottoms = [xs[0] - 2, xs[0] + 2], upper * 2, lower * 2
            else:
                tops, bottoms = upper, lower
            layers.append(
                element(
                    "path",
                    d=closed(
                        [(x, values.at(value)) for x, value in zip(xs, tops, strict=True)],
                        [(x, values.at(value)) for x, value in zip(xs, bottoms, strict=True)],
                    ),
                    class_=f"{class_} share",
                )
            )
            lower = upper
    # The axes lie above: the layers fill everything.
    return "".join(layers) + frame.axes(values, days, " %")
