"""Dagster's storage on PostgreSQL with a pool of connections.

Here: where the connections come from. Not here: what is stored and how; that is dagster-postgres, which opens a new
connection for every statement (270 in a rebalance). Once it has a pool of its own, this file goes, and `dagster.yaml`
names its storage again.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.config import PostgresStorageConfig, pg_config
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._serdes import ConfigurableClass, ConfigurableClassData, pack_value, serialize_value
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from dagster_postgres.utils import pg_url_from_config, retry_pg_connection_fn
from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select

_KEPT = 2
"""Connections that a process keeps: a write of Dagster holds one and asks for a second."""

_HEADROOM = 30
"""Connections beyond those, for the threads of the daemon and of the code server; they are closed when they are free
again."""

_RECYCLE_SECONDS = 600
_MAIN_TABLES = {"runs", "instance_info", "event_logs", "jobs"}
"""Where one of them is missing, the tables have yet to be made."""

_MAKING_TABLES = 7_203_184_511
"""The database's lock for it; the number means nothing else."""


class _Pooled:
    """A storage that takes its connections from a pool which it is given."""

    _engine: Engine
    postgres_url: str

    def draw_from(self, engine: Engine) -> None:
        self._engine = engine

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Go over to a pool whose statements are given up after so many milliseconds."""
        self._engine = _open_pool(
            self.postgres_url, _KEPT, max_overflow, recycle=pool_recycle, statement_timeout=statement_timeout
        )

    def dispose(self) -> None:
        super().dispose()  # type: ignore[misc]
        self._engine.dispose()


class _PooledRunStorage(_Pooled, PostgresRunStorage):
    pass


class _PooledEventLogStorage(_Pooled, PostgresEventLogStorage):
    """Stores events in batches as rows, each serialized once; verdicts of checks, too.

    A run over many portfolios has three for each of them.
    """

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        types = {entry.dagster_event_type for entry in events}
        if types == {dg.DagsterEventType.ASSET_CHECK_EVALUATION}:
            self._store_verdicts(events)
        elif types == {dg.DagsterEventType.ASSET_MATERIALIZATION}:
            self._store_materializations(events)
        else:
            super().store_event_batch(events)

    def _store_materializations(self, events: Sequence[dg.EventLogEntry]) -> None:
        with self.index_transaction() as connection:
            ids = self._store_rows(connection, events, serialized(events))
            self._store_asset_event_tags(connection, events, ids)
            # The last is the asset's newest.
            self._store_asset_event(connection, events[-1], ids[-1])

    def _store_verdicts(self, events: Sequence[dg.EventLogEntry]) -> None:
        texts = serialized(events)
        with self.index_transaction() as connection:
            ids = self._store_rows(connection, events, texts)
            rows = [self._verdict(*each) for each in zip(events, texts, ids, strict=True)]
            connection.execute(AssetCheckExecutionsTable.insert(), rows)

    def _store_rows(
        self, connection: Connection, events: Sequence[dg.EventLogEntry], texts: Sequence[str]
    ) -> Sequence[int]:
        """Store events; returns their ids in the same sequence. The statement is compiled once, however many."""
        ids = connection.scalars(
            SqlEventLogStorageTable.insert().returning(SqlEventLogStorageTable.c.id, sort_by_parameter_order=True),
            [self._row(entry, text) for entry, text in zip(events, texts, strict=True)],
        )
        return ids.all()

    def _row(self, entry: dg.EventLogEntry, text: str) -> dict[str, Any]:
        """An event's row, as Dagster writes it."""
        told = entry.get_dagster_event()
        return {
            "run_id": entry.run_id,
            "event": text,
            "dagster_event_type": told.event_type_value,
            "timestamp": self._event_insert_timestamp(entry),
            "step_key": told.step_key,
            "asset_key": told.asset_key.to_string() if told.asset_key else None,
            "partition": told.partition,
        }

    def _verdict(self, entry: dg.EventLogEntry, text: str, event_id: int) -> dict[str, Any]:
        """The row of a verdict that no planned event has announced, as Dagster writes it."""
        evaluation = entry.get_dagster_event().asset_check_evaluation_data
        status = AssetCheckExecutionRecordStatus
        return {
            "asset_key": evaluation.asset_key.to_string(),
            "check_name": evaluation.check_name,
            "run_id": entry.run_id,
            "execution_status": (status.SUCCEEDED if evaluation.passed else status.FAILED).value,
            "evaluation_event": text,
            "evaluation_event_timestamp": self._event_insert_timestamp(entry),
            "evaluation_event_storage_id": event_id,
            "partition": evaluation.partition,
        }


def serialized(events: Sequence[dg.EventLogEntry]) -> list[str]:
    """Each event as Dagster serializes it; what events of one step have in common is packed once."""
    first = events[0]
    entry_fields, event_fields = pack_value(first), pack_value(first.get_dagster_event())
    return [_text(entry_fields, event_fields, e) if _is_like(first, e) else serialize_value(e) for e in events]


def _text(entry_fields: Mapping[str, Any], event_fields: Mapping[str, Any], entry: dg.EventLogEntry) -> str:
    told = entry.get_dagster_event()
    event = {**event_fields, "message": told.message, "event_specific_data": pack_value(told.event_specific_data)}
    return json.dumps({**entry_fields, "timestamp": entry.timestamp, "dagster_event": event}, sort_keys=True)


def _is_like(first: dg.EventLogEntry, entry: dg.EventLogEntry) -> bool:
    """Whether two events differ in nothing but when they happened and what they tell."""
    one, other = first.get_dagster_event(), entry.get_dagster_event()
    alike = other._replace(message=one.message, event_specific_data=one.event_specific_data)
    return entry._replace(timestamp=first.timestamp, dagster_event=alike) == first


class _PooledScheduleStorage(_Pooled, PostgresScheduleStorage):
    pass


class PooledPostgresStorage(DagsterStorage, ConfigurableClass):
    """Runs, events and schedules over one pool; `dagster.yaml` names this class.

    A connection is tried before it is used, so that the pool outlives a restart of the database.
    """

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        self._inst_data = inst_data
        engine = _open_pool(postgres_url, _KEPT, _HEADROOM, recycle=_RECYCLE_SECONDS)
        if should_autocreate_tables:
            _make_tables(engine, postgres_url)
        self._runs = _PooledRunStorage(postgres_url, should_autocreate_tables=False)
        self._events = _PooledEventLogStorage(postgres_url, should_autocreate_tables=False)
        self._schedules = _PooledScheduleStorage(postgres_url, should_autocreate_tables=False)
        for storage in (self._runs, self._events, self._schedules):
            storage.draw_from(engine)
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """How the storage was configured."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> Any:
        """What dagster-postgres takes, too."""
        return pg_config()

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData | None, config_value: PostgresStorageConfig
    ) -> "PooledPostgresStorage":
        """The storage that `dagster.yaml` describes."""
        return cls(
            pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
        )

    @property
    def run_storage(self) -> PostgresRunStorage:
        """Runs, their tags, and the daemons' heartbeats."""
        return self._runs

    @property
    def event_log_storage(self) -> PostgresEventLogStorage:
        """The events of runs, assets and checks."""
        return self._events

    @property
    def schedule_storage(self) -> PostgresScheduleStorage:
        """The state and the ticks of schedules and sensors."""
        return self._schedules


def _open_pool(
    postgres_url: str, kept: int, headroom: int, *, recycle: int, statement_timeout: int | None = None
) -> Engine:
    engine = create_engine(
        postgres_url,
        isolation_level="AUTOCOMMIT",
        pool_size=kept,
        max_overflow=headroom,
        pool_pre_ping=True,
        pool_recycle=recycle,
        pool_use_lifo=True,
    )
    if statement_timeout is not None:

        @event.listens_for(engine, "connect")
        def limit_statements(connection: Any, _record: object) -> None:
            with connection, connection.cursor() as cursor:
                cursor.execute(f"SET statement_timeout = {statement_timeout:d}")

    return engine


def _make_tables(engine: Engine, postgres_url: str) -> None:
    """Let dagster-postgres make its tables where they are missing; of several processes, one does."""
    if _are_made(engine):
        return
    with engine.connect() as connection:
        connection.execute(select(func.pg_advisory_lock(_MAKING_TABLES)))
        try:
            if not _are_made(engine):
                DagsterPostgresStorage(postgres_url, should_autocreate_tables=True)
        finally:
            connection.execute(select(func.pg_advisory_unlock(_MAKING_TABLES)))


def _are_made(engine: Engine) -> bool:
    return _MAIN_TABLES.issubset(retry_pg_connection_fn(lambda: inspect(engine).get_table_names()))
