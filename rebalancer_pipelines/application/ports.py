"""What the use cases need from the world, as protocols that the adapters fulfil."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import UUID

from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.ledger import Books, LedgerEntry
from rebalancer_pipelines.domain.market import FeeSchedule, Market, PriceMark
from rebalancer_pipelines.domain.order import Fill, Order, OrderSide, OrderState
from rebalancer_pipelines.domain.portfolio import Account, CredentialSource, Holding, Portfolio, TradingState
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


class Accounts(Protocol):
    """Stored accounts and their leases."""

    def add(
        self,
        name: str,
        venue: str,
        price_source: str,
        now: datetime,
        *,
        settings: Mapping[str, str] | None = None,
        endpoint: str | None = None,
        credentials: CredentialSource | None = None,
        key_fingerprint: str | None = None,
    ) -> Account:
        """Store a new account. Raises `InvalidInputError` when the name, or another account with its key, is there."""
        ...

    def set_settings(self, account_id: UUID, texts: Mapping[str, str]) -> None:
        """Replace what was set by hand: public names of settings with their values as text."""
        ...

    def settings_set(self, account_id: UUID) -> Mapping[str, str]:
        """What was set by hand; every other setting has its default."""
        ...

    def set_live_trading(self, account_id: UUID, *, allowed: bool) -> None:
        """Allow or forbid trading real money."""
        ...

    def set_key(self, account_id: UUID, credentials: CredentialSource, key_fingerprint: str) -> None:
        """Give an account another key. Raises `InvalidInputError` when it is another account's."""
        ...

    def mark_reconciled(self, account_id: UUID, moment: datetime) -> None:
        """Note that every movement at the venue until `moment` is in the books."""
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

    def set_trading_state(self, account_id: UUID, state: TradingState, reason: str | None, now: datetime) -> None:
        """Allow or stop trading, with the reason people see; ACTIVE also forgives failures before `now`."""
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

    def booked_entry_ids(self, account_id: UUID, entry_ids: Collection[str]) -> Collection[str]:
        """Which of these lines of the venue's ledger are booked already."""
        ...

    def flows(self, portfolio_id: UUID, since: datetime) -> Mapping[Currency, Decimal]:
        """What came into a portfolio's book or left it since then, trades and their fees aside."""
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
        confirmed: Collection[DenialReason] = (),
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

    def started_since(self, portfolio_id: UUID, since: datetime, *, dry_run: bool) -> Rebalance | None:
        """The newest rebalance of a portfolio that has started since then."""
        ...

    def newest_prices(self, account_id: UUID, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """The price of each market that a live rebalance of the account kept last."""
        ...

    def highest_value(self, portfolio_id: UUID, since: datetime) -> tuple[datetime, Decimal] | None:
        """The highest value that a rebalance of the portfolio has seen since then, with the time of its prices."""
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

    def newest_fill_at(self, account_id: UUID) -> datetime | None:
        """When an order of the account was last filled, dry runs aside."""
        ...

    def known_trades(self, account_id: UUID, trade_ids: Collection[str]) -> Collection[str]:
        """Which of these trades are fills of our orders."""
        ...

    def count_sent(self, account_id: UUID, since: datetime) -> int:
        """How many orders of the account were sent, or may have been, since then; dry runs aside."""
        ...

    def notional_sent(self, account_id: UUID, quote_currency: Currency, since: datetime) -> Decimal:
        """What those orders are worth in one quote currency: their fills, and in full those that may still trade."""
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

    def newest_live(self, account_id: UUID, limit: int, since: datetime | None) -> Sequence[RebalanceRecord]:
        """Records of an account's rebalances, dry runs aside, newest first."""
        ...


class KillSwitch(Protocol):
    """The switch that stops every order of the installation."""

    def engage(self, reason: str, now: datetime) -> None:
        """Stop everything; engaging again replaces the reason."""
        ...

    def release(self) -> None:
        """Let orders pass again."""
        ...

    def reason(self) -> str | None:
        """Why everything is stopped; None while it is not."""
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
    kill_switch: KillSwitch

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def commit(self) -> None:
        """Make it durable; returns once the database has acknowledged."""
        ...


class KillFile(Protocol):
    """A file that stops every order while it is there, also when the database is away."""

    @property
    def path(self) -> str:
        """Where it has to lie."""
        ...

    def reason(self) -> str | None:
        """What it says; None while it is not there."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a use case works with, handed in by whoever composes the program.

    `dry_run_only`: nothing is ever sent, whatever a run asks for.
    """

    transactions: Callable[[], UnitOfWork]
    venues: Venues
    clock: Clock
    kill_file: KillFile
    dry_run_only: bool = False
    lease_patience: timedelta = timedelta(seconds=150)
