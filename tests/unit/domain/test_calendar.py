from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.domain.calendar import RebalanceInterval, next_due, parse_time_zone
from rebalancer_pipelines.domain.errors import InvalidInputError

BERLIN = ZoneInfo("Europe/Berlin")
SECOND = timedelta(seconds=1)
HOURLY, DAILY, WEEKLY, MONTHLY = RebalanceInterval

zones = st.sampled_from(
    [
        ZoneInfo(name)
        for name in (
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "America/Sao_Paulo",  # jumped at midnight
            "Australia/Lord_Howe",  # jumps by half an hour
            "Africa/Casablanca",  # four jumps a year
            "Asia/Kathmandu",
            "Pacific/Apia",  # left out 30 December 2011
        )
    ]
)
moments = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 — bounds
calendar_intervals = st.sampled_from([DAILY, WEEKLY, MONTHLY])


def local(text: str, zone: ZoneInfo, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


def dues(interval: RebalanceInterval, anchor: datetime, zone: ZoneInfo, count: int) -> list[datetime]:
    found = [anchor]
    while len(found) < count:
        found.append(next_due(interval, anchor=anchor, after=found[-1], zone=zone))
    return found


def wall_clocks(found: list[datetime], zone: ZoneInfo) -> list[str]:
    return [f"{due.astimezone(zone):%Y-%m-%d %H:%M}" for due in found]


def test_the_anchor_is_the_first_due_time() -> None:
    anchor = local("2026-01-05 09:00", BERLIN)

    for interval in RebalanceInterval:
        assert next_due(interval, anchor=anchor, after=anchor - SECOND, zone=BERLIN) == anchor
        assert next_due(interval, anchor=anchor, after=anchor, zone=BERLIN) > anchor


def test_daily_and_weekly_keep_the_wall_clock_when_summer_begins() -> None:
    daily = dues(DAILY, local("2026-03-28 09:00", BERLIN), BERLIN, 3)
    weekly = dues(WEEKLY, local("2026-03-23 09:00", BERLIN), BERLIN, 2)

    assert wall_clocks(daily, BERLIN) == ["2026-03-28 09:00", "2026-03-29 09:00", "2026-03-30 09:00"]
    assert [due.hour for due in daily] == [8, 7, 7]
    assert wall_clocks(weekly, BERLIN) == ["2026-03-23 09:00", "2026-03-30 09:00"]


def test_a_time_that_daylight_saving_skips_is_due_as_much_later_as_the_clock_jumped() -> None:
    found = dues(DAILY, local("2026-03-28 02:30", BERLIN), BERLIN, 3)

    assert wall_clocks(found, BERLIN) == ["2026-03-28 02:30", "2026-03-29 03:30", "2026-03-30 02:30"]


def test_a_half_hour_jump_moves_by_half_an_hour() -> None:
    zone = ZoneInfo("Australia/Lord_Howe")
    found = dues(DAILY, local("2026-10-03 02:10", zone), zone, 3)

    assert wall_clocks(found, zone) == ["2026-10-03 02:10", "2026-10-04 02:40", "2026-10-05 02:10"]


def test_a_jump_at_midnight_stays_on_its_date() -> None:
    zone = ZoneInfo("America/Sao_Paulo")
    found = dues(DAILY, local("2018-11-03 00:15", zone), zone, 3)

    assert wall_clocks(found, zone) == ["2018-11-03 00:15", "2018-11-04 01:15", "2018-11-05 00:15"]


@pytest.mark.parametrize("fold", [0, 1])
def test_a_time_that_repeats_is_due_the_first_time_only(fold: int) -> None:
    anchor = local("2025-10-26 02:30", BERLIN, fold=fold)
    found = dues(DAILY, anchor, BERLIN, 366)

    assert found[364:] == [local("2026-10-25 02:30", BERLIN, fold=0), local("2026-10-26 02:30", BERLIN)]


def test_hourly_counts_hours_and_not_wall_clocks() -> None:
    found = dues(HOURLY, local("2026-10-25 00:20", BERLIN), BERLIN, 5)

    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(hours=1)}
    assert [text[-5:] for text in wall_clocks(found, BERLIN)] == ["00:20", "01:20", "02:20", "02:20", "03:20"]


def test_a_month_without_the_day_is_due_on_its_last_and_the_31st_comes_back() -> None:
    found = dues(MONTHLY, local("2027-12-31 18:00", BERLIN), BERLIN, 6)

    assert [text[:10] for text in wall_clocks(found, BERLIN)] == [
        "2027-12-31",
        "2028-01-31",
        "2028-02-29",
        "2028-03-31",
        "2028-04-30",
        "2028-05-31",
    ]


def test_a_date_that_a_zone_left_out_is_due_once_with_the_next() -> None:
    zone = ZoneInfo("Pacific/Apia")
    found = dues(DAILY, local("2011-12-29 12:00", zone), zone, 3)

    assert wall_clocks(found, zone) == ["2011-12-29 12:00", "2011-12-31 12:00", "2012-01-01 12:00"]


def test_a_date_left_out_at_the_end_of_a_month_is_still_due_in_the_next() -> None:
    zone = ZoneInfo("Asia/Manila")  # left out 31 December 1844
    anchor, after = local("1844-10-31 12:00", zone), local("1845-01-01 06:00", zone)

    due = next_due(MONTHLY, anchor=anchor, after=after, zone=zone)
    assert wall_clocks([due], zone) == ["1845-01-01 12:00"]


@given(st.sampled_from(RebalanceInterval), moments, moments, zones)
def test_the_next_due_time_is_the_first_one_later(
    interval: RebalanceInterval, anchor: datetime, after: datetime, zone: ZoneInfo
) -> None:
    due = next_due(interval, anchor=anchor, after=after, zone=zone)

    assert due > after
    assert due >= anchor
    assert due.tzinfo is UTC
    for share in (0.0, 0.25, 0.5, 0.999):
        between = after + (due - after) * share
        if between < due:
            assert next_due(interval, anchor=anchor, after=between, zone=zone) == due


@given(calendar_intervals, moments, zones, st.integers(2, 40))
def test_due_times_stay_on_the_anchors_wall_clock_once_per_date(
    interval: RebalanceInterval, anchor: datetime, zone: ZoneInfo, count: int
) -> None:
    found = dues(interval, anchor, zone, count)
    walls = [due.astimezone(zone) for due in found]
    start = walls[0]

    assert found == sorted(set(found))
    assert len({wall.date() for wall in walls}) == count
    for wall in walls[1:]:
        if wall.time() != start.time():
            # Only a wall clock that does not exist may move, and by what the clock jumped.
            wanted = datetime.combine(wall.date(), start.time(), tzinfo=zone).replace(fold=0)
            assert wanted.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wanted.replace(tzinfo=None)
            before, after = wanted.utcoffset(), wanted.replace(fold=1).utcoffset()
            assert before is not None
            assert after is not None
            assert wall.replace(tzinfo=None) - wanted.replace(tzinfo=None) == after - before
        else:
            earlier = wall.replace(fold=0).astimezone(UTC)
            assert wall.astimezone(UTC) == earlier


@given(moments, zones)
def test_monthly_is_due_in_every_month_on_the_anchors_day_or_the_last(anchor: datetime, zone: ZoneInfo) -> None:
    walls = [due.astimezone(zone) for due in dues(MONTHLY, anchor, zone, 26)]

    months = [wall.year * 12 + wall.month for wall in walls]
    assert months == list(range(months[0], months[0] + 26))
    for wall in walls:
        is_last = (wall + timedelta(days=1)).day == 1
        # Samoa left out the whole 30 December 2011: what was due that day is due the day after.
        left_out = (zone.key, wall.date()) == ("Pacific/Apia", date(2011, 12, 31))
        assert wall.day == walls[0].day or (wall.day < walls[0].day and is_last) or left_out


@given(st.sampled_from([HOURLY, DAILY, WEEKLY]), moments, st.integers(0, 5000))
def test_due_times_never_creep(interval: RebalanceInterval, anchor: datetime, step: int) -> None:
    length = {HOURLY: timedelta(hours=1), DAILY: timedelta(days=1), WEEKLY: timedelta(weeks=1)}[interval]
    after = anchor + length * step

    assert next_due(interval, anchor=anchor, after=after, zone=ZoneInfo("UTC")) == after + length


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Europe/Berlin\x00"])
def test_a_name_that_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_time_zone(name)
    assert str(refused.value) == f"time_zone: {name!r} is not a time zone; use a name such as Europe/Berlin"


def test_a_time_zone_is_known_by_its_name() -> None:
    assert parse_time_zone("Europe/Berlin").key == "Europe/Berlin"
