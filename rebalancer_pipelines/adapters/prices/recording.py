"""The recorded market: real hourly bars of five currencies in EUR, read once per process.

`recording/NOTICE.md` says where it comes from. An hour without a bar is a real gap.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files

HOUR = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour of one market: its closing price in EUR, and the units of base traded in it."""

    closed_at: datetime
    close: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class Recording:
    """The closing price and volume of every recorded hour, as text until they are asked for."""

    _hours: Mapping[str, Mapping[int, tuple[str, str]]]

    def last_closed_bar(self, base: str, moment: datetime) -> Bar | None:
        """The bar that closed at the start of the hour of `moment`; None where the recording has a gap or none.

        Only a bar that had closed by then is known at `moment`: nobody looks ahead, and an older one never stands in.
        """
        hour = (moment - _EPOCH) // HOUR - 1
        found = self._hours.get(base, {}).get(hour)
        if found is None:
            return None
        return Bar(_EPOCH + HOUR * (hour + 1), Decimal(found[0]), Decimal(found[1]))


@cache
def load_recording() -> Recording:
    """Read the recording that is part of the package; about a tenth of a second, once."""
    path = files("rebalancer_pipelines.adapters.prices") / "recording" / "recorded_market_1h_eur.csv.gz"
    hours: dict[str, dict[int, tuple[str, str]]] = {}
    starts: dict[str, int] = {}
    with path.open("rb") as packed, gzip.open(packed, "rt", encoding="ascii") as lines:
        next(lines)
        for line in lines:
            base, opened_at, _open, _high, _low, close, volume = line.rstrip().split(",")
            day = opened_at[:10]
            start = starts.get(day)
            if start is None:
                start = starts[day] = (datetime.fromisoformat(f"{day}T00:00+00:00") - _EPOCH) // HOUR
            hours.setdefault(base, {})[start + int(opened_at[11:13])] = (close, volume)
    return Recording(hours)
