"""What every chart stands in: its size, its axes, and its title for those who cannot see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from html import escape

from rebalancer_pipelines.adapters.report.charts.scale import DayScale, ValueScale
from rebalancer_pipelines.adapters.report.charts.svg import element, label

_LETTER = 6.8
"""About how wide a letter at an axis is."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The size of a chart in pixels; what is drawn leaves room for the words at its left and below."""

    width: float
    height: float
    left: float = 50.0
    right: float = 10.0
    top: float = 10.0
    bottom: float = 26.0

    @property
    def floor(self) -> float:
        """The height of the lower edge."""
        return self.height - self.bottom

    def days(self, first: date, last: date, *, inset: float = 0.0) -> DayScale:
        """The scale of the days; `inset` leaves room for columns that stand on the first and the last."""
        return DayScale(first, last, self.left + inset, self.width - self.right - inset)

    def axes(self, values: ValueScale, days: DayScale, unit: str = "") -> str:
        """Lines and words of both axes."""
        parts: list[str] = []
        for tick in values.ticks:
            height = values.at(tick)
            stressed = "zero" if abs(tick) < values.step / 1000 else "grid"
            parts.append(
                element("line", x1=self.left, x2=self.width - self.right, y1=height, y2=height, class_=stressed)
            )
            parts.append(label(values.write(tick, unit), (self.left - 8, height + 4), class_="axis", text_anchor="end"))
        written_until = 0.0
        for place, words in days.ticks():
            width = len(words) * _LETTER
            near_edge = place + width / 2 > self.width
            start = place - width if near_edge else place if place < self.left + 24 else place - width / 2
            anchor = "end" if near_edge else "start" if start == place else "middle"
            parts.append(element("line", x1=place, x2=place, y1=self.floor, y2=self.floor + 4, class_="tick"))
            if start > written_until:
                parts.append(label(words, (place, self.height - 7), class_="axis", text_anchor=anchor))
                written_until = start + width + _LETTER
        return "".join(parts)

    def draw(self, *content: str, identity: str, title: str, description: str, class_: str | None = None) -> str:
        """The chart as an `svg` element with its name and description."""
        return element(
            "svg",
            element("title", escape(title), id=f"{identity}-title"),
            element("desc", escape(description), id=f"{identity}-desc"),
            *content,
            viewBox=f"0 0 {self.width:g} {self.height:g}",
            width=self.width,
            height=self.height,
            role="img",
            aria_labelledby=f"{identity}-title {identity}-desc",
            class_=class_,
            xmlns="http://www.w3.org/2000/svg",
        )
