"""Telling people."""

from __future__ import annotations

from typing import Protocol

from rebalancer_pipelines.domain.errors import RebalancerError
from rebalancer_pipelines.domain.notification import Notification


class NotifierError(RebalancerError):
    """Nobody could be told. The text names the addresses by position and scheme and holds none of their secrets."""


class Notifier(Protocol):
    """A way to reach people."""

    def send(self, notification: Notification) -> None:
        """Tell it now; returns once somebody has it. Raises `NotifierError` within seconds, however slow they are."""
        ...
