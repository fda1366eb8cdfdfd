"""Turns on a venue's key, across processes: nonces that only rise, and counters that are never exceeded.

Everything that must be known together stands in the account's row of `venue_key` and is committed before the call that
it is about. The row is replaced whole, and only where it still is what was read (its `xmin`): whoever comes second
reads again. An advisory lock lets calls leave one after the other, so that nonces also arrive in their sequence; it is
a courtesy only, for whoever cannot have it in time goes on without it.

A turn costs two round trips to the database, each statement its own transaction: one takes the lock and replaces the
row, one replaces the row and gives the lock back. That needs no reading, for whoever has replaced the row knows it:
where nobody else has come by, that is still what stands there; where somebody has, nothing is replaced, and only then
the row is read.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Executable,
    Select,
    Text,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.sql.dml import ReturningUpdate

from rebalancer_pipelines.adapters.postgres.tables import VenueKeyRow
from rebalancer_pipelines.adapters.venues.ccxt.counters import Counter, CounterLimit
from rebalancer_pipelines.adapters.venues.ccxt.one_line import one_line
from rebalancer_pipelines.application.ports import Clock
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.values import ZERO

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LOCK_NOT_AVAILABLE = "55P03"
_VERSION: ColumnElement[str] = literal_column("venue_key.xmin::text")

_KEY = func.hashtextextended(bindparam("key"), 0)
_PATIENCE = func.set_config("lock_timeout", bindparam("patience"), True)
"""How long the statement that it stands in waits for any lock; the next one is free of it."""

# CASE alone says what comes first.
_LOCK = select(case((_PATIENCE != "", cast(func.pg_advisory_lock(_KEY), Text))))


def _replacing(*conditions: ColumnElement[bool]) -> ReturningUpdate[str]:
    """Replace the row where it still is what was read; returns its new version."""
    waiting = select(_PATIENCE.label("patience")).subquery("waiting")
    return (
        update(VenueKeyRow)
        .where(
            VenueKeyRow.account_id == bindparam("of_account"),
            _VERSION.is_not_distinct_from(bindparam("read_version")),
            waiting.c.patience != "",
            *conditions,
        )
        .values(
            last_nonce=bindparam("new_nonce"),
            rest_counter=bindparam("new_rest"),
            rest_counted_at=bindparam("new_rest_counted_at"),
            trading_counters=bindparam("new_trading"),
        )
        .returning(_VERSION.label("version"))
    )


def _after_locking() -> Select[Any]:
    """Replace the row when the lock is had, which it is in any case: the whole statement reads from it."""
    lock = _LOCK.cte("lock")
    replaced = _replacing(exists(select(lock))).cte("replaced")
    return select(select(replaced.c.version).scalar_subquery()).select_from(lock)


_UNLOCKING = func.pg_advisory_unlock_all()
"""All of them: nobody else holds a lock of the session while this connection is ours, nor do we hold another."""

_LOCK_IF_FREE = select(func.pg_try_advisory_lock(_KEY))
_UNLOCK = select(_UNLOCKING)
_REPLACE = _replacing()
_LOCK_AND_REPLACE = _after_locking()
_REPLACE_AND_UNLOCK = select(select(_replacing().cte("replaced").c.version).scalar_subquery(), _UNLOCKING)


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call costs: points of the key's counter, and of the counter of one market where it trades there."""

    rest: Decimal = ZERO
    market: str | None = None
    trading: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class _Counted:
    """A row of `venue_key`, and the version of it that was read."""

    last_nonce: int
    rest: Counter
    trading: Mapping[str, Counter]
    version: str


class TurnTooLateError(Exception):
    """The counters make room only after the moment until which waiting makes sense. Nothing was counted."""

    def __init__(self, wait: timedelta) -> None:
        """Keep how long the `wait` would be."""
        super().__init__(f"{wait.total_seconds():.1f} s")
        self.wait = wait


class KeyTurns:
    """The turns of one account's key. `patience` is how long a turn waits for that of another process.

    Raises `VenueUnreachableError` when the database, without which no call may leave, does not answer.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        account_id: UUID,
        *,
        rest: CounterLimit,
        trading: CounterLimit,
        patience: timedelta,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._account_id = account_id
        self._rest = rest
        self._trading = trading
        self._lock_key = f"venue key {account_id}"
        self._patience = f"{max(1, patience // _MILLISECOND)}"
        self._time_waited = timedelta(0)
        self._has_waited_in_vain = False
        self._last_known: _Counted | None = None

    @property
    def time_waited(self) -> timedelta:
        """How long calls have waited for the counters so far."""
        return self._time_waited

    @contextmanager
    def turn(self, charge: Charge, *, until: datetime | None = None) -> Generator[int]:
        """Wait until the call fits below the counters, count it, and yield its nonce.

        Raises `TurnTooLateError` at once when that would be later than `until`.
        """
        while True:
            with self._connected() as connection:
                taken: _Counted | None = None
                try:
                    wait, counted = self._take(connection, charge)
                    if not wait:
                        taken = counted
                        yield counted.last_nonce
                        return
                finally:
                    self._end_turn(connection, charge, taken)
            # Others may go meanwhile: what they need may be free already.
            if until is not None and self._clock.now() + wait > until:
                raise TurnTooLateError(wait)
            self._clock.sleep(wait)
            self._time_waited += wait

    def fill_up(self, *, rest: bool = False, market: str | None = None) -> None:
        """Set the key's counter, or that of a market, to its maximum: the venue says that it is full.

        Somebody else uses the key, or has traded by hand. A counter that cannot be written is left: the venue's next
        refusal tells us again.
        """

        def full(counted: _Counted) -> _Counted:
            now = self._clock.now()
            if rest:
                counted = replace(counted, rest=Counter(self._rest.maximum, now))
            if market is not None:
                counted = replace(counted, trading={**counted.trading, market: Counter(self._trading.maximum, now)})
            return counted

        with suppress(VenueUnreachableError, SQLAlchemyError), self._connected() as connection:
            self._change(connection, full)

    def _take(self, connection: Connection, charge: Charge) -> tuple[timedelta, _Counted]:
        """Count the call and issue its nonce, for good; or tell how long it has to wait."""
        wait = timedelta(0)

        def taken(counted: _Counted) -> _Counted | None:
            nonlocal wait
            # Only now: to read may have taken time.
            now = self._clock.now()
            rest = counted.rest.at(now, self._rest)
            trading = {
                market: current
                for market, counter in counted.trading.items()
                if (current := counter.at(now, self._trading)).points
            }
            wait = rest.wait_for(charge.rest, self._rest)
            if charge.market is not None:
                counter = trading.get(charge.market, Counter(counted_at=now))
                wait = max(wait, counter.wait_for(charge.trading, self._trading))
                trading[charge.market] = counter.plus(charge.trading)
            if wait:
                return None
            nonce = max(counted.last_nonce + 1, (now - _EPOCH) // _MILLISECOND)
            return replace(counted, last_nonce=nonce, rest=rest.plus(charge.rest), trading=trading)

        try:
            counted = self._change_in_sequence(connection, taken)
        except SQLAlchemyError as error:
            raise _unavailable(error) from error
        return wait, counted

    def _end_turn(self, connection: Connection, charge: Charge, taken: _Counted | None) -> None:
        """Let the next one go, and nothing fade of what was counted while the call was on its way.

        The venue counts a call when it arrives, and one call takes longer than another: counters that faded from the
        sending on would run ahead of the venue's. One that cannot be written is left as it is: it runs ahead by no
        more than the call took. What the call has brought must not be lost to a connection that broke.
        """

        def fade_from_now_on(counted: _Counted) -> _Counted:
            now = self._clock.now()
            trading = dict(counted.trading)
            if charge.market in trading:
                trading[charge.market] = Counter(trading[charge.market].points, now)
            return replace(counted, rest=Counter(counted.rest.points, now), trading=trading)

        if connection.invalidated:
            return
        with suppress(SQLAlchemyError):
            try:
                if taken is None:
                    connection.execute(_UNLOCK)
                elif self._replace(connection, _REPLACE_AND_UNLOCK, taken, fade_from_now_on(taken)) is None:
                    self._change(connection, fade_from_now_on)
            except BaseException:
                # The end of the session is the end of all that it holds.
                connection.invalidate()
                raise

    def _change_in_sequence(self, connection: Connection, change: Callable[[_Counted], _Counted | None]) -> _Counted:
        """Change the row when the lock is ours, or cannot be had in time."""
        if self._has_waited_in_vain:
            # Who holds it stands still, and may do so for hours: nobody is waited for twice.
            self._has_waited_in_vain = not connection.execute(_LOCK_IF_FREE, {"key": self._lock_key}).scalar_one()
            return self._change(connection, change)
        known = self._last_known
        wanted = change(known) if known is not None else None
        try:
            if known is None or wanted is None:
                connection.execute(_LOCK, {"key": self._lock_key, "patience": self._patience})
            elif (replaced := self._replace(connection, _LOCK_AND_REPLACE, known, wanted)) is not None:
                return replaced
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            self._has_waited_in_vain = True
        return self._change(connection, change)

    def _change(self, connection: Connection, change: Callable[[_Counted], _Counted | None]) -> _Counted:
        """Replace the row as it is now by what `change` makes of it; None leaves it. Returns how it stands then."""
        while True:
            counted = self._read(connection)
            wanted = change(counted)
            if wanted is None:
                return counted
            if (replaced := self._replace(connection, _REPLACE, counted, wanted)) is not None:
                return replaced

    def _replace(
        self, connection: Connection, statement: Executable, counted: _Counted, wanted: _Counted
    ) -> _Counted | None:
        """Make the row as `wanted`; None where it was not any more as it was `counted`."""
        version = connection.execute(
            statement,
            {
                "of_account": self._account_id,
                "key": self._lock_key,
                "patience": self._patience,
                "read_version": counted.version,
                "new_nonce": wanted.last_nonce,
                "new_rest": wanted.rest.points,
                "new_rest_counted_at": wanted.rest.counted_at,
                "new_trading": _written(wanted.trading),
            },
        ).scalar()
        self._last_known = None if version is None else replace(wanted, version=version)
        return self._last_known

    def _read(self, connection: Connection) -> _Counted:
        wanted = select(*VenueKeyRow.__table__.columns, _VERSION.label("version")).where(
            VenueKeyRow.account_id == self._account_id
        )
        row = connection.execute(wanted).one_or_none()
        if row is None:
            connection.execute(insert(VenueKeyRow).values(account_id=self._account_id).on_conflict_do_nothing())
            row = connection.execute(wanted).one()
        return _Counted(
            row.last_nonce,
            Counter(row.rest_counter, row.rest_counted_at),
            _trading_counters(row.trading_counters),
            row.version,
        )

    @contextmanager
    def _connected(self) -> Generator[Connection]:
        """Connect so that each statement is a transaction."""
        try:
            connection = self._engine.connect()
        except SQLAlchemyError as error:
            raise _unavailable(error) from error
        with connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")


def _trading_counters(stored: Mapping[str, Any]) -> dict[str, Counter]:
    return {
        market: Counter(Decimal(points), datetime.fromisoformat(counted_at))
        for market, (points, counted_at) in stored.items()
    }


def _written(counters: Mapping[str, Counter]) -> dict[str, list[str]]:
    return {
        market: [str(counter.points), counter.counted_at.isoformat()]
        for market, counter in counters.items()
        if counter.counted_at is not None
    }


def _unavailable(error: SQLAlchemyError) -> VenueUnreachableError:
    words = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    if isinstance(error, PoolTimeoutError):
        words = "all its connections are taken"
    return VenueUnreachableError(
        one_line(
            f"the database that counts calls to the venue does not answer ({one_line(words, longest=90)}); try again"
        )
    )
