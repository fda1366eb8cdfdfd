"""The recording's clock: which of its moments is shown now. Stored, so that every process shows the same one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Engine, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.tables import RecordedClockRow

FIRST_MOMENT = datetime(2018, 10, 1, tzinfo=UTC)
"""Where the recording starts to play: a year of it lies before, a year is still to come."""


@dataclass(frozen=True, slots=True)
class RecordedClock:
    """At `started_at` the recording showed `recorded_at`; it plays `speed` times as fast as real time."""

    recorded_at: datetime
    started_at: datetime
    speed: Decimal

    def moment(self, now: datetime) -> datetime:
        """The moment of the recording that is shown at `now`."""
        return self.recorded_at + timedelta(
            microseconds=int((now - self.started_at) / timedelta(microseconds=1) * float(self.speed))
        )


def read_clock(engine: Engine, now: datetime) -> RecordedClock:
    """The stored clock; its first reader starts it."""
    with Session(engine) as session:
        row = session.scalar(select(RecordedClockRow))
        if row is None:
            session.execute(
                insert(RecordedClockRow)
                .values(recorded_at=FIRST_MOMENT, started_at=now, speed=Decimal(1))
                .on_conflict_do_nothing()
            )
            session.commit()
            row = session.scalars(select(RecordedClockRow)).one()
        return RecordedClock(row.recorded_at, row.started_at, row.speed)


def change_speed(engine: Engine, speed: Decimal, now: datetime) -> None:
    """Play faster or slower from the moment that is shown now, so that the recording never jumps."""
    shown = read_clock(engine, now).moment(now)
    with Session(engine) as session:
        session.execute(update(RecordedClockRow).values(recorded_at=shown, started_at=now, speed=speed))
        session.commit()
