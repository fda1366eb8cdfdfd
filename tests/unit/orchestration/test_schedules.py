"""Cron lines and names of the portfolios' schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from rebalancer_pipelines.domain.calendar import RebalanceInterval, next_due
from rebalancer_pipelines.domain.claim import Rhythm
from rebalancer_pipelines.orchestration.schedules import cron_of, portfolio_schedules

BERLIN = ZoneInfo("Europe/Berlin")
UTC_ZONE = ZoneInfo("UTC")
MONDAY = datetime(2026, 3, 2, 8, 15, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)


def rhythm(
    interval: RebalanceInterval = RebalanceInterval.DAILY,
    anchor: datetime = MONDAY,
    zone: ZoneInfo = UTC_ZONE,
    *,
    name: str = "core",
    portfolio_id: UUID | None = None,
) -> Rhythm:
    return Rhythm(portfolio_id or uuid4(), name, interval, anchor, zone)


@pytest.mark.parametrize(
    ("interval", "anchor", "zone", "cron"),
    [
        (RebalanceInterval.HOURLY, MONDAY, BERLIN, ("15 * * * *", "UTC")),
        (RebalanceInterval.DAILY, MONDAY, BERLIN, ("15 9 * * *", "Europe/Berlin")),
        (RebalanceInterval.WEEKLY, MONDAY, UTC_ZONE, ("15 8 * * 1", "UTC")),
        (RebalanceInterval.WEEKLY, MONDAY - timedelta(days=1), UTC_ZONE, ("15 8 * * 0", "UTC")),
        (RebalanceInterval.MONTHLY, MONDAY, UTC_ZONE, ("15 8 2 * *", "UTC")),
        (RebalanceInterval.MONTHLY, MONDAY.replace(day=31), UTC_ZONE, ("15 8 28-31 * *", "UTC")),
        (RebalanceInterval.DAILY, MONDAY.replace(hour=23, minute=59, second=1), UTC_ZONE, ("0 0 * * *", "UTC")),
    ],
)
def test_cron_lines(interval: RebalanceInterval, anchor: datetime, zone: ZoneInfo, cron: tuple[str, str]) -> None:
    assert cron_of(rhythm(interval, anchor, zone)) == cron


@pytest.mark.parametrize("interval", list(RebalanceInterval))
@pytest.mark.parametrize("anchor", [MONDAY, MONDAY.replace(day=31, second=20), MONDAY.replace(hour=22, minute=40)])
def test_a_wake_up_comes_within_a_minute_of_every_due_time(interval: RebalanceInterval, anchor: datetime) -> None:
    cron, zone = cron_of(rhythm(interval, anchor, BERLIN))
    due = anchor
    for _ in range(30):
        due = next_due(interval, anchor=anchor, after=due, zone=BERLIN)
        ticks = CronSim(cron, (due - _MINUTE).astimezone(ZoneInfo(zone)))
        assert any(timedelta(0) <= tick - due < _MINUTE for tick in islice(ticks, 2)), due


def test_portfolios_whose_names_differ_in_a_dash_alone_have_schedules_of_their_own() -> None:
    dashed, underlined = rhythm(name="a-b"), rhythm(name="a_b")
    both = [schedule.name for schedule in portfolio_schedules([dashed, underlined], running=True)]
    assert both[0] == "rebalance_a_b"
    assert both[1] == f"rebalance_a_b_{underlined.portfolio_id.hex[-8:]}"


def test_a_schedule_keeps_its_name_whatever_other_portfolios_there_are() -> None:
    """What somebody has stopped is stored under the name: it must not start again when another one is deleted."""
    rhythms = [rhythm(name=name) for name in ("a-b", "a_b", "a", "A")]
    together = [schedule.name for schedule in portfolio_schedules(rhythms, running=True)]
    alone = [schedule.name for one in rhythms for schedule in portfolio_schedules([one], running=True)]
    assert together == alone
    assert len(set(alone)) == len(rhythms)
