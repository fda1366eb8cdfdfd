"""The sources of bars that this program knows. A new one is one new file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from rebalancer_pipelines.adapters.prices.kraken_history import KrakenHistory
from rebalancer_pipelines.adapters.prices.recorded_history import RecordedHistory
from rebalancer_pipelines.application.ports import BarSource, Clock
from rebalancer_pipelines.domain.errors import InvalidInputError

_SOURCES: Mapping[str, Callable[[Clock, str | None], BarSource]] = {
    "recorded": lambda _clock, _endpoint: RecordedHistory(),
    "live": lambda clock, endpoint: KrakenHistory(clock, endpoint=endpoint),
}


class BarRegistry:
    """Implements `BarSources`. Sources are kept: they hold connections open and know what a venue lists."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._opened: dict[tuple[str, str | None], BarSource] = {}

    @property
    def always(self) -> Collection[str]:
        """The recording needs no account: it is there to be looked at and rehearsed on."""
        return ("recorded",)

    def of(self, price_source: str, endpoint: str | None = None) -> BarSource:
        """The source of a price source's bars. Raises `InvalidInputError` when it is unknown."""
        if price_source not in _SOURCES:
            raise InvalidInputError("prices", price_source, f"is not a price source; use {' or '.join(_SOURCES)}")
        place = price_source, endpoint
        if place not in self._opened:
            self._opened[place] = _SOURCES[price_source](self._clock, endpoint)
        return self._opened[place]
