"""Charts as they are drawn: gaps, parts that add up, and text that cannot break out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.adapters.report.charts.area import draw_shares
from rebalancer_pipelines.adapters.report.charts.bars import draw_columns
from rebalancer_pipelines.adapters.report.charts.frame import Frame
from rebalancer_pipelines.adapters.report.charts.line import Line, draw_lines, stretches
from rebalancer_pipelines.adapters.report.charts.standalone import MOST_CURVES, Curve, draw_standalone
from rebalancer_pipelines.adapters.report.charts.steps import draw_steps

FIRST = date(2018, 1, 1)
SPAN = (FIRST, date(2018, 1, 10))
FRAME = Frame(400, 200)


def days(*values: float | None) -> list[tuple[date, float | None]]:
    return [(FIRST + timedelta(days=number), value) for number, value in enumerate(values)]


def drawn(content: str) -> ElementTree.Element:
    return ElementTree.fromstring(FRAME.draw(content, identity="x", title="A <b> & B", description="d"))


def with_class(svg: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [found for found in svg.iter() if name in (found.get("class") or "").split()]


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=30))
def test_a_line_is_broken_exactly_where_days_have_no_value(values: list[float | None]) -> None:
    found = list(stretches(days(*values)))
    assert [value for stretch in found for _, value in stretch] == [value for value in values if value is not None]
    for stretch in found:
        assert [day - stretch[0][0] for day, _ in stretch] == [timedelta(days=n) for n in range(len(stretch))]
    edges = [(before[-1][0], after[0][0]) for before, after in pairwise(found)]
    assert all(after - before > timedelta(days=1) for before, after in edges)


def test_a_day_that_is_missing_altogether_is_a_gap_too() -> None:
    assert len(list(stretches([(FIRST, 1.0), (FIRST + timedelta(days=2), 2.0)]))) == 2


def test_each_stretch_is_a_path_and_a_single_day_a_dot() -> None:
    svg = drawn(draw_lines(FRAME, SPAN, [Line("own", days(1, 2, None, 3, None, 4, 5), filled=True)]))
    assert len(with_class(svg, "line")) == 2
    assert len(with_class(svg, "fill")) == 2
    assert len(with_class(svg, "dot")) == 1


def test_shares_have_gaps_and_a_single_day_is_seen() -> None:
    shares = [(day, None if value is None else [value, 100 - value]) for day, value in days(50, 60, None, 70)]
    svg = drawn(draw_shares(FRAME, SPAN, ["a", "b"], shares))
    assert len(with_class(svg, "a")) == len(with_class(svg, "b")) == 2


def test_a_column_of_an_outlier_is_cut_at_the_edge_and_shows_it() -> None:
    columns = {FIRST + timedelta(days=n): (size, -1.0) for n, size in enumerate((900.0, 10.0, 8.0, 9.0))}
    svg = drawn(draw_columns(FRAME, SPAN, ("up", "down"), columns, leaving_out=(FIRST,)))
    heights = [float(column.get("height", "0")) for column in with_class(svg, "up")]
    assert len(with_class(svg, "cut")) == 1
    assert max(heights) < FRAME.height
    assert heights[0] >= max(heights[1:])
    assert len(with_class(svg, "down")) == 4


def test_a_step_that_begins_beyond_the_edge_is_cut() -> None:
    steps = [(datetime(2018, 1, n, 9, tzinfo=UTC), size, 0.0) for n, size in ((1, 80.0), (2, 4.0), (3, 5.0))]
    svg = drawn(draw_steps(FRAME, SPAN, steps, unit="", leaving_out=(steps[0][0],)))
    assert len(with_class(svg, "ring")) == 2
    assert len(with_class(svg, "reached")) == 3
    assert len(with_class(svg, "cut")) == 1


def number(found: ElementTree.Element, name: str) -> float:
    return float(found.get(name, "nan"))


def heights(path: ElementTree.Element) -> list[float]:
    return [float(point.split(",")[1]) for point in path.get("d", "").strip("MZ").split("L")]


def test_a_line_goes_through_its_values_and_is_filled_to_zero() -> None:
    svg = drawn(draw_lines(FRAME, SPAN, [Line("own", days(0, 10, 5), filled=True)], marked=[FIRST + timedelta(days=2)]))
    (line,), (fill,), (mark,) = (with_class(svg, name) for name in ("line", "fill", "mark"))
    zero, ten, five = heights(line)
    assert (zero, ten) == (FRAME.floor, FRAME.top)
    assert abs(five - (zero + ten) / 2) < 0.11
    assert heights(fill)[3:] == [zero] * 2
    assert number(mark, "x1") == number(mark, "x2") == round(FRAME.days(*SPAN).at(FIRST + timedelta(days=2)), 1)
    below = drawn(draw_lines(FRAME, SPAN, [Line("loss", days(0, -10, -5), filled=True)], with_zero=True))
    assert heights(with_class(below, "fill")[0])[3:] == [FRAME.top] * 2


def test_words_at_an_axis_stand_at_their_height() -> None:
    svg = drawn(draw_lines(FRAME, SPAN, [Line("own", days(0, 10))]))
    words = {found.text: number(found, "y") for found in with_class(svg, "axis")}
    assert (words["0"], words["10"]) == (FRAME.floor + 4, FRAME.top + 4)


def test_shares_stand_upon_each_other() -> None:
    shares = [(day, [30.0, 70.0]) for day, _ in days(1, 1)]
    svg = drawn(draw_shares(FRAME, SPAN, ["a", "b"], shares))
    (low,), (high,) = (with_class(svg, name) for name in ("a", "b"))
    edge = FRAME.floor - 0.3 * (FRAME.floor - FRAME.top)
    assert [round(height, 1) for height in heights(low)] == [round(edge, 1)] * 2 + [FRAME.floor] * 2
    assert [round(height, 1) for height in heights(high)] == [FRAME.top] * 2 + [round(edge, 1)] * 2


def test_columns_go_up_and_down_from_zero_by_what_they_stand_for() -> None:
    svg = drawn(draw_columns(FRAME, SPAN, ("up", "more", "down"), {FIRST: (10.0, 20.0, -30.0)}))
    (up,), (more,), (down,) = (with_class(svg, name) for name in ("up", "more", "down"))
    (zero,) = {number(line, "y1") for line in with_class(svg, "zero")}
    assert abs(number(up, "y") + number(up, "height") - zero) < 0.11
    assert abs(number(more, "y") + number(more, "height") - number(up, "y")) < 0.11
    assert number(down, "y") == zero
    for column, times in ((more, 2), (down, 3)):
        assert abs(number(column, "height") - times * number(up, "height")) < 0.3


def test_a_step_stands_at_its_time_of_day_and_ends_below_where_it_began() -> None:
    steps = [(datetime(2018, 1, 1, hour, tzinfo=UTC), 10.0, 0.0) for hour in (0, 12)]
    svg = drawn(draw_steps(FRAME, (FIRST, FIRST), steps, unit=""))
    rings, dots = with_class(svg, "ring"), with_class(svg, "reached")
    place = FRAME.days(FIRST, FIRST + timedelta(days=1), inset=4)
    assert [number(ring, "cx") for ring in rings] == [round(place.at(FIRST, h), 1) for h in (0, 12)]
    assert {number(ring, "cy") for ring in rings} == {FRAME.top}
    assert {number(dot, "cy") for dot in dots} == {FRAME.floor}


def test_a_chart_has_a_name_and_a_description() -> None:
    svg = drawn(draw_lines(FRAME, SPAN, [Line("own", days(1, 2))]))
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby") == "x-title x-desc"
    assert [child.text for child in svg][:2] == ["A <b> & B", "d"]


def test_a_chart_alone_brings_its_style_and_names_its_lines() -> None:
    svg = ElementTree.fromstring(
        draw_standalone("Values", [Curve("a<script>", "1.00", days(1, 2)), Curve("b", "2.00", days(2, None, 3))])
    )
    texts = [found.text for found in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "a<script>  1.00" in texts
    assert "b  2.00" in texts
    assert svg.find("{http://www.w3.org/2000/svg}style") is not None


def test_a_chart_alone_has_a_gap_where_a_day_has_no_value_and_a_colour_for_each_of_six_lines() -> None:
    curves = [Curve(f"p{place}", "1.00", days(1, 2, None, 3, 4)) for place in range(MOST_CURVES + 1)]
    svg = ElementTree.fromstring(draw_standalone("Values", curves))
    lines = [found.get("class") for found in svg.iter() if (found.get("class") or "").endswith("line")]
    keys = [found.get("class") for found in svg.iter() if (found.get("class") or "").endswith("key")]
    assert sorted(map(str, lines)) == sorted([f"c{place} line" for place in range(MOST_CURVES)] * 2)
    assert keys == [f"c{place} key" for place in range(MOST_CURVES)]
