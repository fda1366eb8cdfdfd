"""A live account at the fake venue, for the tests that ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live_bench import LiveBench, live_bench
from tests.support.stored import Stored


@pytest.fixture
def bench(ready_database: str, stored: Stored, tmp_path: Path) -> Iterator[LiveBench]:
    with live_bench(ready_database, stored, tmp_path) as opened:
        yield opened
