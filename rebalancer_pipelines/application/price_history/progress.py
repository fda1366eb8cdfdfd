"""Telling whoever waits how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Told how many of how many steps are done."""


def unheard(done: int, total: int) -> None:
    """For work that nobody waits for."""
    del done, total
