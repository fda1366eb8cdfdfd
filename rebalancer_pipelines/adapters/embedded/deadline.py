"""Waiting for a condition with an end."""

from __future__ import annotations

import time
from collections.abc import Callable

_PAUSE_SECONDS = 0.02


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask `condition` until it holds or `seconds` have passed; tell whether it came to hold."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True
