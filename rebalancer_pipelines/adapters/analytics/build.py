"""Building the marts: only what has changed since the last time, unless the project itself has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from rebalancer_pipelines.adapters.analytics.build_mark import build_turn
from rebalancer_pipelines.adapters.analytics.connection import connection_variables
from rebalancer_pipelines.adapters.analytics.project import AnalyticsError, AnalyticsProject, one_line
from rebalancer_pipelines.adapters.postgres.schema import check_schema

_FROM_THE_BEGINNING = "-infinity"
_SHOWN_ROWS = 10
_DONE = frozenset({"success", "pass", "warn", "no-op"})


@dataclass(frozen=True, slots=True)
class BuiltNode:
    """A model or a test of a build. `failing_rows`: what a test has found, the first of them."""

    unique_id: str
    name: str
    is_test: bool
    status: str
    seconds: float
    rows: int | None
    message: str | None
    failures: int = 0
    failing_rows: Sequence[dict[str, str]] = field(default_factory=tuple)

    @property
    def ok(self) -> bool:
        """Whether it was made, or found nothing wrong."""
        return self.status in _DONE

    @property
    def line(self) -> str:
        """What went wrong, with the first row that shows it."""
        if not self.is_test:
            return f"model {self.name}: {self.message or self.status}"
        example = f", such as {_written(self.failing_rows[0])}" if self.failing_rows else ""
        return f"test {self.name}: {self.message or f'{self.failures} rows'}{example}"


@dataclass(frozen=True, slots=True)
class Build:
    """What one build has made. `full`: from the beginning, not only what has changed."""

    full: bool
    nodes: Sequence[BuiltNode]

    @property
    def problems(self) -> list[str]:
        """A line for each model and test that went wrong; what was left out because of them is not told."""
        return [node.line for node in self.nodes if not node.ok and node.status != "skipped"]


def build_marts(
    database_url: str | None, data_dir: Path, *, full: bool = False, models: Sequence[str] | None = None
) -> Build:
    """Build the marts, or only the named models, with their tests. Of two builds at once, the second waits.

    Only a whole build that found nothing wrong counts: whatever was stored since the last one of those is built.

    Raises `AnalyticsError` when dbt cannot run, `DatabaseUnavailableError` or `SchemaError` when the database is away
    or does not fit.
    """
    connection = connection_variables(database_url)
    if database_url is None:
        raise AssertionError("a database without an address has no variables")
    check_schema(database_url)
    project = AnalyticsProject(data_dir)
    with build_turn(database_url) as turn:
        last = turn.last
        anew = full or last is None or last.project != project.digest
        since = _FROM_THE_BEGINNING if last is None or anew else last.stored_until.isoformat()
        options = ["--full-refresh"] if anew else []
        # What is built from the beginning hangs together: there are no parts of it.
        chosen = ["--select", *models] if models and not anew else []
        command = ["build", "--exclude-resource-type", "unit_test", "--vars", json.dumps({"stored_since": since})]
        result = project.run([*command, *options, *chosen], connection)
        if result.exception is not None:
            raise AnalyticsError(f"dbt could not build the marts: {one_line(result.exception)}")
        nodes = [_node(found, turn.engine) for found in getattr(result.result, "results", [])]
        whole = project.models <= {node.unique_id for node in nodes}
        if whole and all(node.ok for node in nodes):
            turn.mark(project.digest)
    return Build(full=anew, nodes=nodes)


def _node(result: Any, engine: Engine) -> BuiltNode:
    is_test = result.node.resource_type == "test"
    failed = is_test and result.status == "fail"
    return BuiltNode(
        unique_id=result.node.unique_id,
        name=result.node.name,
        is_test=is_test,
        status=str(result.status.value),
        seconds=result.execution_time,
        rows=(result.adapter_response or {}).get("rows_affected"),
        message=one_line(result.message) if result.message and not failed else None,
        failures=result.failures or 0,
        failing_rows=_failing_rows(engine, result.node.compiled_code) if failed else (),
    )


def _failing_rows(engine: Engine, query: str) -> list[dict[str, str]]:
    """The rows that a test has found, as text; none when they cannot be read any more."""
    try:
        with engine.connect() as connection:
            found = connection.exec_driver_sql(f"SELECT * FROM ({query}) AS failing LIMIT {_SHOWN_ROWS}")
            return [{name: str(value) for name, value in row.items()} for row in found.mappings()]
    except SQLAlchemyError:
        return []


def _written(row: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items())
