"""Writing SVG: elements with escaped attributes and text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

Point = tuple[float, float]


def element(name: str, *children: str, **attributes: str | float | None) -> str:
    """An element around `children`, which are markup already. `class_` and `text_anchor` lose and gain their signs."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value) if isinstance(value, str) else short(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


def label(words: str, at: Point, *, class_: str | None = None, text_anchor: str | None = None) -> str:
    """Text at a place."""
    return element("text", escape(words), x=at[0], y=at[1], class_=class_, text_anchor=text_anchor)


def short(number: float) -> str:
    """A coordinate to a tenth of a pixel."""
    return f"{number:.1f}".removesuffix(".0")


def path(points: Iterable[Point]) -> str:
    """Straight lines through points, as the `d` of a path."""
    return "M" + "L".join(f"{short(x)},{short(y)}" for x, y in points)


def cut(place: float, width: float, height: float) -> str:
    """Two slanted strokes over a column or a stroke that goes on beyond the edge, from `height` on down."""
    half = width / 2 + 3
    slants = ([(place - half, height + drop + 5), (place + half, height + drop)] for drop in (1, 5))
    return element("path", d="".join(path(slant) for slant in slants), class_="cut")


def closed(upper: Sequence[Point], lower: Sequence[Point]) -> str:
    """The area between two lines over the same places."""
    return f"{path([*upper, *reversed(lower)])}Z"
