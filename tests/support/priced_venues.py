"""Paper venues at prices that a test sets, a price source per account where it wants one."""

from __future__ import annotations

from sqlalchemy import Engine

from rebalancer_pipelines.adapters.venues.paper.venue import PaperVenue
from rebalancer_pipelines.adapters.venues.registry import VenueRegistry
from rebalancer_pipelines.application.ports import Clock, Venue
from rebalancer_pipelines.domain.portfolio import Account

from .fixed_prices import FixedPrices


class PricedVenues(VenueRegistry):
    """Implements `Venues`: the paper venue at `prices`, or at those of an account's own."""

    def __init__(self, engine: Engine, clock: Clock, prices: FixedPrices) -> None:
        super().__init__(engine, clock)
        self._engine_of_papers = engine
        self._clock_of_papers = clock
        self.prices = prices
        self.own_prices: dict[str, FixedPrices] = {}

    def connect(self, account: Account) -> Venue:
        prices = self.own_prices.get(account.name, self.prices)
        return PaperVenue(self._engine_of_papers, account.id, prices, self._clock_of_papers)
