"""The marts over written histories; dbt runs inside the test's own process, and reads its project once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rebalancer_pipelines.adapters.analytics.build import Build, build_marts
from tests.support.stored import Stored
from tests.support.written_history import WrittenHistory


@pytest.fixture(scope="session")
def analytics_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the prepared project."""
    return tmp_path_factory.mktemp("analytics")


@pytest.fixture
def history(ready_database: str) -> Iterator[WrittenHistory]:
    with WrittenHistory(ready_database) as written:
        yield written


BuildIt = Callable[..., Build]


@pytest.fixture
def build(ready_database: str, analytics_folder: Path) -> BuildIt:
    """Build the marts; nothing may go wrong."""

    def build_them(**options: Any) -> Build:
        made = build_marts(ready_database, analytics_folder, **options)
        assert made.problems == []
        return made

    return build_them


class Marts:
    """The marts, read from outside."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    def __call__(self, mart: str, order: str, where: str = "true") -> list[dict[str, Any]]:
        return self._stored.rows(f"SELECT * FROM analytics.{mart} WHERE {where} ORDER BY {order}")  # type: ignore[arg-type]

    def everything(self) -> dict[str, list[str]]:
        """Every row of every table and view of the marts, as text; what only one build needs is left out."""
        names = self._stored.rows(
            "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE nspname = 'analytics' AND relkind IN ('r', 'v') AND relname NOT LIKE '%%touched' "
            "AND relname NOT IN ('build_mark', 'int_book_entries_valued', 'stg_history_changes')"
        )
        return {
            row["relname"]: [
                line["line"]
                for line in self._stored.rows(
                    f"SELECT (to_jsonb(t))::text AS line FROM analytics.{row['relname']} AS t ORDER BY 1"  # type: ignore[arg-type]
                )
            ]
            for row in names
        }


@pytest.fixture
def marts(stored: Stored) -> Marts:
    return Marts(stored)
