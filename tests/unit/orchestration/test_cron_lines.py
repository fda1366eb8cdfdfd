"""When Dagster wakes a portfolio, against when it is due; and when the check of everything that is due runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from dagster._utils.schedules import cron_string_iterator

from rebalancer_pipelines.domain.calendar import RebalanceInterval, next_due
from rebalancer_pipelines.domain.claim import Rhythm
from rebalancer_pipelines.orchestration.schedules import cron_of
from rebalancer_pipelines.orchestration.triggers import is_time

MINUTE = timedelta(minutes=1)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
HOURLY, DAILY, WEEKLY, MONTHLY = RebalanceInterval

ANCHORS = [
    "2025-12-31T18:00:00",
    "2026-01-30T23:59:30",
    "2026-01-29T23:59:00.000001",
    "2026-01-28T23:59:59",
    "2026-01-31T23:59:30",
    "2026-01-27T23:59:30",
    "2026-01-15T02:10:20",
    "2026-01-31T00:00:00",
]
LENGTHS = {HOURLY: timedelta(days=40), DAILY: timedelta(days=740)}


def rhythm(interval: RebalanceInterval, anchor: str, zone: str) -> Rhythm:
    at = datetime.fromisoformat(anchor).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return Rhythm(UUID(int=1), "core", interval, at, ZoneInfo(zone))


def dues(wanted: Rhythm) -> list[datetime]:
    end = wanted.anchor_at + LENGTHS.get(wanted.interval, timedelta(days=800))
    found = [wanted.anchor_at]
    while found[-1] < end:
        found.append(next_due(wanted.interval, anchor=wanted.anchor_at, after=found[-1], zone=wanted.time_zone))
    return found


def wake_ups(wanted: Rhythm, until: datetime) -> list[datetime]:
    """As Dagster's own scheduler finds them."""
    cron, zone = cron_of(wanted)
    ticks = cron_string_iterator((wanted.anchor_at - MINUTE).timestamp(), cron, zone)
    return [tick.astimezone(UTC) for tick in takewhile(lambda tick: tick <= until, ticks)]


def is_moved(due: datetime, zone: ZoneInfo) -> bool:
    """Whether daylight saving begins or ends within a few hours of it."""
    around = {(due + timedelta(hours=hours)).astimezone(zone).utcoffset() for hours in (-3, 3)}
    return len(around) > 1


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("interval", RebalanceInterval)
@pytest.mark.parametrize("anchor", ANCHORS)
def test_a_portfolio_is_woken_within_a_minute_after_each_due_time(
    anchor: str, interval: RebalanceInterval, zone: str
) -> None:
    wanted = rhythm(interval, anchor, zone)
    expected = dues(wanted)
    woken = set(wake_ups(wanted, expected[-1] + MINUTE))

    def is_served(due: datetime) -> bool:
        whole = due.replace(second=0, microsecond=0)
        return (whole if whole == due else whole + MINUTE) in woken

    missed = [due for due in expected if not is_served(due)]
    assert all(interval is not HOURLY and is_moved(due, wanted.time_zone) for due in missed), missed
    assert len(missed) <= 6


def test_a_month_wakes_on_its_last_days_and_on_no_others() -> None:
    assert cron_of(rhythm(MONTHLY, "2026-01-31T09:00:00", "Europe/Berlin")) == ("0 9 28-31 * *", "Europe/Berlin")
    assert cron_of(rhythm(MONTHLY, "2026-01-30T23:59:30", "UTC")) == ("0 0 1,28-31 * *", "UTC")
    assert cron_of(rhythm(MONTHLY, "2026-01-28T09:00:00", "UTC")) == ("0 9 28 * *", "UTC")
    assert cron_of(rhythm(WEEKLY, "2026-01-04T23:59:30", "UTC")) == ("0 0 * * 1", "UTC")
    assert cron_of(rhythm(HOURLY, "2026-01-04T23:10:00", "Asia/Kathmandu")) == ("25 * * * *", "UTC")


@pytest.mark.parametrize(
    ("cron", "last", "now", "expected"),
    [
        ("0 * * * *", "2026-03-01T10:00:07+00:00", "2026-03-01T10:59:59+00:00", False),
        ("0 * * * *", "2026-03-01T10:00:07+00:00", "2026-03-01T11:00:00+00:00", True),
        ("0 * * * *", "2026-03-01T10:59:59+00:00", "2026-03-01T11:00:02+00:00", True),
        ("*/30 * * * *", "2026-03-01T10:00:00+00:00", "2026-03-01T10:29:59+00:00", False),
        ("*/30 * * * *", "2026-03-01T10:00:00+00:00", "2026-03-01T10:30:00+00:00", True),
        ("0 * * * *", "2026-03-01T10:00:07+00:00", "2026-03-08T10:00:00+00:00", True),
        ("0 9 * * 1", "2026-03-02T09:00:01+00:00", "2026-03-09T08:59:59+00:00", False),
        ("0 9 * * 1", "2026-03-02T09:00:01+00:00", "2026-03-09T09:00:00+00:00", True),
        ("0 2 * * *", "2026-03-29T02:00:05+02:00", "2026-03-29T01:59:00+00:00", False),
    ],
)
def test_the_due_check_runs_once_its_line_has_fired(cron: str, last: str, now: str, expected: bool) -> None:
    assert is_time(cron, last, datetime.fromisoformat(now)) is expected


def test_the_first_due_check_runs_at_once() -> None:
    assert is_time("0 0 1 1 *", None, datetime(2026, 3, 1, tzinfo=UTC))
