"""What the use cases need from the world, as protocols that the adapters fulfil."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import UUID

from rebalancer_pipelines.domain.ledger import Books, LedgerEntry
from rebalancer_pipelines.domain.market import FeeSchedule, Market, PriceMark
from rebalancer_pipelines.domain.order import Fill, Order, OrderSide, OrderState
from rebalancer_pipelines.domain.portfolio import Account, Holding, Portfolio, TradingState
from rebalancer_pipelines.domain.rebalance import (
    Lease,
    PositionPhase,
    Rebalance,
    RebalanceRecord,
    TriggeredBy,
    WeighedPosition,
)
from rebalancer_pipelines.domain.values import Currency


class Clock(Protocol):
    """Time, so that tests can hold it."""

    def now(self) -> datetime:
        """The present, aware and in UTC."""
        ...

    def sleep(self, duration: timedelta) -> None:
        """Wait."""
        ...


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


@dataclass(frozen=True, slots=True)
class OrderTicket:
    """What is sent to a venue: a limit order that fills at once as far as it can and is then cancelled (IOC).

    The venue refuses it when it arrives after `not_after`.
    """

    client_order_id: str
    symbol: str
    side: OrderSide
    quantity: Decimal
    limit_price: Decimal
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue has the order."""

    venue_order_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The venue certainly does not have the order; `reason` is its word."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nobody knows yet whether the venue has the order."""

    reason: str


Acknowledgement = Accepted | Rejected | Unclear


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue reports it. `closed_as` is None while it may still trade."""

    venue_order_id: str
    client_order_id: str
    fills: tuple[Fill, ...]
    closed_as: OrderState | None
    reason: str | None = None


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

    def markets(self) -> Mapping[str, Market]:
        """All markets by symbol, read afresh."""
        ...

    def fees(self) -> FeeSchedule:
        """What this account pays."""
        ...

    def prices(self, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """Best bid and ask; a market without a quote is absent."""
        ...

    def balances(self) -> Mapping[Currency, Holding]:
        """Everything the account holds; currencies of which it holds nothing may be absent."""
        ...

    def submit(self, ticket: OrderTicket) -> Acknowledgement:
        """Send one order, once. Never raises for the fate of the order: that is the answer."""
        ...

    def find(self, client_order_id: str) -> VenueOrder | None:
        """Look an order up among open and closed ones. None: not there as far as the venue shows today."""
        ...


class Venues(Protocol):
    """The venues this program can reach."""

    def connect(self, account: Account) -> Venue:
        """The account at its venue. Raises `InvalidInputError` when the venue is unknown."""
        ...

    def check(self, venue: str, price_source: str, deposits: Collection[Currency] = ()) -> None:
        """Raise `InvalidInputError` unless an account can be opened there with these prices and deposits."""
        ...

    def fund(self, account: Account, deposits: Mapping[Currency, Decimal]) -> None:
        """Put play money on a new account. Raises `InvalidInputError` where money is real."""
        ...


class Accounts(Protocol):
    """Stored accounts and their leases."""

    def add(self, name: str, venue: str, price_source: str, now: datetime) -> Account:
        """Store a new account. Raises `InvalidInputError` when the name is taken."""
        ...

    def get(self, name: str) -> Account:
        """Raises `NotFoundError` naming what exists."""
        ...

    def by_id(self, account_id: UUID) -> Account:
        """The account; it must exist."""
        ...

    def all(self) -> Sequence[Account]:
        """Every account, by name."""
        ...

    def delete(self, account_id: UUID) -> None:
        """Delete an account without portfolios. Raises `InvalidInputError` naming those that use it."""
        ...

    def lock(self, account_id: UUID) -> None:
        """Make whoever else moves money between the account's books wait until this transaction ends."""
        ...

    def set_trading_state(self, account_id: UUID, state: TradingState, reason: str | None) -> None:
        """Allow or stop trading, with the reason people see."""
        ...

    def take_lease(self, account_id: UUID, duration: timedelta) -> Lease | None:
        """Take the lease when it is free or has run out, by the database's clock; None while another holds it."""
        ...

    def renew_lease(self, lease: Lease, duration: timedelta) -> None:
        """Extend the lease from now on. Raises `LeaseLostError` when another has taken it."""
        ...

    def release_lease(self, lease: Lease) -> None:
        """Give the lease back at once; nothing happens when it was lost."""
        ...

    def fence(self, lease: Lease) -> None:
        """Hold the lease's epoch until this transaction ends. Raises `LeaseLostError` when another has taken it."""
        ...


class Portfolios(Protocol):
    """Stored portfolios with their target weights."""

    def add(self, portfolio: Portfolio) -> None:
        """Store a new portfolio. Raises `InvalidInputError` when the name is taken."""
        ...

    def get(self, name: str) -> Portfolio:
        """Raises `NotFoundError` naming what exists."""
        ...

    def by_id(self, portfolio_id: UUID) -> Portfolio:
        """The portfolio; it must exist."""
        ...

    def all(self) -> Sequence[Portfolio]:
        """Every portfolio, by name."""
        ...

    def on_account(self, account_id: UUID) -> Sequence[Portfolio]:
        """The portfolios that share an account, by name."""
        ...

    def update(self, portfolio: Portfolio) -> None:
        """Replace the stored fields and weights of `portfolio.id`, all but the times of its rebalances."""
        ...

    def delete(self, portfolio_id: UUID) -> None:
        """Delete with its history; what its book holds becomes unallocated.

        Raises `InvalidInputError` while one of its orders may be at the venue.
        """
        ...

    def mark_rebalanced(
        self, portfolio_id: UUID, last_rebalanced_at: datetime | None, next_rebalance_at: datetime | None
    ) -> None:
        """Move both times; None leaves the stored one as it is."""
        ...


class Ledger(Protocol):
    """The append-only ledger."""

    def append(self, entries: Sequence[LedgerEntry]) -> None:
        """Book entries."""
        ...

    def books(self, account_id: UUID) -> Books:
        """Sum the entries of an account into its books; currencies that sum to zero are left out."""
        ...


class Rebalances(Protocol):
    """Rebalances with the evidence they acted on."""

    def start(
        self,
        *,
        portfolio: Portfolio,
        lease: Lease,
        dry_run: bool,
        triggered_by: TriggeredBy,
        dagster_run_id: str,
        scheduled_for: datetime | None,
        now: datetime,
    ) -> Rebalance:
        """Open the one active rebalance of an account."""
        ...

    def of_run(self, dagster_run_id: str, portfolio_id: UUID) -> Rebalance | None:
        """The rebalance that a Dagster run opened for a portfolio."""
        ...

    def by_id(self, rebalance_id: UUID) -> Rebalance:
        """The rebalance; it must exist."""
        ...

    def active_on(self, account_id: UUID) -> Sequence[Rebalance]:
        """Rebalances not finished yet."""
        ...

    def store_balances(self, rebalance_id: UUID, balances: Mapping[Currency, Holding]) -> None:
        """Keep the venue's balances as they were read."""
        ...

    def balances(self, rebalance_id: UUID) -> Mapping[Currency, Holding]:
        """The venue's balances kept, by currency."""
        ...

    def store_prices(self, rebalance_id: UUID, marks: Sequence[PriceMark]) -> None:
        """Keep the prices that the plan rests on."""
        ...

    def prices(self, rebalance_id: UUID) -> Mapping[str, PriceMark]:
        """The prices kept, by symbol."""
        ...

    def store_positions(self, rebalance_id: UUID, phase: PositionPhase, positions: Sequence[WeighedPosition]) -> None:
        """Keep the portfolio's positions and weights of a phase."""
        ...

    def positions(self, rebalance_id: UUID, phase: PositionPhase) -> Sequence[WeighedPosition]:
        """The positions kept, by currency."""
        ...

    def store_value(self, rebalance_id: UUID, value: Decimal) -> None:
        """Keep the portfolio's value before the orders."""
        ...

    def store_plan(self, rebalance_id: UUID, plan_hash: str, document: Mapping[str, Any]) -> None:
        """Keep the plan as the JSON document that people see."""
        ...

    def plan_document(self, rebalance_id: UUID) -> Mapping[str, Any] | None:
        """The plan kept, if the rebalance came that far."""
        ...

    def finish(self, rebalance_id: UUID, now: datetime) -> bool:
        """Close it. False when it was closed before."""
        ...


class Orders(Protocol):
    """Order intents and their fills."""

    def add(self, orders: Sequence[Order]) -> None:
        """Store new intents, all PLANNED."""
        ...

    def of_rebalance(self, rebalance_id: UUID) -> Sequence[Order]:
        """All orders with their fills, in the plan's sequence."""
        ...

    def possibly_at_venue(self, account_id: UUID) -> Sequence[Order]:
        """Orders of real executions (not of dry runs) whose fate the venue still has to tell."""
        ...

    def move(
        self,
        order: Order,
        state: OrderState,
        *,
        quantity: Decimal | None = None,
        limit_price: Decimal | None = None,
        venue_order_id: str | None = None,
        reason: str | None = None,
        not_after: datetime | None = None,
    ) -> Order:
        """Compare-and-set from the state `order` was read in; None leaves a field as it is.

        Raises `IllegalTransitionError` for a move that the table does not know, `LeaseLostError` when the stored
        state is no longer the one that was read.
        """
        ...

    def add_fills(self, order: Order, account_id: UUID, fills: Sequence[Fill]) -> Mapping[str, UUID]:
        """Store fills; returns the ids of those that were new, by trade id. Known trade ids are left alone."""
        ...


class History(Protocol):
    """The rows people read."""

    def add(self, record: RebalanceRecord) -> None:
        """Store the record of an attempt."""
        ...

    def get(self, record_id: UUID) -> RebalanceRecord | None:
        """One record."""
        ...

    def newest(self, portfolio_id: UUID | None, limit: int) -> Sequence[tuple[str, RebalanceRecord]]:
        """Records with their portfolio's name, newest first."""
        ...


class ActivityLog(Protocol):
    """Who did what, for people to read afterwards."""

    def add(self, action: str, subject: str, detail: Mapping[str, Any], now: datetime) -> None:
        """Note one act."""
        ...


class UnitOfWork(Protocol):
    """One transaction. Leaving it without `commit` undoes everything."""

    accounts: Accounts
    portfolios: Portfolios
    ledger: Ledger
    rebalances: Rebalances
    orders: Orders
    history: History
    activity: ActivityLog

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def commit(self) -> None:
        """Make it durable; returns once the database has acknowledged."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a use case works with, handed in by whoever composes the program."""

    transactions: Callable[[], UnitOfWork]
    venues: Venues
    clock: Clock
    lease_duration: timedelta = timedelta(seconds=30)
    lease_patience: timedelta = timedelta(seconds=150)
