"""When a portfolio is due: intervals counted from an anchor in the portfolio's own time zone."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rebalancer_pipelines.domain.errors import InvalidInputError


class RebalanceInterval(StrEnum):
    """How often a portfolio is rebalanced."""

    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


_HOUR = timedelta(hours=1)


def parse_time_zone(name: str) -> ZoneInfo:
    """Read an IANA time zone name. Raises `InvalidInputError`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInputError("time_zone", name, "is not a time zone; use a name such as Europe/Berlin") from None


def next_due(interval: RebalanceInterval, *, anchor: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """First due time strictly later than `after`, in UTC.

    Due times are counted from `anchor`, so they never creep: an hourly portfolio is due every 60 minutes, the
    others at the anchor's wall-clock time in `zone`, once per local date. A month without the anchor's day is due
    on its last day (31 January, 28 February, 31 March). A wall-clock time that daylight saving skips is due as
    much later as the clock jumped; one that repeats is due the first time. The anchor itself is the first due time.
    """
    if after < anchor:
        return anchor.astimezone(UTC)
    if interval is RebalanceInterval.HOURLY:
        return (anchor + _HOUR * ((after - anchor) // _HOUR + 1)).astimezone(UTC)
    start = anchor.astimezone(zone)
    # One step short of the estimate is safe whatever the zone's offset did in between; at most three steps follow.
    step = max(0, _steps_between(interval, start.date(), after.astimezone(zone).date()) - 1)
    while (due := _occurrence(interval, start, step)) <= after:
        step += 1
    return due


def _steps_between(interval: RebalanceInterval, start: date, end: date) -> int:
    if interval is RebalanceInterval.MONTHLY:
        return (end.year - start.year) * 12 + end.month - start.month
    days = (end - start).days
    return days // 7 if interval is RebalanceInterval.WEEKLY else days


def _occurrence(interval: RebalanceInterval, start: datetime, step: int) -> datetime:
    if interval is RebalanceInterval.MONTHLY:
        year, month = divmod(start.year * 12 + start.month - 1 + step, 12)
        day = date(year, month + 1, min(start.day, monthrange(year, month + 1)[1]))
    else:
        day = start.date() + timedelta(days=step * (7 if interval is RebalanceInterval.WEEKLY else 1))
    # fold 0 takes the first of two equal wall-clock times, and in a gap reads the offset before the jump. An anchor in
    # the second of two would hand its own fold on.
    return datetime.combine(day, start.time().replace(fold=0), tzinfo=start.tzinfo).astimezone(UTC)
