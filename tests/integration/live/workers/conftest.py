"""Workers in processes of their own, and a live account at the Kraken double for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stored import Stored
from tests.support.worker_bench import WorkerBench, worker_bench
from tests.support.worker_clocks import SharedClock, SkippingClock
from tests.support.worker_processes import Workers, hiring


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with hiring() as hired:
        yield hired


@pytest.fixture
def clock(tmp_path: Path) -> SharedClock:
    return SkippingClock(tmp_path / "skipped")


@pytest.fixture
def bench(
    ready_database: str, stored: Stored, tmp_path: Path, workers: Workers, clock: SharedClock
) -> Iterator[WorkerBench]:
    with worker_bench(ready_database, stored, tmp_path, workers, clock) as opened:
        yield opened
