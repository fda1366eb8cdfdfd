"""What is stored: one transaction over all of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import UUID

from rebalancer_pipelines.application.ports.statistics import Statistics
from rebalancer_pipelines.domain.claim import Claim, ClaimedBatch, Rhythm, WaitingBatch
from rebalancer_pipelines.domain.daily_value import BuiltDay, MissingCloses, ValueCurve
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.errors import DenialReason
from rebalancer_pipelines.domain.ledger import Books, LedgerEntry
from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.notification import Notification, NotificationKind, WaitingNotification
from rebalancer_pipelines.domain.order import Fill, Order, OrderState
from rebalancer_pipelines.domain.portfolio import Account, CredentialSource, Holding, Portfolio, TradingState
from rebalancer_pipelines.domain.portfolio_day import PortfolioDay
from rebalancer_pipelines.domain.price_bar import PriceBar, Timeframe
from rebalancer_pipelines.domain.price_history import BarGap, MarketDays, NeededMarket, StoredBars
from rebalancer_pipelines.domain.rebalance import (
    AttemptResult,
    Lease,
    Owner,
    PlannedRebalance,
    PositionPhase,
    Rebalance,
    RebalanceRecord,
    RebalanceTimes,
    TriggeredBy,
    WeighedPosition,
)
from rebalancer_pipelines.domain.rehearsal import RehearsedRebalance
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

    def any_held(self, account_ids: Collection[UUID]) -> bool:
        """Whether the lease of one of these accounts runs, by the database's clock."""
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

    def count_on_account(self, account_id: UUID) -> int:
        """How many share an account."""
        ...

    def update(self, portfolio: Portfolio) -> None:
        """Replace the stored fields and weights of `portfolio.id`, all but the times of its rebalances."""
        ...

    def delete(self, portfolio_id: UUID) -> None:
        """Delete with its history; what its book holds becomes unallocated.

        Raises `InvalidInputError` while one of its orders may be at the venue.
        """
        ...

    def mark_rebalanced(self, times: Sequence[RebalanceTimes]) -> None:
        """Move portfolios' times, and end the claims that are answered."""
        ...

    def by_ids(self, portfolio_ids: Collection[UUID]) -> Sequence[Portfolio]:
        """Those of the portfolios that are there, by name."""
        ...

    def count_failure(self, portfolio_id: UUID) -> int:
        """Count one more failure and return how many there were in a row."""
        ...

    def forgive_failures(self, portfolio_id: UUID) -> None:
        """Count failures from nothing again."""
        ...

    def pause(self, portfolio_id: UUID, reason: str, now: datetime) -> None:
        """Keep everything that runs by itself away from it."""
        ...

    def resume(self, portfolio_id: UUID) -> None:
        """Let it be rebalanced by itself again, and count failures from nothing."""
        ...


class Claims(Protocol):
    """Due times that were taken up."""

    def lock_due(
        self,
        now: datetime,
        limit: int,
        *,
        only: Collection[UUID] | None = None,
        served: Collection[UUID] = (),
        served_until: datetime | None = None,
        withheld: Collection[UUID] = (),
    ) -> Sequence[Claim]:
        """Portfolios that are due and that nobody has taken up, the longest due first; others' locks are passed over.

        Paused ones and those that are not enabled are never due. `served` are left out, unless they have been due since
        `served_until`; `withheld` always are. They stay locked until this transaction ends.
        """
        ...

    def open(self, triggered_by: TriggeredBy, due: Sequence[Claim], now: datetime) -> ClaimedBatch | None:
        """Claim due times that this transaction has locked, in one batch; None when there are none."""
        ...

    def claim_now(
        self, portfolio_ids: Collection[UUID], now: datetime, *, triggered_by: TriggeredBy
    ) -> ClaimedBatch | None:
        """Claim portfolios whether they are due or not, as of now.

        Those that are taken up already are left out, and unless a person asks, those that are paused or not enabled.
        """
        ...

    def rhythms(self, limit: int) -> Sequence[Rhythm]:
        """Portfolios that rebalance by themselves, the oldest first, so many at most."""
        ...

    def rhythms_mark(self, limit: int) -> str:
        """A short text that changes with anything of these rhythms, and with nothing else."""
        ...

    def of_batch(self, batch_id: UUID) -> ClaimedBatch | None:
        """What of a batch has no outcome yet; None when all has."""
        ...

    def waiting(self, claimed_before: datetime) -> Sequence[WaitingBatch]:
        """Batches with claims from before that moment which have no outcome yet, the oldest first."""
        ...

    def move_to_new_batch(self, batch_id: UUID, now: datetime) -> ClaimedBatch | None:
        """Give what is left of a batch another try, as a batch of its own; None when nothing is left."""
        ...

    def database_clock(self) -> datetime:
        """The database's present."""
        ...


class DriftWatch(Protocol):
    """Portfolios with a drift band, between their due times."""

    def near_the_edge(
        self, account_ids: Collection[UUID], prices: Mapping[str, Decimal], *, fraction: Decimal
    ) -> Sequence[tuple[UUID, Mapping[Currency, Decimal]]]:
        """Portfolios some weight of which is further from its target than `fraction` of the band, with their books.

        A quick look at these accounts that may name one too many and never one too few, by mid `prices` of symbols; a
        portfolio without all of its prices is left out. Paused ones, and those with an open claim, are not looked at.
        """
        ...

    def well_inside(
        self, account_ids: Collection[UUID], prices: Mapping[str, Decimal], *, fraction: Decimal
    ) -> Collection[UUID]:
        """Of the `claimed` portfolios of these accounts, those that were weighed and are not `near_the_edge`."""
        ...

    def watched_symbols(self) -> Sequence[tuple[UUID, Collection[str]]]:
        """Accounts that have portfolios with a band, and the markets whose prices these need."""
        ...

    def claimed(self) -> Mapping[UUID, datetime]:
        """Portfolios that have left their band and were claimed for it, and when."""
        ...

    def remember(self, portfolio_ids: Collection[UUID], now: datetime) -> None:
        """Note that portfolios were claimed for having left their bands."""
        ...

    def forget(self, portfolio_ids: Collection[UUID]) -> None:
        """Note that portfolios are well inside their bands again."""
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

    def is_untouched(self, account_id: UUID) -> bool:
        """Whether the account has no entry at all."""
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

    def owners(self, rebalance_ids: Collection[UUID]) -> Mapping[UUID, Owner]:
        """Whose each of these rebalances is."""
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

    def add_planned(self, planned: Sequence[PlannedRebalance]) -> None:
        """Store rebalances that were planned together, with all that their plans rest on.

        Raises `IntegrityError`, and stores none, when one of the portfolios has another under way.
        """
        ...

    def finish_together(
        self, positions_after: Mapping[UUID, Sequence[WeighedPosition]], now: datetime
    ) -> Collection[UUID]:
        """Close rebalances with their positions after; returns those that were not closed before."""
        ...

    def answered(self, asked: Mapping[UUID, datetime], *, dry_run: bool) -> Collection[UUID]:
        """Portfolios that a rebalance has been started for since the time at which each was asked for."""
        ...


class Orders(Protocol):
    """Order intents and their fills."""

    def add(self, orders: Sequence[Order]) -> None:
        """Store new intents, all PLANNED."""
        ...

    def add_net(self, order: Order, account_id: UUID, riders: Mapping[UUID, Decimal], *, dry_run: bool) -> None:
        """Store a net order, PLANNED, and let the orders ride on it, each with its part."""
        ...

    def riders(self, net_order_id: UUID) -> Sequence[Order]:
        """The orders that ride on a net order, with their fills."""
        ...

    def fills_of_riders(self, net_order_id: UUID) -> Mapping[UUID, tuple[Fill, ...]]:
        """What each order that rides on a net order has traded, by the order's id; with that net order and before."""
        ...

    def unsent_net_orders(self, account_id: UUID) -> Sequence[Order]:
        """Net orders of an account that are still PLANNED."""
        ...

    def by_ids(self, order_ids: Collection[UUID]) -> Sequence[Order]:
        """Those of the orders that are there, with their fills."""
        ...

    def of_rebalance(self, rebalance_id: UUID) -> Sequence[Order]:
        """All orders with their fills, in the plan's sequence."""
        ...

    def of_rebalances(self, rebalance_ids: Collection[UUID]) -> Sequence[Order]:
        """All orders of several rebalances with their fills, each plan in its sequence."""
        ...

    def book_parts(self, account_id: UUID, parts: Sequence[tuple[Order, Fill]]) -> Sequence[UUID]:
        """Store what orders have traded inside the account or as parts of a net order's fills; returns the fills' ids.

        A PLANNED one is NETTED from then on.
        """
        ...

    def end_many(self, ended: Sequence[tuple[Order, OrderState, str | None]]) -> None:
        """End orders that ride on a net order or were never sent, each as given and with its reason.

        Raises `LeaseLostError` when one is no longer in the state that was read.
        """
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

        The order that it returns has the fills that are stored by now when this ends it, and otherwise those given.

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

    def add(self, records: Sequence[RebalanceRecord]) -> None:
        """Store the records of attempts."""
        ...

    def get(self, record_id: UUID) -> RebalanceRecord | None:
        """One record."""
        ...

    def newest(
        self, portfolio_id: UUID | None, limit: int, *, rehearsed: bool = True
    ) -> Sequence[tuple[str, RebalanceRecord]]:
        """Records with their portfolio's name, newest first; those of rehearsals only when they are wanted, too."""
        ...

    def newest_live_runs(
        self, account_id: UUID, limit: int, since: datetime | None
    ) -> Sequence[Sequence[AttemptResult]]:
        """How the attempts of an account's newest runs ended, dry runs aside, newest first."""
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


class DailyValues(Protocol):
    """What portfolios were worth day by day, on both bases."""

    def build(self, portfolio_ids: Collection[UUID], span: DaySpan) -> Sequence[BuiltDay]:
        """Value the books at the end of each day of the span, from their first entries on.

        Nothing but the ledger, the rehearsals and the price bars decides, so building a day again gives the same rows;
        rows that are right already are not written. Expects a span that has ended.
        """
        ...

    def outdated(self, portfolio_ids: Collection[UUID], span: DaySpan) -> Sequence[date]:
        """The days of the span that were never built, or that have other entries or closes by now."""
        ...

    def closes(self, portfolio_ids: Collection[UUID], span: DaySpan) -> Mapping[str, bool]:
        """The markets whose closes the books need, each with whether the span has any."""
        ...

    def curves(self, span: DaySpan, most: int) -> Sequence[ValueCurve]:
        """The stored values of a span: per basis and currency, of so many books at most that were worth most last."""
        ...

    def without_value(self, limit: int) -> tuple[int, Sequence[MissingCloses]]:
        """How many days of books have no value for want of a close, and the newest of them."""
        ...


class Rehearsals(Protocol):
    """What the planner would have done over the recorded year: dry runs apart from every book and every limit."""

    def begin(self, portfolio_id: UUID, deposits: Mapping[Currency, Decimal], at: datetime) -> None:
        """Store the play money that a rehearsal begins with, once, and take the turn to go on with it.

        Whoever else rehearses the portfolio waits until this transaction ends; nothing that trades does.
        """
        ...

    def latest(self, portfolio_id: UUID) -> datetime | None:
        """The due time of the last attempt that is stored."""
        ...

    def units(self, portfolio_id: UUID) -> Mapping[Currency, Decimal]:
        """What the play money has become, by currency."""
        ...

    def add(self, attempts: Sequence[RehearsedRebalance]) -> None:
        """Store attempts with all that they rest on and came to."""
        ...


class Bars(Protocol):
    """Price bars: what markets did, by the hour and by the day."""

    def add(self, bars: Sequence[PriceBar]) -> Sequence[StoredBars]:
        """Store bars, no two of the same time; by market, what it came to.

        A bar that says what is stored already changes nothing, and none takes the place of one whose origin ranks
        higher.
        """
        ...

    def closes(self, price_source: str, symbols: Collection[str], span: DaySpan) -> Mapping[tuple[str, date], Decimal]:
        """What markets closed at, by symbol and day; a day without its bar is absent."""
        ...

    def gaps(self, timeframe: Timeframe, wanted: Sequence[MarketDays]) -> Sequence[BarGap]:
        """Where bars are missing, by market and time; those that follow each other are one gap."""
        ...

    def first_days(self, timeframe: Timeframe) -> Mapping[tuple[str, str], date]:
        """The day of the oldest bar, by price source and symbol."""
        ...

    def observed(self, price_source: str, span: DaySpan) -> Sequence[PriceBar]:
        """Daily bars made of the mids that rebalances at these prices have seen; rehearsals have seen none."""
        ...

    def needed(self) -> Sequence[NeededMarket]:
        """The markets on which the value of a portfolio rests: those of its weights, and of all that its book had."""
        ...


class UnitOfWork(Protocol):
    """One transaction. Leaving it without `commit` undoes everything."""

    accounts: Accounts
    portfolios: Portfolios
    claims: Claims
    drift_watch: DriftWatch
    ledger: Ledger
    rebalances: Rebalances
    orders: Orders
    history: History
    activity: ActivityLog
    kill_switch: KillSwitch
    notifications: Notifications
    portfolio_days: PortfolioDays
    daily_values: DailyValues
    bars: Bars
    rehearsals: Rehearsals
    statistics: Statistics

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def commit(self) -> None:
        """Make it durable; returns once the database has acknowledged."""
        ...
