"""Prices of today from an exchange's public ticker, without a key.

Numbers are read from the exchange's own text: on their way through a float they would no longer be what it said.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from rebalancer_pipelines.application.ports import Clock
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.market import Market, MarketStatus, PriceMark
from rebalancer_pipelines.domain.values import ZERO, Currency

if TYPE_CHECKING:
    import ccxt

_TIMEOUT_MS = 10_000


class LivePrices:
    """A price source over Kraken's public API. `endpoint` is another address of the same API."""

    def __init__(self, clock: Clock, *, endpoint: str | None = None) -> None:
        """Read from Kraken; nothing is opened before the first question."""
        self._clock = clock
        self._endpoint = endpoint
        self._exchange: ccxt.kraken | None = None
        self._markets: Mapping[str, Market] | None = None

    @property
    def name(self) -> str:
        """`live (kraken)`."""
        return "live (kraken)"

    def markets(self) -> Mapping[str, Market]:
        """All spot markets with their rules, read once per source."""
        if self._markets is None:
            listed = self._ask(lambda exchange: exchange.fetch_markets())
            self._markets = {
                market.symbol: market for entry in listed if entry.get("spot") and (market := _market(entry))
            }
        return self._markets

    def quotes(self, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """Best bid and ask; a market without a sound number for both is absent."""
        known = self.markets()
        # One unknown or inactive pair would fail the whole request.
        asked = [symbol for symbol in symbols if symbol in known and known[symbol].status is not MarketStatus.DELISTED]
        if not asked:
            return {}
        pairs = {self._pair(symbol): symbol for symbol in asked}
        answer = self._ask(lambda exchange: exchange.public_get_ticker({"pair": ",".join(pairs)}))
        result = answer.get("result") if isinstance(answer, dict) else None
        if not isinstance(result, dict):
            raise VenueUnreachableError("kraken answered without tickers; try again")
        now = self._clock.now()
        return {
            symbol: PriceMark(symbol, bid, ask, self.name, now)
            for pair, symbol in pairs.items()
            if (ticker := result.get(pair))
            and (bid := _price(ticker.get("b"))) is not None
            and (ask := _price(ticker.get("a"))) is not None
        }

    def traded_value(self, symbol: str) -> Decimal | None:
        """Not asked for: slippage falls back on a configured depth."""
        del symbol
        return None

    def _pair(self, symbol: str) -> str:
        return self._connected().market(symbol)["id"]

    def _ask(self, question: Any) -> Any:
        import ccxt  # noqa: PLC0415

        try:
            return question(self._connected())
        except ccxt.BaseError as error:
            raise VenueUnreachableError(
                f"kraken cannot be read ({type(error).__name__}); check the network and try again"
            ) from None

    def _connected(self) -> ccxt.kraken:
        if self._exchange is None:
            import ccxt  # noqa: PLC0415 - two and a half seconds that only live prices pay for

            self._exchange = ccxt.kraken({"enableRateLimit": True, "timeout": _TIMEOUT_MS, "maxRetriesOnFailure": 0})
            if self._endpoint is not None:
                self._exchange.urls["api"] = {"public": self._endpoint, "private": self._endpoint}
        return self._exchange


def _market(entry: Mapping[str, Any]) -> Market | None:
    info = entry["info"]
    try:
        return Market(
            symbol=entry["symbol"],
            base_currency=Currency(entry["base"]),
            quote_currency=Currency(entry["quote"]),
            price_increment=Decimal(info.get("tick_size") or Decimal(1).scaleb(-int(info["pair_decimals"]))),
            size_increment=Decimal(1).scaleb(-int(info["lot_decimals"])),
            min_amount=Decimal(info["ordermin"]),
            min_notional=Decimal(info.get("costmin") or 0),
            status=MarketStatus(info.get("status", "online")),
        )
    except (KeyError, ValueError, InvalidOperation, TypeError):
        # A market whose rules cannot be read is one that nothing is traded on.
        return None


def _price(level: Any) -> Decimal | None:
    try:
        price = Decimal(level[0])
    except (InvalidOperation, TypeError, IndexError, ValueError, KeyError):
        return None
    return price if price.is_finite() and price > ZERO else None
