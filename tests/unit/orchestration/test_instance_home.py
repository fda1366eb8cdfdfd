"""The Dagster home where several processes make it ready at once, as containers with one data folder do."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rebalancer_pipelines.orchestration import instance
from rebalancer_pipelines.orchestration.instance import prepare_home

LAUNCHER = "WorkerRunLauncher"


@pytest.fixture(autouse=True)
def _no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "create_schema", lambda *_: None)


@pytest.fixture
def starters() -> Iterator[ThreadPoolExecutor]:
    # Threads have one process id between them, as the first processes of containers have.
    with ThreadPoolExecutor(6) as pool:
        yield pool


def test_workers_that_start_beside_the_app_leave_its_launcher(tmp_path: Path, starters: ThreadPoolExecutor) -> None:
    for round_number in range(20):
        folder = tmp_path / str(round_number)
        roles = [None, None, True, None, None, None]
        homes = list(starters.map(lambda role, to=folder: prepare_home(to, "", on_workers=role), roles))
        assert LAUNCHER in (homes[0] / "dagster.yaml").read_text(encoding="utf-8")


def test_an_app_without_workers_takes_the_launcher_away(tmp_path: Path) -> None:
    prepare_home(tmp_path, "", on_workers=True)
    home = prepare_home(tmp_path, "", on_workers=False)
    assert LAUNCHER not in (home / "dagster.yaml").read_text(encoding="utf-8")
