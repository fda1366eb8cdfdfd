"""An account at Kraken behind the `Venue` port."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from rebalancer_pipelines.adapters.prices.live import LivePrices
from rebalancer_pipelines.adapters.venues.ccxt.kraken.explanations import malformed
from rebalancer_pipelines.adapters.venues.ccxt.kraken.holdings import read_holdings
from rebalancer_pipelines.adapters.venues.ccxt.kraken.ledger import movement_of, read_lines
from rebalancer_pipelines.adapters.venues.ccxt.kraken.order_desk import OrderDesk
from rebalancer_pipelines.adapters.venues.ccxt.kraken.order_lookup import OrderLookup
from rebalancer_pipelines.adapters.venues.ccxt.kraken.permissions import read_permissions
from rebalancer_pipelines.adapters.venues.ccxt.kraken.private_api import PrivateApi
from rebalancer_pipelines.adapters.venues.ccxt.kraken.reply import MalformedReplyError, amount, table
from rebalancer_pipelines.adapters.venues.ccxt.venue_time import VenueTime
from rebalancer_pipelines.application.ports import (
    Acknowledgement,
    Clearance,
    Clock,
    KeyPermissions,
    Movement,
    OrderReference,
    OrderTicket,
    VenueOrder,
)
from rebalancer_pipelines.domain.account_settings import AccountSettings
from rebalancer_pipelines.domain.market import FeeSchedule, Market, PriceMark
from rebalancer_pipelines.domain.portfolio import Holding
from rebalancer_pipelines.domain.values import EXACT, HUNDRED, ZERO, Currency

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class KrakenVenue:
    """One account. Orders are sent once and never again; everything else is read as Kraken wrote it."""

    def __init__(self, prices: LivePrices, api: PrivateApi, clock: Clock, settings: AccountSettings) -> None:
        self._prices = prices
        self._public = prices.public
        self._api = api
        self._settings = settings
        self._lookup = OrderLookup(api, self._public.names)
        self._desk = OrderDesk(self._public, api, clock, not_after=settings.not_after)

    @property
    def price_source(self) -> str:
        """`live (kraken)`."""
        return self._prices.name

    @property
    def visibility_lag(self) -> timedelta:
        """The account's `hold`: Kraken publishes no bound."""
        return self._settings.hold

    @property
    def time_spent(self) -> VenueTime:
        """Where this venue's time went so far."""
        return VenueTime(
            waited=self._api.time_waited + self._public.time_waited,
            called=self._api.time_called + self._public.time_called,
        )

    def clock_skew(self) -> timedelta:
        """How far our clock is from Kraken's, as far as whole seconds prove it; known for a minute."""
        return self._public.clock_skew()

    def key_permissions(self) -> KeyPermissions:
        """What the key may do, in Kraken's words."""
        return self._api.read_as("key permissions", "GetApiKeyInfo", {}, read_permissions)

    def markets(self) -> Mapping[str, Market]:
        """All spot markets, at most a minute old."""
        return self._prices.markets()

    def prices(self, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """Best bid and ask; a market without a quote is absent."""
        return self._prices.quotes(symbols)

    def fees(self, symbols: Collection[str]) -> FeeSchedule:
        """The highest fees that the account's trading volume earns on any of these markets."""
        listings = self._public.names().listings
        pairs = sorted({listings[symbol].pair for symbol in symbols if symbol in listings})
        if not pairs:
            return FeeSchedule(maker=ZERO, taker=ZERO)
        return self._api.read_as(
            "fees", "TradeVolume", {"pair": ",".join(pairs)}, lambda result: _worst_fees(result, pairs)
        )

    def balances(self) -> Mapping[Currency, Holding]:
        """Everything the account holds, by currency, whatever its form."""
        names = self._public.names()
        return self._api.read_as("balances", "BalanceEx", {}, lambda result: read_holdings(result, names))

    def movements(self, since: datetime) -> Sequence[Movement]:
        """Kraken's ledger from `since` on, oldest first."""
        names = self._public.names()
        # Kraken reads whole seconds and leaves the first one out.
        start = (since - _EPOCH) // timedelta(seconds=1) - 1
        entries = self._api.pages("ledger", "Ledgers", "ledger", {"start": str(start)})
        try:
            lines = read_lines(entries, names)
        except MalformedReplyError as error:
            raise malformed("ledger", str(error)) from None
        return [movement_of(line) for line in lines if line.written_at >= since]

    def find(self, references: Sequence[OrderReference]) -> Mapping[str, VenueOrder]:
        """What became of orders, with their fills as the ledger booked them."""
        return self._lookup.find(references)

    def submit(self, ticket: OrderTicket, clearance: Clearance) -> Acknowledgement:
        """Send one order, once. What `clearance` raises besides `DeniedError` is raised; nothing was sent then."""
        return self._desk.submit(ticket, clearance)

    def cancel(self, reference: OrderReference) -> None:
        """Ask Kraken to cancel what is left of an order; one that is gone already is no failure."""
        self._desk.cancel(reference)


def _worst_fees(result: Mapping[str, Any], pairs: Sequence[str]) -> FeeSchedule:
    """The highest rates among the pairs. A pair without maker fees has one rate for both."""
    takers, makers = table(result, "fees"), result.get("fees_maker") or {}
    taker = [_rate(takers, pair) for pair in pairs]
    maker = [_rate(makers if pair in makers else takers, pair) for pair in pairs]
    return FeeSchedule(maker=max(maker), taker=max(taker))


def _rate(fees: Mapping[str, Any], pair: str) -> Decimal:
    """Kraken tells percent."""
    return EXACT.divide(amount(table(fees, pair), "fee"), HUNDRED)
