"""Kraken's public prices and market rules, without a key."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from rebalancer_pipelines.adapters.venues.ccxt.kraken.catalogue import positive_number
from rebalancer_pipelines.adapters.venues.ccxt.kraken.public_api import PublicApi
from rebalancer_pipelines.application.ports import Clock
from rebalancer_pipelines.domain.market import Market, MarketStatus, PriceMark

_TRADED = frozenset(MarketStatus) - {MarketStatus.CANCEL_ONLY, MarketStatus.DELISTED}


class LivePrices:
    """A price source over Kraken's public API; the arguments are those of `PublicApi`."""

    def __init__(
        self,
        clock: Clock,
        *,
        endpoint: str | None = None,
        timeout: timedelta = timedelta(seconds=8),
        spacing: timedelta = timedelta(seconds=1),
    ) -> None:
        self._clock = clock
        self.public = PublicApi(clock, endpoint=endpoint, timeout=timeout, spacing=spacing)
        """What stands behind the prices, for whoever needs more of it."""

    @property
    def name(self) -> str:
        """`live (kraken)`."""
        return "live (kraken)"

    def markets(self) -> Mapping[str, Market]:
        """Kraken's spot markets. Raises `VenueUnreachableError`, also for an answer without any."""
        return {symbol: listing.market for symbol, listing in self.public.catalogue().listings.items()}

    def quotes(self, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """Best bid and ask. A market that is unknown, closed or quoted at no usable price is absent.

        Raises `VenueUnreachableError`, also when Kraken answers none of the markets that it lists itself, or others.
        """
        listings = self.public.catalogue().listings
        # One pair that Kraken does not know would make it refuse the whole request.
        wanted = {
            listings[symbol].pair: listings[symbol].market
            for symbol in symbols
            if symbol in listings and listings[symbol].market.status in _TRADED
        }
        if not wanted:
            return {}
        tickers = self.public.tickers(wanted)
        now = self._clock.now()
        marks = (_mark(market, tickers.get(pair), self.name, now) for pair, market in wanted.items())
        return {mark.symbol: mark for mark in marks if mark}


def _mark(market: Market, ticker: Any, source: str, now: datetime) -> PriceMark | None:
    bid, ask = _price(ticker, "b"), _price(ticker, "a")
    return PriceMark(market.symbol, bid, ask, source, now) if bid and ask else None


def _price(ticker: Any, side: str) -> Decimal | None:
    """The price in `a` (ask) or `b` (bid), each a list that starts with the price as text."""
    try:
        return positive_number(ticker[side][0])
    except (KeyError, IndexError, TypeError):
        return None
