"""Which moment of the recording is shown now: an anchor stored in the database, so that all processes agree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from rebalancer_pipelines.adapters.postgres.tables import RecordedClockRow
from rebalancer_pipelines.domain.errors import InvalidInputError, VenueUnreachableError
from rebalancer_pipelines.domain.values import EXACT, ONE, ZERO

FIRST_MOMENT = datetime(2018, 10, 1, tzinfo=UTC)
"""Where the recording starts to play: a year of it lies before, a year is still to come."""

_MICROSECOND = timedelta(microseconds=1)
_ANCHOR = select(RecordedClockRow.recorded_at, RecordedClockRow.started_at, RecordedClockRow.speed)


@dataclass(frozen=True, slots=True)
class RecordedClock:
    """At `started_at` the recording showed `recorded_at`; it plays `speed` times as fast as real time."""

    recorded_at: datetime
    started_at: datetime
    speed: Decimal

    def moment(self, now: datetime) -> datetime:
        """The moment of the recording that is shown at `now`. A clock set back before the anchor holds it still."""
        elapsed = max(0, (now - self.started_at) // _MICROSECOND)
        try:
            return self.recorded_at + timedelta(microseconds=int(EXACT.multiply(elapsed, self.speed)))
        except OverflowError:
            # Later than any recording, which is all that matters of it.
            return datetime.max.replace(tzinfo=UTC)


def read_clock(engine: Engine, now: datetime) -> RecordedClock:
    """The stored clock; its first reader starts it, in real time. Raises `VenueUnreachableError` without a database."""
    try:
        with engine.begin() as connection:
            return _read_or_start(connection, now)
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise VenueUnreachableError("the recorded market cannot be read: its database does not answer") from error


def change_speed(engine: Engine, speed: Decimal, now: datetime) -> None:
    """Play faster or slower from the moment that is shown now, so that the recording never jumps.

    Raises `InvalidInputError` unless `speed` is above 0.
    """
    if not speed.is_finite() or speed <= ZERO:
        raise InvalidInputError("speed", str(speed), "must be a number greater than 0")
    with engine.begin() as connection:
        _read_or_start(connection, now)
        # Locked, so that of two changes at once the second starts from what the first has set.
        shown = RecordedClock(*connection.execute(_ANCHOR.with_for_update()).one()).moment(now)
        connection.execute(update(RecordedClockRow).values(recorded_at=shown, started_at=now, speed=speed))


def _read_or_start(connection: Connection, now: datetime) -> RecordedClock:
    stored = connection.execute(_ANCHOR).one_or_none()
    if stored is None:
        first = insert(RecordedClockRow).values(recorded_at=FIRST_MOMENT, started_at=now, speed=ONE)
        # Another process may be first at the same time; then its anchor is the one.
        connection.execute(first.on_conflict_do_nothing())
        stored = connection.execute(_ANCHOR).one()
    return RecordedClock(*stored)
