"""A chart on the page: title, legend, the drawing for wide and for narrow screens, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from rebalancer_pipelines.adapters.report.charts.frame import Frame
from rebalancer_pipelines.adapters.report.charts.svg import short

_NARROW = 350.0


@dataclass(frozen=True, slots=True)
class NumberRow:
    """One line of the numbers behind a chart, and how far from left to right it stands on it."""

    place: float
    cells: Sequence[str]


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart. `description` says in a sentence what it shows, for those who cannot see it; `notes` stand below.

    `legend` has a CSS class, words and the newest figure of everything that is drawn.
    """

    identity: str
    title: str
    caption: str
    description: str
    draw: Callable[[Frame], str]
    columns: Sequence[str]
    numbers: Sequence[NumberRow]
    legend: Sequence[tuple[str, str, str]] = ()
    notes: Sequence[str] = field(default_factory=tuple)
    width: float = 1000.0
    height: float = 300.0

    def html(self) -> str:
        """The figure as markup."""
        wide = Frame(self.width, self.height)
        narrow = Frame(_NARROW, min(self.height, 240.0), left=50, right=6)
        described = f"{self.description} The numbers are in the table below."
        drawings = "".join(
            f'<div class="plot {size}" data-left="{short(frame.left / frame.width * 100)}" '
            f'data-right="{short((frame.width - frame.right) / frame.width * 100)}">'
            + frame.draw(self.draw(frame), identity=f"{self.identity}-{size}", title=self.title, description=described)
            + "</div>"
            for size, frame in (("wide", wide), ("narrow", narrow))
        )
        legend = "".join(
            f'<li><span class="key {class_}"></span>{escape(words)}'
            + (f" <b>{escape(newest)}</b>" if newest else "")
            + "</li>"
            for class_, words, newest in self.legend
        )
        return (
            f'<figure id="{self.identity}" class="{"half" if self.width < 700 else "full"}">'
            f"<figcaption><h3>{escape(self.title)}</h3><p>{escape(self.caption)}</p></figcaption>"
            + (f'<ul class="legend">{legend}</ul>' if legend else "")
            + f'<div class="drawing">{drawings}</div>'
            + "".join(f'<p class="note">{escape(note)}</p>' for note in self.notes)
            + self._numbers()
            + "</figure>"
        )

    def _numbers(self) -> str:
        heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in self.columns)
        rows = "".join(
            f'<tr data-x="{row.place:.4f}"><th scope="row">{escape(row.cells[0])}</th>'
            + "".join(f"<td>{escape(cell)}</td>" for cell in row.cells[1:])
            + "</tr>"
            for row in self.numbers
        )
        return (
            "<details><summary>Numbers</summary>"
            f'<div class="scroll" role="region" tabindex="0" aria-label="Numbers: {escape(self.title)}">'
            f'<table class="numbers"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></details>'
        )
