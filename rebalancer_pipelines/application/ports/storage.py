"""What is stored: one transaction over all of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import UUID

from rebalancer_pipelines.domain.errors import DenialReason
from rebalancer_pipelines.domain.ledger import Books, LedgerEntry
from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.notification import Notification, NotificationKind, WaitingNotification
from rebalancer_pipelines.domain.order import Fill, Order, OrderState
from rebalancer_pipelines.domain.portfolio import Account, CredentialSource, Holding, Portfolio, TradingState
from rebalancer_pipelines.domain.portfolio_day import PortfolioDay
from rebalancer_pipelines.domain.rebalance import (
    Lease,
    PositionPhase,
    Rebalance,
    RebalanceRecord,
    TriggeredBy,
    WeighedPosition,
)
from rebalancer_pipelines.domain.values import Currency


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

    def has_venue_order(self, order: Order, venue_order_id: str) -> bool:
        """Whether another order of the same account has this id at the venue."""
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


class Notifications(Protocol):
    """The outbox: a message is stored in the transaction of what it tells, and delivered later."""

    def wanted(self, kind: NotificationKind) -> bool:
        """Whether anybody is to be told of such facts; nobody is where no notifier is set up."""
        ...

    def add(self, notification: Notification) -> None:
        """Store a message for its delivery."""
        ...

    def told_since(self, kind: NotificationKind, subject: str, title: str, since: datetime) -> bool:
        """Whether a message of that kind, subject and title has been stored since then."""
        ...

    def take_waiting(self, now: datetime, held_until: datetime) -> WaitingNotification | None:
        """The oldest message whose time has come; nobody else is given it before `held_until`."""
        ...

    def mark_sent(self, notification_id: UUID, now: datetime) -> None:
        """Somebody has been told."""
        ...

    def mark_failed(self, notification_id: UUID, error: str, next_attempt_at: datetime | None) -> None:
        """Nobody could be told. None gives the message up."""
        ...

    def failing(self, since: datetime) -> tuple[int, str | None]:
        """How many messages stored since then could not be delivered so far, and what went wrong last."""
        ...

    def delete_before(self, moment: datetime) -> None:
        """Delete messages older than that, delivered or not."""
        ...


class PortfolioDays(Protocol):
    """What the history adds up to."""

    def since(self, moment: datetime) -> Sequence[PortfolioDay]:
        """Every portfolio from that moment on, by name."""
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
    notifications: Notifications
    portfolio_days: PortfolioDays

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def commit(self) -> None:
        """Make it durable; returns once the database has acknowledged."""
        ...
