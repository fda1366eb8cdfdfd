"""A price source that quotes what a test sets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import Decimal

from rebalancer_pipelines.application.ports import Clock
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.market import Market, MarketStatus, PriceMark
from rebalancer_pipelines.domain.values import Currency


def a_market(symbol: str = "BTC/EUR", **changes: object) -> Market:
    """Kraken's BTC/EUR shape for any symbol."""
    base, quote = symbol.split("/")
    market = Market(
        symbol=symbol,
        base_currency=Currency(base),
        quote_currency=Currency(quote),
        price_increment=Decimal("0.1"),
        size_increment=Decimal("0.00000001"),
        min_amount=Decimal("0.00005"),
        min_notional=Decimal("0.45"),
    )
    return replace(market, **changes)  # type: ignore[arg-type]


class FixedPrices:
    """Implements `PriceSource`. Set `unreachable` to make every question fail."""

    name = "fixed"

    def __init__(self, clock: Clock, *markets: Market) -> None:
        self._clock = clock
        self._markets = {market.symbol: market for market in markets}
        self._quotes: dict[str, tuple[Decimal, Decimal]] = {}
        self.unreachable = False

    def quote(self, symbol: str, bid: str | Decimal, ask: str | Decimal) -> None:
        """Quote a market from now on."""
        self._quotes[symbol] = Decimal(bid), Decimal(ask)

    def withdraw(self, symbol: str) -> None:
        """Stop quoting a market."""
        del self._quotes[symbol]

    def set_status(self, symbol: str, status: MarketStatus) -> None:
        """Change a market's trading status."""
        self._markets[symbol] = replace(self._markets[symbol], status=status)

    def markets(self) -> Mapping[str, Market]:
        self._answer()
        return dict(self._markets)

    def quotes(self, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        self._answer()
        now = self._clock.now()
        return {s: PriceMark(s, *self._quotes[s], self.name, now) for s in symbols if s in self._quotes}

    def _answer(self) -> None:
        if self.unreachable:
            raise VenueUnreachableError("the fixed prices are switched off")
