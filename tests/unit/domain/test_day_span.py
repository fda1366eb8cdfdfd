from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.domain.day_span import FIRST_DAY, DaySpan, last_ended_day, parse_day
from rebalancer_pipelines.domain.errors import InvalidInputError

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
_DAYS = st.dates(date(2015, 1, 1), date(2030, 1, 1))
_SPANS = st.tuples(_DAYS, _DAYS).map(lambda days: DaySpan(min(days), max(days)))


def a_span(first: str, last: str) -> DaySpan:
    return DaySpan(date.fromisoformat(first), date.fromisoformat(last))


def test_it_lasts_from_midnight_to_midnight_in_utc() -> None:
    span = a_span("2026-02-27", "2026-03-01")
    assert (span.starts_at, span.ends_at) == (datetime(2026, 2, 27, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    assert [day.isoformat() for day in span.days()] == ["2026-02-27", "2026-02-28", "2026-03-01"]
    assert str(span) == "2026-02-27 to 2026-03-01"
    assert str(a_span("2026-03-01", "2026-03-01")) == "2026-03-01"


def test_days_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="from: '2026-03-02' lies after 2026-03-01; exchange the two days"):
        a_span("2026-03-02", "2026-03-01")


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("2026-03-03", "to: '2026-03-03' lies in the future; the last day that has ended is 2026-03-01"),
        ("2026-03-02", r"to: '2026-03-02' has not ended \(UTC\); the last day that has is 2026-03-01"),
    ],
)
def test_a_day_must_have_ended(last: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        a_span("2026-03-01", last).check_ended(NOON)
    a_span("2026-03-01", "2026-03-01").check_ended(NOON)


def test_a_day_ends_at_midnight_in_utc_wherever_the_clock_stands() -> None:
    last_second = datetime.fromisoformat("2026-03-02T00:59:59+01:00")
    assert last_ended_day(last_second) == date(2026, 2, 28)
    assert last_ended_day(last_second + timedelta(seconds=1)) == date(2026, 3, 1)


def test_before_every_market_nothing_is_asked_for() -> None:
    with pytest.raises(InvalidInputError, match="from: '2009-12-31' lies before every market; use 2010-01-01 or later"):
        DaySpan(FIRST_DAY - timedelta(days=1), FIRST_DAY).check_ended(NOON)


@pytest.mark.parametrize("text", ["", "2026-3-1", "20260301", "2026-W10-1", "01.03.2026", "2026-02-30", "2026-03-01 "])
def test_a_day_is_written_in_one_way(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a day; write it like 2018-10-01"):
        parse_day(text, field="from")


@given(_DAYS)
def test_every_day_is_read_as_it_is_written(day: date) -> None:
    assert parse_day(day.isoformat(), field="from") == day


@given(_SPANS, _SPANS, _DAYS)
def test_parts_of_a_span_are_its_days_that_qualify(one: DaySpan, other: DaySpan, day: date) -> None:
    shared, later = one.within(other), one.since(day)
    assert (list(shared.days()) if shared else []) == [d for d in one.days() if other.first <= d <= other.last]
    assert (list(later.days()) if later else []) == [d for d in one.days() if d >= day]
    assert len(list(one.days())) == one.length
