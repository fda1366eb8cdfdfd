"""Prices for a whole batch: every market is read once, however many accounts and portfolios need it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from threading import Lock

from rebalancer_pipelines.application.ports import Clock, Venue
from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.portfolio import Account

_FRESH = 3
"""A mark is shared for a third of the time for which its account would trade on it."""

_Source = tuple[str, str, str | None]


class PriceBoard:
    """The newest marks by where they come from, for accounts that are worked on side by side."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._marks: dict[_Source, dict[str, PriceMark]] = defaultdict(dict)
        self._locks: dict[_Source, Lock] = defaultdict(Lock)

    def read(self, account: Account, venue: Venue, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """Marks of the symbols, those that are missing or too old read from the venue in one call.

        A market without a price is left out. Raises `VenueUnreachableError`.
        """
        source = (account.venue, account.price_source, account.endpoint)
        with self._locks[source]:
            known = self._marks[source]
            oldest = self._clock.now() - account.settings.quote_age / _FRESH
            missing = [s for s in symbols if s not in known or known[s].observed_at < oldest]
            if missing:
                for symbol in missing:
                    known.pop(symbol, None)
                known.update(venue.prices(missing))
            return {symbol: known[symbol] for symbol in symbols if symbol in known}
