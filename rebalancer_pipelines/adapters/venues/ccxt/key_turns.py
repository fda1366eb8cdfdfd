"""Turns on a venue's key, across processes: nonces that only rise, and counters that are never exceeded.

Everything that must be known together stands in the account's row of `venue_key` and is committed before the call that
it is about. An advisory lock lets calls leave one after the other, so that nonces also arrive in their sequence; it is
a courtesy only, for whoever cannot have it in time goes on without it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, func, select, update
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


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call costs: points of the key's counter, and of the counter of one market where it trades there."""

    rest: Decimal = ZERO
    market: str | None = None
    trading: Decimal = ZERO


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
            with self._in_sequence():
                wait, nonce = self._take(charge)
                if nonce is not None:
                    try:
                        yield nonce
                    finally:
                        self._fade_from_now_on(charge)
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
        with suppress(SQLAlchemyError), self._engine.begin() as connection:
            row = self._locked_row(connection)
            now = self._clock.now()
            values: dict[str, Any] = {}
            if rest:
                values |= {"rest_counter": self._rest.maximum, "rest_counted_at": now}
            if market is not None:
                full = {market: Counter(self._trading.maximum, now)}
                values["trading_counters"] = _written(_read(row.trading_counters) | full)
            self._store(connection, values)

    def _fade_from_now_on(self, charge: Charge) -> None:
        """Let nothing fade of what was counted while the call was on its way.

        The venue counts a call when it arrives, and one call takes longer than another: counters that faded from the
        sending on would run ahead of the venue's. One that cannot be written is left as it is: it runs ahead by no
        more than the call took.
        """
        with suppress(SQLAlchemyError), self._engine.begin() as connection:
            row = self._locked_row(connection)
            now = self._clock.now()
            trading = _read(row.trading_counters)
            if charge.market in trading:
                trading[charge.market] = Counter(trading[charge.market].points, now)
            self._store(connection, {"rest_counted_at": now, "trading_counters": _written(trading)})

    def _take(self, charge: Charge) -> tuple[timedelta, int | None]:
        """Count the call and issue its nonce, or tell how long it has to wait: one transaction, committed."""
        try:
            with self._engine.begin() as connection:
                row = self._locked_row(connection)
                # Only now: the lock may have taken time.
                now = self._clock.now()
                rest = Counter(row.rest_counter, row.rest_counted_at).at(now, self._rest)
                trading = {
                    market: current
                    for market, counter in _read(row.trading_counters).items()
                    if (current := counter.at(now, self._trading)).points
                }
                wait = rest.wait_for(charge.rest, self._rest)
                if charge.market is not None:
                    counter = trading.get(charge.market, Counter(counted_at=now))
                    wait = max(wait, counter.wait_for(charge.trading, self._trading))
                    trading[charge.market] = counter.plus(charge.trading)
                if wait:
                    return wait, None
                nonce = max(row.last_nonce + 1, (now - _EPOCH) // _MILLISECOND)
                self._store(
                    connection,
                    {
                        "last_nonce": nonce,
                        "rest_counter": rest.plus(charge.rest).points,
                        "rest_counted_at": now,
                        "trading_counters": _written(trading),
                    },
                )
        except SQLAlchemyError as error:
            raise _unavailable(error) from error
        return timedelta(0), nonce

    def _locked_row(self, connection: Connection) -> Row[Any]:
        _limit_waiting(connection, self._patience)
        wanted = select(VenueKeyRow.__table__).where(VenueKeyRow.account_id == self._account_id).with_for_update()
        row = connection.execute(wanted).one_or_none()
        if row is None:
            connection.execute(insert(VenueKeyRow).values(account_id=self._account_id).on_conflict_do_nothing())
            row = connection.execute(wanted).one()
        return row

    def _store(self, connection: Connection, values: Mapping[str, Any]) -> None:
        connection.execute(update(VenueKeyRow).where(VenueKeyRow.account_id == self._account_id).values(**values))

    @contextmanager
    def _in_sequence(self) -> Generator[None]:
        """Hold the advisory lock of the key on a connection of its own, if it is to be had in time."""
        key = func.hashtextextended(f"venue key {self._account_id}", 0)
        try:
            connection = self._engine.connect()
        except SQLAlchemyError as error:
            raise _unavailable(error) from error
        with connection:
            held = self._lock(connection, key)
            try:
                yield
            finally:
                if held:
                    _unlock(connection, key)

    def _lock(self, connection: Connection, key: Any) -> bool:
        try:
            # A lock of the session: it stays after the transaction that asks for it.
            with connection.begin():
                if self._has_waited_in_vain:
                    # Who holds it stands still, and may do so for hours: nobody is waited for twice.
                    is_free = bool(connection.execute(select(func.pg_try_advisory_lock(key))).scalar_one())
                    self._has_waited_in_vain = not is_free
                    return is_free
                _limit_waiting(connection, self._patience)
                connection.execute(select(func.pg_advisory_lock(key)))
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
                self._has_waited_in_vain = True
                return False
            raise _unavailable(error) from error
        except SQLAlchemyError as error:
            raise _unavailable(error) from error
        return True


def _unlock(connection: Connection, key: Any) -> None:
    """Give the lock back. What the call has brought must not be lost to a connection that broke meanwhile."""
    try:
        with connection.begin():
            connection.execute(select(func.pg_advisory_unlock(key)))
    except SQLAlchemyError:
        # The end of the session is the end of its locks.
        connection.invalidate()


def _limit_waiting(connection: Connection, patience: timedelta) -> None:
    """Wait no longer than this for any lock, until the end of the transaction."""
    milliseconds = max(1, patience // _MILLISECOND)
    connection.execute(select(func.set_config("lock_timeout", str(milliseconds), True)))


def _read(stored: Mapping[str, Any]) -> dict[str, Counter]:
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
