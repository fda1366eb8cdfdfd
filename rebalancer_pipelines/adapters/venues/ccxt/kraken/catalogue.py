"""What Kraken lists: pairs with their rules, and the names behind which it hides currencies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from rebalancer_pipelines.domain.market import Market, MarketStatus
from rebalancer_pipelines.domain.values import ONE, ZERO, Currency

if TYPE_CHECKING:
    import ccxt

_FORMS = frozenset({"F", "S", "B", "M", "HOLD"})
"""Suffixes of the forms of a currency: rewards (spendable), staked, yield-bearing, opt-in rewards, on hold."""

_BONDED = re.compile(r"(.+?)[0-9]{2}")
"""A currency with the days that it is bonded for: DOT28."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A market, the id of its pair in requests and answers, and the other names that answers have for it."""

    pair: str
    names: frozenset[str]
    market: Market


@dataclass(frozen=True, slots=True)
class Form:
    """A currency, and the suffix of the form in which Kraken keeps it; None is the plain one."""

    currency: Currency
    suffix: str | None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Kraken's markets by symbol, and its currencies' codes by the id of the asset."""

    listings: Mapping[str, Listing]
    codes: Mapping[str, str]

    def form_of(self, asset: str) -> Form:
        """The currency behind an asset's id. One that is unknown, or in an unknown form, stands for itself."""
        stem, dot, suffix = asset.partition(".")
        bonded = _BONDED.fullmatch(stem)
        if suffix == "S" and bonded and stem not in self.codes:
            stem = bonded[1]
        code = self.codes.get(stem, stem)
        if dot and suffix not in _FORMS:
            return Form(Currency(f"{code}.{suffix}"), None)
        return Form(Currency(code), suffix or None)


def read_catalogue(exchange: ccxt.Exchange) -> Catalogue:
    """Load assets and pairs afresh, by two requests. Raises whatever ccxt raises for an answer that is none, and
    `ValueError` for one without assets.

    ccxt knows which currency hides behind `XXBT`; every number is read from Kraken's own text: on its way through one
    of ccxt's floats it would no longer be what Kraken said.
    """
    # ccxt keeps markets for ever unless told to reload; their status and minimums would go stale.
    entries = exchange.load_markets(reload=True)
    currencies: Mapping[str, Any] = exchange.currencies or {}
    decimals = _decimals_of(currencies)
    if not decimals:
        # Without its list of assets ccxt makes up currencies from the pairs, and orders could be finer than they are.
        raise ValueError("kraken answered without its assets")
    found = (_listing(entry, decimals) for entry in entries.values())
    codes = {currency["id"]: code for code, currency in currencies.items()} | dict(exchange.commonCurrencies)
    return Catalogue({listing.market.symbol: listing for listing in found if listing}, codes)


def _listing(entry: Mapping[str, Any], decimals: Mapping[str, int]) -> Listing | None:
    """Read ccxt's entry of a pair; None for what is no spot market, or lacks a rule that orders must keep."""
    base, quote, pair = entry["base"], entry["quote"], entry["info"]
    if entry["symbol"] != f"{base}/{quote}":
        return None
    try:
        tick = positive_number(pair.get("tick_size")) or ONE.scaleb(-int(pair["pair_decimals"]))
        # An amount cannot be finer than the currency itself, whatever its pair says.
        lot_decimals = min(int(pair["lot_decimals"]), decimals[base])
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
    return Listing(entry["id"], _names(entry["id"], pair), market)


def _names(pair_id: str, pair: Mapping[str, Any]) -> frozenset[str]:
    given = (pair_id, pair.get("altname"), pair.get("wsname"))
    return frozenset(name for name in given if isinstance(name, str))


def positive_number(text: Any) -> Decimal | None:
    """A finite number above zero exactly as Kraken wrote it. Anything but text is a float's or nobody's word."""
    if not isinstance(text, str):
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and number > ZERO else None


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
