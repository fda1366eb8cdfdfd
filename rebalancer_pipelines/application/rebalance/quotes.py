"""The prices that orders leave on: those of the plan while they are fresh, read again when they are not."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rebalancer_pipelines.application.ports import Clock, Venue
from rebalancer_pipelines.domain.account_settings import AccountSettings
from rebalancer_pipelines.domain.errors import DeniedError, VenueUnreachableError
from rebalancer_pipelines.domain.market import PriceLimits, PriceMark, check_price
from rebalancer_pipelines.domain.order import Order
from rebalancer_pipelines.domain.risk import collar_denial


class Quotes:
    """Marks of the plan's markets. An order leaves only on one that is fresh, sound and near its limit."""

    def __init__(self, marks: Mapping[str, PriceMark], venue: Venue, clock: Clock, settings: AccountSettings) -> None:
        self._marks = dict(marks)
        self._venue = venue
        self._clock = clock
        self._settings = settings

    def denial_of(self, order: Order, still_to_come: Collection[str]) -> DeniedError | None:
        """Why an order must not leave at the prices of now. Stale quotes are read again, for all orders to come."""
        now = self._clock.now()
        mark = self._marks.get(order.symbol)
        if mark is None or now - mark.observed_at > self._settings.quote_age:
            self._read_again({order.symbol, *still_to_come})
        try:
            limits = PriceLimits(max_age=self._settings.quote_age)
            check_price(self._marks.get(order.symbol), order.symbol, now=self._clock.now(), limits=limits)
        except DeniedError as denied:
            return denied
        return collar_denial(order.symbol, order.side, order.limit_price, self._marks[order.symbol], self._settings)

    def _read_again(self, symbols: Collection[str]) -> None:
        try:
            fresh = self._venue.prices(symbols)
        except VenueUnreachableError:
            # The old marks stay, and are too old: whatever rests on them is refused.
            return
        for symbol in symbols:
            self._marks.pop(symbol, None)
        self._marks.update(fresh)
