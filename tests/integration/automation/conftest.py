"""Portfolios that rebalance by themselves, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.notification import NotificationKind
from tests.support.ports_on import ports_on
from tests.support.running_clock import RunningClock


@pytest.fixture
def clock() -> RunningClock:
    return RunningClock()


@pytest.fixture
def timed(ready_database: str, clock: RunningClock, tmp_path: Path) -> Iterator[Ports]:
    """The program's ports on `clock`."""
    with ports_on(ready_database, clock, tmp_path, notified=NotificationKind) as opened:
        yield opened
