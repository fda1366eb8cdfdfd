"""A paper account on the recorded market whose portfolio has a short past there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rebalancer_pipelines.application.ports import Ports
from tests.support.manual_clock import ManualClock
from tests.support.ports_on import ports_on

AUTUMN = datetime(2018, 11, 1, 12, tzinfo=UTC)
"""The present of these tests."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(AUTUMN)


@pytest.fixture
def past(ready_database: str, clock: ManualClock, tmp_path: Path) -> Iterator[Ports]:
    """The program's ports in a present in which the days of the recording are the past."""
    with ports_on(ready_database, clock, tmp_path) as ports:
        yield ports
