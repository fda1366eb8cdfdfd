"""Markets with their rules, prices as they were observed, and what a venue charges."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.values import EXACT, HUNDRED, ZERO, Currency, plain

_HALF = Decimal("0.5")


class MarketStatus(StrEnum):
    """Trading status of a market, in Kraken's words."""

    ONLINE = "online"
    CANCEL_ONLY = "cancel_only"
    POST_ONLY = "post_only"
    LIMIT_ONLY = "limit_only"
    REDUCE_ONLY = "reduce_only"
    DELISTED = "delisted"


@dataclass(frozen=True, slots=True)
class Market:
    """A spot market and the rules that its venue holds every order to.

    `price_increment` is in quote currency, `size_increment` and `min_amount` are in base currency,
    `min_notional` (Kraken's *costmin*) is in quote currency.
    """

    symbol: str
    base_currency: Currency
    quote_currency: Currency
    price_increment: Decimal
    size_increment: Decimal
    min_amount: Decimal
    min_notional: Decimal
    status: MarketStatus = MarketStatus.ONLINE

    def takes(self, quantity: Decimal, price: Decimal) -> bool:
        """Whether an order of this size at this price reaches the venue's minimum."""
        return quantity >= self.min_amount and EXACT.multiply(quantity, price) >= self.min_notional

    @property
    def minimum(self) -> str:
        """The venue's minimum in words: what an order must reach in both currencies."""
        return f"{plain(self.min_amount)} {self.base_currency} or {plain(self.min_notional)} {self.quote_currency}"


@dataclass(frozen=True, slots=True)
class PriceMark:
    """What a market cost at a moment: the best bid and ask in quote currency per unit of base.

    `observed_at` is when the venue told us; `recorded_at` is set when the price comes from a recording and says
    which moment of the recording it shows. The constructor takes what it is given; `check_price` judges it.
    """

    symbol: str
    bid: Decimal
    ask: Decimal
    source: str
    observed_at: datetime
    recorded_at: datetime | None = None

    @property
    def mid(self) -> Decimal:
        """Halfway between bid and ask: the price at which holdings are valued."""
        # A product is exact at once; a division first looks for digits that are not there.
        return EXACT.multiply(EXACT.add(self.bid, self.ask), _HALF)

    @property
    def spread_percent(self) -> Decimal:
        """Distance between ask and bid in percent of mid."""
        return EXACT.divide(EXACT.multiply(EXACT.subtract(self.ask, self.bid), HUNDRED), self.mid)


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """Fees as a fraction of notional (0.004 = 0.4 %), taken in quote currency."""

    maker: Decimal
    taker: Decimal


@dataclass(frozen=True, slots=True)
class PriceLimits:
    """How old and how wide a quote may be before nothing is traded on it."""

    max_age: timedelta = timedelta(seconds=15)
    max_spread_percent: Decimal = Decimal(2)


def check_quote(mark: PriceMark | None, symbol: str) -> PriceMark:
    """Return a quote that may be reckoned with. Raises `DeniedError` when it is missing, not positive or crossed.

    A missing price is never zero and never drops a currency: the whole rebalance is refused instead.
    """
    if mark is None:
        raise DeniedError(
            DenialReason.PRICE_INVALID,
            f"no price for {symbol}; nothing is traded until its price source has one again",
        )
    for side, price in (("bid", mark.bid), ("ask", mark.ask)):
        if not price.is_finite() or price <= ZERO:
            raise DeniedError(DenialReason.PRICE_INVALID, f"{side} of {symbol} is {price}; a price must be above 0")
    if mark.bid > mark.ask:
        raise DeniedError(
            DenialReason.PRICE_INVALID,
            f"{symbol} is crossed: bid {plain(mark.bid)} above ask {plain(mark.ask)}; wait for a sound quote",
        )
    return mark


def check_price(mark: PriceMark | None, symbol: str, *, now: datetime, limits: PriceLimits) -> None:
    """Raise `DeniedError` when a quote is missing, not positive, crossed, too wide or too old to trade on."""
    mark = check_quote(mark, symbol)
    if mark.spread_percent > limits.max_spread_percent:
        raise DeniedError(
            DenialReason.PRICE_INVALID,
            f"spread of {symbol} is {mark.spread_percent:.2f} %, limit {limits.max_spread_percent} %; "
            "wait for a liquid market",
        )
    age = now - mark.observed_at
    if age > limits.max_age:
        raise DeniedError(
            DenialReason.PRICE_STALE,
            f"price of {symbol} is {age.total_seconds():.0f} s old, limit {limits.max_age.total_seconds():.0f} s; "
            "run again to read it afresh",
        )
