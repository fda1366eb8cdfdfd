"""Where values and days stand, and which are written at the axes."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.adapters.report.charts.scale import DayScale, ValueScale

_values = st.lists(st.floats(-1e9, 1e9, allow_subnormal=False).map(lambda v: round(v, 4)), min_size=1, max_size=20)
_days = st.dates(date(2010, 1, 1), date(2040, 1, 1))


def around(*values: float, **options: bool) -> ValueScale:
    return ValueScale.around(values, bottom=100, top=0, **options)


@given(_values, st.booleans())
def test_every_value_has_its_place_and_higher_ones_stand_higher(values: list[float], with_zero: bool) -> None:
    scale = around(*values, with_zero=with_zero)
    places = [scale.at(value) for value in sorted(values)]
    assert places == sorted(places, reverse=True)
    assert all(-1e-6 <= place <= 100 + 1e-6 for place in places)
    assert scale.low <= min(values) + abs(scale.step) * 1e-6
    assert scale.high >= max(values) - abs(scale.step) * 1e-6
    assert 2 <= len(scale.ticks) <= 12


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([9_800, 15_100], ["8k", "10k", "12k", "14k", "16k"]),
        ([0, 0.93], ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([-59, 0], ["−60", "−40", "−20", "0"]),
        ([4_200_000, 31_000_000], ["0", "10m", "20m", "30m", "40m"]),
        ([10_000, 10_900], ["10.0k", "10.2k", "10.4k", "10.6k", "10.8k", "11.0k"]),
    ],
)
def test_the_axis_is_written_in_round_numbers(values: list[float], written: list[str]) -> None:
    scale = around(*values)
    assert [scale.write(tick) for tick in scale.ticks] == written


def test_a_value_that_never_moves_still_has_an_axis() -> None:
    assert around(5_000).low < 5_000 < around(5_000).high
    assert around(0.0).ticks[0] == 0


@given(_days, st.integers(0, 4000), st.floats(120, 1000))
def test_words_of_days_stand_inside_and_apart(first: date, length: int, width: float) -> None:
    scale = DayScale(first, first + timedelta(days=length), 0, width)
    places = [place for place, _ in scale.ticks()]
    assert all(-1e-6 <= place <= width + 1e-6 for place in places)
    assert all(after - before > 40 for before, after in pairwise(places))


def test_months_carry_their_year_where_it_begins() -> None:
    words = [words for _, words in DayScale(date(2017, 10, 1), date(2018, 3, 31), 0, 1000).ticks()]
    assert words == ["Oct ’17", "Nov", "Dec", "Jan ’18", "Feb", "Mar"]


def test_one_day_alone_stands_in_the_middle() -> None:
    assert DayScale(date(2018, 1, 1), date(2018, 1, 1), 0, 100).at(date(2018, 1, 1)) == 50
