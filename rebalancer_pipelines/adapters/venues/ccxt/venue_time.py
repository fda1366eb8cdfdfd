"""Where the time of a venue goes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class VenueTime:
    """Totals of one venue since it was connected: `waited` for its rate limits, on the clock that waits, and `called`,
    real time from the sending of requests to the end of their answers.
    """

    waited: timedelta
    called: timedelta
