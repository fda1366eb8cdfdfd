"""Venues and their prices: what is sent to them, and what they are understood to say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from rebalancer_pipelines.domain.errors import DeniedError
from rebalancer_pipelines.domain.market import FeeSchedule, Market, PriceMark
from rebalancer_pipelines.domain.order import Fill, OrderSide, OrderState
from rebalancer_pipelines.domain.portfolio import Account, CredentialSource, Holding
from rebalancer_pipelines.domain.values import Currency


class PriceSource(Protocol):
    """Where quotes come from: a recording, or a venue's public ticker."""

    @property
    def name(self) -> str:
        """What people are told the prices are: `recorded`, `live (kraken)`."""
        ...

    def quotes(self, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """Quotes of the markets that have one now; a market without one is absent, never zero or stale.

        Raises `VenueUnreachableError` when the source itself cannot be read.
        """
        ...

    def markets(self) -> Mapping[str, Market]:
        """The markets that the source can quote, with their rules."""
        ...


class RecordedMarket(Protocol):
    """The recorded market at any of its moments, and what trading there costs on paper: what rehearsals go by."""

    def markets(self) -> Mapping[str, Market]:
        """The recorded markets, with their rules."""
        ...

    def fees(self) -> FeeSchedule:
        """What a paper account is charged, on every market."""
        ...

    def quotes(self, symbols: Collection[str], moment: datetime) -> Mapping[str, PriceMark]:
        """Quotes as they were at a moment of the recording; a market without one is absent.

        Raises `VenueUnreachableError` before its start and past its end.
        """
        ...


@dataclass(frozen=True, slots=True)
class OrderTicket:
    """What is sent to a venue: a limit order that fills at once as far as it can and is then cancelled (IOC).

    The venue refuses it when it arrives after `not_after`. `expected_price` is the plan's, for a rehearsal; a venue
    that trades does without it.
    """

    client_order_id: str
    symbol: str
    side: OrderSide
    quantity: Decimal
    limit_price: Decimal
    not_after: datetime
    expected_price: Decimal | None = None


Clearance = Callable[[], None]
"""The last look before an order leaves the program. Raises `DeniedError` when it must not leave after all."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue has the order."""

    venue_order_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The venue certainly does not have the order; `reason` is its word."""

    reason: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """The order never left the program: its clearance was refused."""

    denial: DeniedError


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nobody knows yet whether the venue has the order."""

    reason: str


Acknowledgement = Accepted | Rejected | Withheld | Unclear


@dataclass(frozen=True, slots=True)
class OrderReference:
    """What is known of an order that is looked up.

    `venue_order_id` None: nobody knows whether the venue has it. It was sent no earlier than `sent_after`.
    """

    client_order_id: str
    symbol: str
    side: OrderSide
    quantity: Decimal
    venue_order_id: str | None
    sent_after: datetime


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue reports it.

    `closed_as` is None while it may still trade, and while its fills do not yet add up to what the venue says was
    executed; `awaits_fills` tells the second from the first. `contradiction`: the venue shows an order under our id
    that is not the one we sent, or fills that cannot be its own; a person has to look.
    """

    venue_order_id: str
    client_order_id: str
    fills: tuple[Fill, ...]
    closed_as: OrderState | None
    reason: str | None = None
    awaits_fills: bool = False
    contradiction: str | None = None


class MovementKind(StrEnum):
    """What moved money at a venue.

    A CONVERSION moves it between forms of one currency (staked, rewarded, spendable).
    """

    TRADE = "trade"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    REWARD = "reward"
    CONVERSION = "conversion"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Movement:
    """One line of the venue's own ledger: the balance changed by `amount` - `fee`, both in `currency`.

    `trade_id` is set for a TRADE. `words` is what the venue calls it.
    """

    entry_id: str
    kind: MovementKind
    currency: Currency
    amount: Decimal
    fee: Decimal
    occurred_at: datetime
    words: str
    trade_id: str | None = None


@dataclass(frozen=True, slots=True)
class KeyPermissions:
    """What the key of an account may do. `missing` names what it would need, in the venue's words for it."""

    can_withdraw: bool
    missing: tuple[str, ...] = ()


class Venue(Protocol):
    """An account at an exchange, real or on paper. Every method raises `VenueUnreachableError` when it cannot read."""

    @property
    def price_source(self) -> str:
        """What people are told the prices are."""
        ...

    @property
    def visibility_lag(self) -> timedelta:
        """How long after an order's `not_after` its absence still proves nothing."""
        ...

    def clock_skew(self) -> timedelta:
        """How far our clock is from the venue's, at least; positive when the venue's is ahead."""
        ...

    def key_permissions(self) -> KeyPermissions:
        """What the account's key may do."""
        ...

    def markets(self) -> Mapping[str, Market]:
        """All markets by symbol, read afresh."""
        ...

    def fees(self, symbols: Collection[str]) -> FeeSchedule:
        """What this account pays, at most, on any of these markets."""
        ...

    def prices(self, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """Best bid and ask; a market without a quote is absent."""
        ...

    def balances(self) -> Mapping[Currency, Holding]:
        """Everything the account holds; currencies of which it holds nothing may be absent."""
        ...

    def submit(self, ticket: OrderTicket, clearance: Clearance) -> Acknowledgement:
        """Send one order, once. Never raises for the fate of the order: that is the answer.

        `clearance` is called when everything else is ready, immediately before the order leaves.
        """
        ...

    def find(self, references: Sequence[OrderReference]) -> Mapping[str, VenueOrder]:
        """Look orders up among open and closed ones, by client order id.

        One that is absent is not there as far as the venue shows today.
        """
        ...

    def cancel(self, reference: OrderReference) -> None:
        """Ask the venue to cancel what is left of an order. What became of it is for `find` to say."""
        ...

    def movements(self, since: datetime) -> Sequence[Movement]:
        """The venue's own ledger from `since` on, oldest first; empty where it keeps none."""
        ...


class Venues(Protocol):
    """The venues this program can reach."""

    def connect(self, account: Account) -> Venue:
        """The account at its venue.

        Raises `InvalidInputError` when the venue is unknown or the account's key is not to be had.
        """
        ...

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
        ...

    def key_fingerprint(self, credentials: CredentialSource) -> str:
        """A one-way mark of the key, by which two accounts with the same one are known.

        Raises `InvalidInputError` when the key is not to be had.
        """
        ...

    def seal(self, credentials: CredentialSource) -> CredentialSource:
        """Read the key from the environment now and return it encrypted. Raises `InvalidInputError`."""
        ...

    def fund(self, account: Account, deposits: Mapping[Currency, Decimal]) -> None:
        """Put play money on a new account. Raises `InvalidInputError` where money is real."""
        ...
