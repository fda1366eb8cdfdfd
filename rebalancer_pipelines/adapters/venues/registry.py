"""The venues and price sources that this program knows. A new one is one new file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal

from sqlalchemy import Engine

from rebalancer_pipelines.adapters.prices.live import LivePrices
from rebalancer_pipelines.adapters.prices.recorded import MARKETS, RecordedPrices
from rebalancer_pipelines.adapters.prices.recorded_clock import read_clock
from rebalancer_pipelines.adapters.venues.paper.balances import lock_account, move_balances
from rebalancer_pipelines.adapters.venues.paper.venue import PaperVenue
from rebalancer_pipelines.application.ports import Clock, PriceSource, Venue
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.values import ZERO, Currency


def _recorded(engine: Engine, clock: Clock) -> PriceSource:
    return RecordedPrices(clock, lambda now: read_clock(engine, now).moment(now))


def _live(_engine: Engine, clock: Clock) -> PriceSource:
    return LivePrices(clock)


def _paper(engine: Engine, clock: Clock, account: Account, prices: PriceSource) -> Venue:
    traded_value = prices.traded_value if isinstance(prices, RecordedPrices) else None
    return PaperVenue(engine, account.id, prices, clock, traded_value=traded_value)


_PRICE_SOURCES: Mapping[str, Callable[[Engine, Clock], PriceSource]] = {
    "recorded": _recorded,
    "live": _live,
}

_VENUES: Mapping[str, Callable[[Engine, Clock, Account, PriceSource], Venue]] = {
    "paper": _paper,
}


class VenueRegistry:
    """Connects accounts to their venues. Price sources are shared: they keep connections and market rules."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._price_sources: dict[str, PriceSource] = {}

    def connect(self, account: Account) -> Venue:
        """The account at its venue. Raises `InvalidInputError` when venue or price source is unknown."""
        self.check(account.venue, account.price_source)
        return _VENUES[account.venue](self._engine, self._clock, account, self._prices(account.price_source))

    def check(self, venue: str, price_source: str, deposits: Collection[Currency] = ()) -> None:
        """Raise `InvalidInputError` unless an account can be opened there with these prices and deposits."""
        if venue not in _VENUES:
            raise InvalidInputError("venue", venue, _remedy(venue))
        if price_source not in _PRICE_SOURCES:
            raise InvalidInputError("prices", price_source, f"is not a price source; use {' or '.join(_PRICE_SOURCES)}")
        if price_source == "recorded":
            _check_recorded(deposits)

    def fund(self, account: Account, deposits: Mapping[Currency, Decimal]) -> None:
        """Put play money on a paper account, all of it or none.

        Raises `InvalidInputError` for another venue, or for an amount that is not above zero.
        """
        if account.venue != "paper":
            raise InvalidInputError("deposit", None, "only a paper account takes play money; leave it out")
        for currency, amount in deposits.items():
            if not amount.is_finite() or amount <= ZERO:
                raise InvalidInputError(f"deposit.{currency}", str(amount), "must be a number greater than 0")
        with self._engine.begin() as connection:
            lock_account(connection, account.id)
            move_balances(connection, account.id, deposits)

    def _prices(self, name: str) -> PriceSource:
        if name not in self._price_sources:
            self._price_sources[name] = _PRICE_SOURCES[name](self._engine, self._clock)
        return self._price_sources[name]


def _check_recorded(deposits: Collection[Currency]) -> None:
    """A currency that the recording does not know could never be traded; live markets are only known once asked."""
    known = {c for market in MARKETS.values() for c in (market.base_currency, market.quote_currency)}
    for currency in deposits:
        if currency not in known:
            raise InvalidInputError(f"deposit.{currency}", None, f"is not recorded; use {', '.join(sorted(known))}")


def _remedy(venue: str) -> str:
    # Imported on the way to an error only: it takes seconds.
    import ccxt  # noqa: PLC0415

    if venue in ccxt.exchanges:
        return (
            "trades real money, which this version does not do yet; use --venue paper --prices live "
            "to trade play money at real prices"
        )
    return f"is not a venue; use {' or '.join(_VENUES)}"
