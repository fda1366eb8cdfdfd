"""Prices of the recorded market. Everything they appear in says that they are a recording."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from decimal import Decimal

from rebalancer_pipelines.adapters.prices.recorded_bars import (
    BAR_LENGTH,
    FIRST_CLOSE,
    LAST_CLOSE,
    Bar,
    bar_opened_at,
)
from rebalancer_pipelines.application.ports import Clock
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.market import Market, PriceMark
from rebalancer_pipelines.domain.valuation import market_symbol
from rebalancer_pipelines.domain.values import EXACT, ONE, Currency, ceil_to, floor_to

_EUR = Currency("EUR")
_SPREAD = Decimal("0.001")


def _market(base: str, price_increment: str, min_amount: str) -> Market:
    return Market(
        symbol=market_symbol(Currency(base), _EUR),
        base_currency=Currency(base),
        quote_currency=_EUR,
        price_increment=Decimal(price_increment),
        size_increment=Decimal("0.00000001"),
        min_amount=Decimal(min_amount),
        min_notional=Decimal("0.45"),
    )


MARKETS: Mapping[str, Market] = {
    market.symbol: market
    for market in (
        _market("BTC", "0.1", "0.00005"),
        _market("ETH", "0.01", "0.001"),
        _market("LTC", "0.01", "0.04"),
        _market("XRP", "0.00001", "2"),
        _market("EOS", "0.0001", "1"),
    )
}
"""The recorded markets with the rules that Kraken gives theirs."""


class RecordedPrices:
    """A price source that plays the recording; `moment` turns the present into a moment of it.

    A price is the close of the last hour that had ended by then, so nobody looks ahead; where the recording lacks that
    hour, the market has no price. It is quoted with a `spread` (bid to ask, as a fraction of the price) and rounded
    outward to the market's price increment. `observed_at` is the present, `recorded_at` the close of the bar.
    """

    def __init__(self, clock: Clock, moment: Callable[[datetime], datetime], *, spread: Decimal = _SPREAD) -> None:
        self._clock = clock
        self._moment = moment
        self._half_spread = EXACT.divide(spread, Decimal(2))

    @property
    def name(self) -> str:
        """`recorded`."""
        return "recorded"

    def markets(self) -> Mapping[str, Market]:
        """The five recorded markets, all in EUR."""
        return MARKETS

    def quotes(self, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """Quotes of the moment that is shown now.

        Raises `VenueUnreachableError` before the recording's start and past its end: it never wraps around.
        """
        now = self._clock.now()
        last_hour = _last_close(self._moment(now)) - BAR_LENGTH
        marks: dict[str, PriceMark] = {}
        for symbol in symbols:
            market = MARKETS.get(symbol)
            bar = bar_opened_at(market.base_currency, last_hour) if market else None
            if market and bar:
                marks[symbol] = self._quote(market, bar, now)
        return marks

    def traded_value(self, mark: PriceMark) -> Decimal | None:
        """What was traded in the hour that `mark` quotes, in quote currency; None when it is no recorded quote."""
        market = MARKETS.get(mark.symbol)
        if market is None or mark.recorded_at is None:
            return None
        bar = bar_opened_at(market.base_currency, mark.recorded_at - BAR_LENGTH)
        return EXACT.multiply(bar.volume, bar.close) if bar else None

    def _quote(self, market: Market, bar: Bar, now: datetime) -> PriceMark:
        tick = market.price_increment
        bid = floor_to(EXACT.multiply(bar.close, EXACT.subtract(ONE, self._half_spread)), tick)
        ask = ceil_to(EXACT.multiply(bar.close, EXACT.add(ONE, self._half_spread)), tick)
        return PriceMark(
            symbol=market.symbol,
            bid=bid,
            # A book is never locked: without a spread, a close on the grid still leaves one increment.
            ask=max(ask, EXACT.add(bid, tick)),
            source=self.name,
            observed_at=now,
            recorded_at=bar.closed_at,
        )


def _last_close(moment: datetime) -> datetime:
    """The full hour at or before a moment of the recording. Raises `VenueUnreachableError` outside of it."""
    hour = moment.replace(minute=0, second=0, microsecond=0)
    if hour < FIRST_CLOSE:
        raise VenueUnreachableError(f"the recorded market has no prices before {FIRST_CLOSE:%Y-%m-%d %H:%M} UTC")
    if hour > LAST_CLOSE:
        raise VenueUnreachableError(
            f"the recorded market ended at {LAST_CLOSE:%Y-%m-%d %H:%M} UTC and has no prices after it; "
            "use an account with live prices, or play it again in a fresh data directory"
        )
    return hour
