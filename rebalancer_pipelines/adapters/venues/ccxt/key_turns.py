"""Turns on a venue's key, across processes: nonces that only rise, and counters that are never exceeded.

Everything that must be known together stands in the account's row of `venue_key` and is committed before the call that
it is about. The row is replaced whole, and only where it still is what was read (its `xmin`): whoever comes second
reads again. An advisory lock lets calls leave one after the other, so that nonces also arrive in their sequence; it is
a courtesy only, for whoever cannot have it in time goes on without it.

A turn costs seven round trips to the database, each statement its own transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from rebalancer_pipelines.adapters.postgres.tables import VenueKeyRow
from rebalancer_pipelines.adapters.venues.ccxt.counters import Counter, CounterLimit
from rebalancer_pipelines.adapters.venues.ccxt.one_line import one_line
from rebalancer_pipelines.application.ports import Clock
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.values import ZERO

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LOCK_NOT_AVAILABLE = "55P03"
_VERSION = literal_column("xmin::text")


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
        self._patience = patience
        self._time_waited = timedelta(0)
        self._has_waited_in_vain = False

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
            with self._in_sequence() as connection:
                wait, counted = self._take(connection, charge)
                if not wait:
                    try:
                        yield counted.last_nonce
                    finally:
                        self._fade_from_now_on(connection, charge, counted)
                    return
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

        with suppress(SQLAlchemyError), self._connected() as connection:
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
            counted = self._change(connection, taken)
        except SQLAlchemyError as error:
            raise _unavailable(error) from error
        return wait, counted

    def _fade_from_now_on(self, connection: Connection, charge: Charge, counted: _Counted) -> None:
        """Let nothing fade of what was counted while the call was on its way.

        The venue counts a call when it arrives, and one call takes longer than another: counters that faded from the
        sending on would run ahead of the venue's. One that cannot be written is left as it is: it runs ahead by no
        more than the call took.
        """

        def now_on(counted: _Counted) -> _Counted:
            now = self._clock.now()
            trading = dict(counted.trading)
            if charge.market in trading:
                trading[charge.market] = Counter(trading[charge.market].points, now)
            return replace(counted, rest=Counter(counted.rest.points, now), trading=trading)

        with suppress(SQLAlchemyError):
            self._change(connection, now_on, counted)

    def _change(
        self,
        connection: Connection,
        change: Callable[[_Counted], _Counted | None],
        counted: _Counted | None = None,
    ) -> _Counted:
        """Replace the row, as it is now or as it was `counted`, by what `change` makes of it; None leaves it."""
        while True:
            counted = counted or self._read(connection)
            wanted = change(counted)
            if wanted is None:
                return counted
            version = connection.execute(
                update(VenueKeyRow)
                .where(VenueKeyRow.account_id == self._account_id, _VERSION.is_not_distinct_from(counted.version))
                .values(
                    last_nonce=wanted.last_nonce,
                    rest_counter=wanted.rest.points,
                    rest_counted_at=wanted.rest.counted_at,
                    trading_counters=_written(wanted.trading),
                )
                .returning(_VERSION)
            ).scalar_one_or_none()
            if version is not None:
                return replace(wanted, version=version)
            counted = None

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
        """Connect so that each statement is a transaction, and no lock is waited for longer than `patience`."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            _limit_waiting(connection, f"{max(1, self._patience // _MILLISECOND)}")
            try:
                yield connection
            finally:
                _end(connection, lambda: _limit_waiting(connection, "0"))

    @contextmanager
    def _in_sequence(self) -> Generator[Connection]:
        """Hold the advisory lock of the key, if it is to be had in time."""
        key = func.hashtextextended(f"venue key {self._account_id}", 0)
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(self._connected())
                if self._lock(connection, key):
                    stack.callback(_end, connection, lambda: connection.execute(select(func.pg_advisory_unlock(key))))
            except SQLAlchemyError as error:
                raise _unavailable(error) from error
            yield connection

    def _lock(self, connection: Connection, key: Any) -> bool:
        if self._has_waited_in_vain:
            # Who holds it stands still, and may do so for hours: nobody is waited for twice.
            is_free = bool(connection.execute(select(func.pg_try_advisory_lock(key))).scalar_one())
            self._has_waited_in_vain = not is_free
            return is_free
        try:
            connection.execute(select(func.pg_advisory_lock(key)))
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            self._has_waited_in_vain = True
            return False
        return True


def _end(connection: Connection, give_back: Callable[[], object]) -> None:
    """Give something of the session back. What the call has brought must not be lost to a connection that broke."""
    if connection.invalidated:
        return
    try:
        give_back()
    except SQLAlchemyError:
        # The end of the session is the end of all that it holds.
        connection.invalidate()


def _limit_waiting(connection: Connection, milliseconds: str) -> None:
    connection.execute(select(func.set_config("lock_timeout", milliseconds, False)))


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
