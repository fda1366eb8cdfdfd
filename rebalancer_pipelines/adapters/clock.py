"""The machine's clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    """Real time."""

    def now(self) -> datetime:
        """The present in UTC."""
        return datetime.now(UTC)

    def sleep(self, duration: timedelta) -> None:
        """Wait."""
        time.sleep(duration.total_seconds())
