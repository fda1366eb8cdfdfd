"""The venues and price sources that this program knows. A new one is one new file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from sqlalchemy import Engine

from rebalancer_pipelines.adapters.credentials import CredentialStore
from rebalancer_pipelines.adapters.prices.live import LivePrices
from rebalancer_pipelines.adapters.prices.recorded import MARKETS, RecordedPrices
from rebalancer_pipelines.adapters.prices.recorded_clock import read_clock
from rebalancer_pipelines.adapters.venues.ccxt.client import Credentials
from rebalancer_pipelines.adapters.venues.ccxt.endpoint import check_endpoint
from rebalancer_pipelines.adapters.venues.ccxt.kraken.connect import connect_kraken
from rebalancer_pipelines.adapters.venues.ccxt.requirements import refusal_of
from rebalancer_pipelines.adapters.venues.paper.balances import lock_account, move_balances
from rebalancer_pipelines.adapters.venues.paper.venue import PaperVenue
from rebalancer_pipelines.application.ports import Clock, PriceSource, Venue
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.portfolio import PAPER_VENUE, Account, CredentialSource
from rebalancer_pipelines.domain.values import ZERO, Currency


def _recorded(engine: Engine, clock: Clock) -> PriceSource:
    return RecordedPrices(clock, lambda now: read_clock(engine, now).moment(now))


def _live(_engine: Engine, clock: Clock) -> PriceSource:
    return LivePrices(clock)


_PRICE_SOURCES: Mapping[str, Callable[[Engine, Clock], PriceSource]] = {
    "recorded": _recorded,
    "live": _live,
}

_EXCHANGES: Mapping[str, Callable[[Engine, Clock, Account, Credentials], Venue]] = {
    "kraken": connect_kraken,
}
"""Venues where money is real, by their names in ccxt."""

_VENUES = (PAPER_VENUE, *_EXCHANGES)


@dataclass(frozen=True, slots=True)
class _Connected:
    """A venue, and the account as it was when it was connected."""

    account: Account
    venue: Venue

    def serves(self, account: Account) -> bool:
        """Whether the account still connects in the same way."""
        then = self.account
        return (then.venue, then.settings, then.endpoint, then.credentials) == (
            account.venue,
            account.settings,
            account.endpoint,
            account.credentials,
        )


class VenueRegistry:
    """Connects accounts to their venues.

    Connections to exchanges are kept, as they know market rules and hold sockets open; price sources are shared.
    `key_file` opens stored keys; without one there are none.
    """

    def __init__(self, engine: Engine, clock: Clock, *, key_file: Path | None = None) -> None:
        self._engine = engine
        self._clock = clock
        self._credentials = CredentialStore(key_file)
        self._price_sources: dict[str, PriceSource] = {}
        self._connected: dict[UUID, _Connected] = {}

    def connect(self, account: Account) -> Venue:
        """The account at its venue. Raises `InvalidInputError` for an unknown venue or a key that is not to be had."""
        self.check(account.venue, account.price_source, endpoint=account.endpoint, credentials=account.credentials)
        if account.is_paper:
            return self._paper(account)
        known = self._connected.get(account.id)
        if known is None or not known.serves(account):
            credentials = self._credentials.read(_given(account.credentials))
            connect = _EXCHANGES[account.venue]
            known = _Connected(account, connect(self._engine, self._clock, account, credentials))
            self._connected[account.id] = known
        return known.venue

    def check(
        self,
        venue: str,
        price_source: str,
        *,
        deposits: Collection[Currency] = (),
        endpoint: str | None = None,
        credentials: CredentialSource | None = None,
    ) -> None:
        """Raise `InvalidInputError` unless an account can be opened there with these prices and deposits."""
        if venue not in _VENUES:
            raise _unknown(venue)
        if price_source not in _PRICE_SOURCES:
            raise InvalidInputError("prices", price_source, f"is not a price source; use {' or '.join(_PRICE_SOURCES)}")
        if venue == PAPER_VENUE:
            _check_paper(price_source, deposits, endpoint, credentials)
        else:
            _check_exchange(venue, price_source, deposits, endpoint, credentials)

    def key_fingerprint(self, credentials: CredentialSource) -> str:
        """A one-way mark of the key. Raises `InvalidInputError` when the key is not to be had."""
        return self._credentials.fingerprint(credentials)

    def seal(self, credentials: CredentialSource) -> CredentialSource:
        """Read the key now and return it encrypted. Raises `InvalidInputError`."""
        return self._credentials.seal(credentials)

    def fund(self, account: Account, deposits: Mapping[Currency, Decimal]) -> None:
        """Put play money on a paper account, all of it or none.

        Raises `InvalidInputError` for another venue, or for an amount that is not above zero.
        """
        if not account.is_paper:
            raise _takes_no_play_money()
        for currency, amount in deposits.items():
            if not amount.is_finite() or amount <= ZERO:
                raise InvalidInputError(f"deposit.{currency}", str(amount), "must be a number greater than 0")
        with self._engine.begin() as connection:
            lock_account(connection, account.id)
            move_balances(connection, account.id, deposits)

    def _paper(self, account: Account) -> Venue:
        prices = self._prices(account.price_source)
        traded_value = prices.traded_value if isinstance(prices, RecordedPrices) else None
        return PaperVenue(self._engine, account.id, prices, self._clock, traded_value=traded_value)

    def _prices(self, name: str) -> PriceSource:
        if name not in self._price_sources:
            self._price_sources[name] = _PRICE_SOURCES[name](self._engine, self._clock)
        return self._price_sources[name]


def _check_paper(
    price_source: str, deposits: Collection[Currency], endpoint: str | None, credentials: CredentialSource | None
) -> None:
    if endpoint is not None:
        raise InvalidInputError("endpoint", None, "is for real venues; the paper venue has no address, leave it out")
    if credentials is not None:
        raise InvalidInputError("credentials", None, "are for real venues; the paper venue has no key, leave them out")
    if price_source == "recorded":
        _check_recorded(deposits)


def _check_exchange(
    venue: str,
    price_source: str,
    deposits: Collection[Currency],
    endpoint: str | None,
    credentials: CredentialSource | None,
) -> None:
    if price_source != "live":
        raise InvalidInputError("prices", price_source, f"are not those that {venue} trades at; use live")
    if deposits:
        raise _takes_no_play_money()
    if endpoint is not None:
        check_endpoint(endpoint)
    _given(credentials)


def _given(credentials: CredentialSource | None) -> CredentialSource:
    if credentials is None or not (credentials.sealed or (credentials.key_env and credentials.secret_env)):
        raise InvalidInputError(
            "credentials", None, "a real venue needs an API key; name the environment variables of key and secret"
        )
    return credentials


def _check_recorded(deposits: Collection[Currency]) -> None:
    """A currency that the recording does not know could never be traded; live markets are only known once asked."""
    known = {c for market in MARKETS.values() for c in (market.base_currency, market.quote_currency)}
    for currency in deposits:
        if currency not in known:
            raise InvalidInputError(f"deposit.{currency}", None, f"is not recorded; use {', '.join(sorted(known))}")


def _takes_no_play_money() -> InvalidInputError:
    return InvalidInputError("deposit", None, "only a paper account takes play money; leave it out")


def _unknown(venue: str) -> InvalidInputError:
    # Imported on the way to an error only: it takes seconds.
    import ccxt  # noqa: PLC0415

    ways_out = f"use {' or '.join(_VENUES)}"
    return (
        refusal_of(venue, ways_out)
        if venue in ccxt.exchanges
        else InvalidInputError("venue", venue, f"is not a venue; {ways_out}")
    )
