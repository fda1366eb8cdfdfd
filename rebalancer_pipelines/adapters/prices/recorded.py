"""Prices of the recorded market. Everything they appear in says that they are a recording."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from decimal import Decimal

from rebalancer_pipelines.adapters.prices.recording import Bar, load_recording
from rebalancer_pipelines.application.ports import Clock
from rebalancer_pipelines.domain.market import Market, PriceMark
from rebalancer_pipelines.domain.valuation import market_symbol
from rebalancer_pipelines.domain.values import EXACT, ONE, Currency, ceil_to, floor_to

NAME = "recorded"
_HALF_SPREAD = Decimal("0.0005")
_EUR = Currency("EUR")
_LOT = Decimal("0.00000001")
_COST_MINIMUM = Decimal("0.45")

_RULES = {
    # Kraken's shapes: price increment, smallest order in units of base.
    "BTC": (Decimal("0.1"), Decimal("0.00005")),
    "EOS": (Decimal("0.0001"), Decimal(1)),
    "ETH": (Decimal("0.01"), Decimal("0.001")),
    "LTC": (Decimal("0.01"), Decimal("0.04")),
    "XRP": (Decimal("0.00001"), Decimal(2)),
}

MARKETS: Mapping[str, Market] = {
    market_symbol(Currency(base), _EUR): Market(
        symbol=market_symbol(Currency(base), _EUR),
        base_currency=Currency(base),
        quote_currency=_EUR,
        price_increment=increment,
        size_increment=_LOT,
        min_amount=smallest,
        min_notional=_COST_MINIMUM,
    )
    for base, (increment, smallest) in _RULES.items()
}


class RecordedPrices:
    """A price source that plays the recording. `moment` turns the present into a moment of the recording."""

    name = NAME

    def __init__(self, clock: Clock, moment: Callable[[datetime], datetime]) -> None:
        """Play at the pace of `moment`."""
        self._clock = clock
        self._moment = moment

    def markets(self) -> Mapping[str, Market]:
        """The five recorded markets, with Kraken's rules."""
        return MARKETS

    def quotes(self, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """Bid and ask around the last closed hour's price; a market in a gap of the recording is absent."""
        now = self._clock.now()
        marks: dict[str, PriceMark] = {}
        for symbol in symbols:
            market, bar = MARKETS.get(symbol), self._bar(symbol, now)
            if market is not None and bar is not None:
                marks[symbol] = _mark(market, bar, now)
        return marks

    def traded_value(self, symbol: str) -> Decimal | None:
        """What was traded in the last closed hour, in quote currency; None where nothing is recorded."""
        bar = self._bar(symbol, self._clock.now())
        return EXACT.multiply(bar.volume, bar.close) if bar else None

    def _bar(self, symbol: str, now: datetime) -> Bar | None:
        market = MARKETS.get(symbol)
        return load_recording().last_closed_bar(market.base_currency, self._moment(now)) if market else None


def _mark(market: Market, bar: Bar, now: datetime) -> PriceMark:
    return PriceMark(
        symbol=market.symbol,
        bid=floor_to(EXACT.multiply(bar.close, ONE - _HALF_SPREAD), market.price_increment),
        ask=ceil_to(EXACT.multiply(bar.close, ONE + _HALF_SPREAD), market.price_increment),
        source=NAME,
        observed_at=now,
        recorded_at=bar.closed_at,
    )
