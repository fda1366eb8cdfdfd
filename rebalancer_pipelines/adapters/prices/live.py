"""Kraken's public prices and market rules, without a key.

ccxt carries the requests and knows which currency hides behind `XXBT`; every number is read from Kraken's own text:
on its way through one of ccxt's floats it would no longer be what Kraken said.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from rebalancer_pipelines.application.ports import Clock
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.market import Market, MarketStatus, PriceMark
from rebalancer_pipelines.domain.values import ONE, ZERO, Currency

if TYPE_CHECKING:
    import ccxt

_RULES_MAX_AGE = timedelta(minutes=1)
_TRADED = frozenset(MarketStatus) - {MarketStatus.CANCEL_ONLY, MarketStatus.DELISTED}


@dataclass(frozen=True, slots=True)
class _Listing:
    """A market, and the name of its pair in Kraken's requests and answers."""

    pair: str
    market: Market


class LivePrices:
    """A price source over Kraken's public API. Market rules are read again once they are a minute old.

    `endpoint` is another address of the same API. `timeout` holds for each read of the socket; `spacing` is the least
    time between two requests, as Kraken allows about one a second. Nothing is ever asked twice.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        endpoint: str | None = None,
        timeout: timedelta = timedelta(seconds=8),
        spacing: timedelta = timedelta(seconds=1),
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self._timeout = timeout
        self._spacing = spacing
        self._client: ccxt.kraken | None = None
        self._listings: Mapping[str, _Listing] = {}
        self._listed_at: datetime | None = None

    @property
    def name(self) -> str:
        """`live (kraken)`."""
        return "live (kraken)"

    def markets(self) -> Mapping[str, Market]:
        """Kraken's spot markets. Raises `VenueUnreachableError`, also for an answer without any."""
        return {symbol: listing.market for symbol, listing in self._fresh_listings().items()}

    def quotes(self, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """Best bid and ask. A market that is unknown, closed or quoted at no usable price is absent.

        Raises `VenueUnreachableError`, also when Kraken answers none of the markets that it lists itself.
        """
        listings = self._fresh_listings()
        # One pair that Kraken does not know would make it refuse the whole request.
        wanted = [
            listings[symbol] for symbol in symbols if symbol in listings and listings[symbol].market.status in _TRADED
        ]
        if not wanted:
            return {}
        with self._asking("prices") as client:
            answer = client.publicGetTicker({"pair": ",".join(listing.pair for listing in wanted)})
            tickers = _result(answer)
        if not any(listing.pair in tickers for listing in wanted):
            raise VenueUnreachableError("kraken answered without any of the prices asked for; try again")
        now = self._clock.now()
        marks = (_mark(listing.market, tickers.get(listing.pair), self.name, now) for listing in wanted)
        return {mark.symbol: mark for mark in marks if mark}

    def _fresh_listings(self) -> Mapping[str, _Listing]:
        now = self._clock.now()
        if self._listed_at is None or not timedelta(0) <= now - self._listed_at < _RULES_MAX_AGE:
            with self._asking("markets") as client:
                # ccxt keeps markets for ever unless told to reload; their status and minimums would go stale.
                entries = client.load_markets(reload=True)
                decimals = _decimals_of(client.currencies or {})
            found = (_listing(entry, decimals) for entry in entries.values())
            listings = {listing.market.symbol: listing for listing in found if listing}
            if not listings:
                raise VenueUnreachableError("kraken answered without any market; try again")
            self._listings, self._listed_at = listings, now
        return self._listings

    @contextmanager
    def _asking(self, what: str) -> Generator[ccxt.kraken]:
        """Turn whatever goes wrong into one line.

        ccxt raises its own errors for the network and for Kraken's refusals, but a bare TypeError, KeyError or
        ValueError for an answer that it does not expect, such as a proxy's page in HTML with status 200.
        """
        try:
            yield self._connected()
        except Exception as error:
            # The cause may be what is known of the markets, such as a pair that was delisted a moment ago.
            self._listed_at = None
            cause = " ".join(str(error).split())[:160]
            raise VenueUnreachableError(
                f"kraken's {what} cannot be read ({type(error).__name__}: {cause}); check the network and try again"
            ) from error

    def _connected(self) -> ccxt.kraken:
        if self._client is None:
            import ccxt  # noqa: PLC0415 - two and a half seconds that only live prices pay for

            self._client = ccxt.kraken(
                {
                    "timeout": int(self._timeout.total_seconds() * 1000),
                    "rateLimit": self._spacing.total_seconds() * 1000,
                    "options": {"maxRetriesOnFailure": 0},
                    "urls": {"api": {"public": self._endpoint}} if self._endpoint else {},
                }
            )
        return self._client


def _listing(entry: Mapping[str, Any], decimals: Mapping[str, int]) -> _Listing | None:
    """Read ccxt's entry of a pair; None for what is no spot market, or lacks a rule that orders must keep."""
    base, quote, pair = entry["base"], entry["quote"], entry["info"]
    if entry["symbol"] != f"{base}/{quote}":
        return None
    try:
        tick = _positive(pair.get("tick_size")) or ONE.scaleb(-int(pair["pair_decimals"]))
        # An amount cannot be finer than the currency itself, whatever its pair says.
        lot_decimals = min(int(pair["lot_decimals"]), decimals.get(base, 18))
        market = Market(
            symbol=entry["symbol"],
            base_currency=Currency(base),
            quote_currency=Currency(quote),
            price_increment=tick,
            size_increment=ONE.scaleb(-lot_decimals),
            min_amount=Decimal(pair["ordermin"]),
            min_notional=Decimal(pair.get("costmin", "0")),
            status=_status(pair.get("status")),
        )
    except (KeyError, TypeError, ValueError, InvalidOperation):
        return None
    return _Listing(entry["id"], market)


def _decimals_of(currencies: Mapping[str, Any]) -> dict[str, int]:
    return {
        code: int(decimals)
        for code, currency in currencies.items()
        if (decimals := (currency.get("info") or {}).get("decimals")) is not None
    }


def _status(text: Any) -> MarketStatus:
    """A status that we do not know is one in which nothing is traded."""
    try:
        return MarketStatus(text)
    except ValueError:
        return MarketStatus.CANCEL_ONLY


def _result(answer: Any) -> Mapping[str, Any]:
    result = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(result, dict):
        raise TypeError("the answer is not Kraken's JSON")
    return result


def _mark(market: Market, ticker: Any, source: str, now: datetime) -> PriceMark | None:
    bid, ask = _price(ticker, "b"), _price(ticker, "a")
    return PriceMark(market.symbol, bid, ask, source, now) if bid and ask else None


def _price(ticker: Any, side: str) -> Decimal | None:
    """The price in `a` (ask) or `b` (bid), each a list that starts with the price as text."""
    try:
        return _positive(ticker[side][0])
    except (KeyError, IndexError, TypeError):
        return None


def _positive(text: Any) -> Decimal | None:
    """A finite number above zero exactly as Kraken wrote it. Anything but text is a float's or nobody's word."""
    if not isinstance(text, str):
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and number > ZERO else None
