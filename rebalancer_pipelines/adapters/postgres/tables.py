"""The tables, as typed models. Constraints stand in the database: it refuses what the program must never write."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    MetaData,
    Numeric,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from rebalancer_pipelines.domain.calendar import RebalanceInterval
from rebalancer_pipelines.domain.drift import DriftBandKind
from rebalancer_pipelines.domain.history_basis import HistoryBasis
from rebalancer_pipelines.domain.ledger import LedgerEntryKind
from rebalancer_pipelines.domain.notification import NotificationKind
from rebalancer_pipelines.domain.order import LiquiditySide, OrderSide, OrderState
from rebalancer_pipelines.domain.portfolio import TradingState
from rebalancer_pipelines.domain.price_bar import BarOrigin, Timeframe
from rebalancer_pipelines.domain.rebalance import PositionPhase, RebalanceStatus, TriggeredBy


class Base(DeclarativeBase):
    """Every table stands in the schema `public`, with constraint names that migrations can rely on."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        str: Text,
        Decimal: Numeric,
        date: Date,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[dict[str, Any]]: JSONB,
        list[str]: JSONB,
    }


def _one_of(column: str, *values: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def _finite(column: str, condition: str) -> CheckConstraint:
    """NaN compares greater than every number in PostgreSQL, so an upper bound keeps it and infinity out."""
    return CheckConstraint(f"{column} {condition} AND {column} < 'Infinity'", name=f"{column}_valid")


def _id() -> Mapped[UUID]:
    return mapped_column(primary_key=True, server_default=text("uuidv7()"))


def _created() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


_AT_VENUE = ", ".join(f"'{state.value}'" for state in OrderState if state.may_be_at_venue)


class AccountRow(Base):
    """One login at one venue, with the lease that decides who may trade it.

    `settings` has what was set by hand, by public name. `credentials` names the environment variables of the key, or
    holds it sealed; never in clear.
    """

    __tablename__ = "account"
    __table_args__ = (
        _one_of("trading_state", *TradingState),
        CheckConstraint(
            "credentials - ARRAY['key_env', 'secret_env', 'sealed'] = '{}'::jsonb", name="credentials_known"
        ),
    )

    id: Mapped[UUID] = _id()
    name: Mapped[str] = mapped_column(unique=True)
    venue: Mapped[str]
    price_source: Mapped[str]
    settings: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    trading_state: Mapped[str] = mapped_column(server_default=TradingState.ACTIVE.value)
    trading_state_reason: Mapped[str | None]
    lease_epoch: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    lease_until: Mapped[datetime | None]
    live_trading: Mapped[bool] = mapped_column(server_default=false())
    endpoint: Mapped[str | None]
    credentials: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    key_fingerprint: Mapped[str | None] = mapped_column(unique=True)
    reconciled_at: Mapped[datetime | None]
    resumed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = _created()
    updated_at: Mapped[datetime] = _created()


class PortfolioRow(Base):
    """What somebody wants to hold on an account, and when to return to it."""

    __tablename__ = "portfolio"
    __table_args__ = (
        _one_of("rebalance_interval", *RebalanceInterval),
        _one_of("drift_band_kind", *DriftBandKind),
        _finite("rebalance_threshold", "> 0"),
        CheckConstraint("drift_band > 0 AND drift_band <= 100", name="drift_band_valid"),
        CheckConstraint("max_orders_per_rebalance >= 1", name="max_orders_per_rebalance_valid"),
        CheckConstraint("cash_reserve >= 0 AND cash_reserve < 1", name="cash_reserve_valid"),
        CheckConstraint("(paused_at IS NULL) = (paused_reason IS NULL)", name="paused_with_reason"),
        CheckConstraint("failures_in_a_row >= 0", name="failures_in_a_row_valid"),
        Index(None, "account_id"),
    )

    id: Mapped[UUID] = _id()
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(server_default="")
    user_id: Mapped[UUID | None]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="RESTRICT"))
    valuation_currency: Mapped[str] = mapped_column(server_default="EUR")
    rebalance_enabled: Mapped[bool] = mapped_column(server_default=false())
    rebalance_interval: Mapped[str] = mapped_column(server_default=RebalanceInterval.WEEKLY.value)
    rebalance_threshold: Mapped[Decimal] = mapped_column(server_default=text("10"))
    drift_band: Mapped[Decimal | None]
    drift_band_kind: Mapped[str] = mapped_column(server_default=DriftBandKind.ABSOLUTE.value)
    max_orders_per_rebalance: Mapped[int | None]
    cash_reserve: Mapped[Decimal] = mapped_column(server_default=text("0.01"))
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    anchor_at: Mapped[datetime] = _created()
    last_rebalanced_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = _created()
    updated_at: Mapped[datetime] = _created()
    paused_at: Mapped[datetime | None]
    paused_reason: Mapped[str | None]
    failures_in_a_row: Mapped[int] = mapped_column(server_default=text("0"))


class TargetWeightRow(Base):
    """Percent of a portfolio; null takes an equal share of the rest."""

    __tablename__ = "target_weight"
    __table_args__ = (CheckConstraint("weight >= 0 AND weight <= 100", name="weight_valid"),)

    portfolio_id: Mapped[UUID] = mapped_column(ForeignKey("portfolio.id", ondelete="CASCADE"), primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    weight: Mapped[Decimal | None]


class PortfolioDueRow(Base):
    """When a portfolio is due next, and its claim while somebody has taken it up: it has one open at most.

    The database adds one with each portfolio and keeps `is_scheduled` (enabled and not paused) as that says. Portfolios
    that were claimed together share `batch_id`; `tries` counts the runs before that ended without an outcome.
    """

    __tablename__ = "portfolio_due"
    __table_args__ = (
        CheckConstraint(
            "num_nulls(batch_id, triggered_by, scheduled_for, claimed_at) IN (0, 4)", name="claim_is_whole"
        ),
        _one_of("triggered_by", *TriggeredBy),
        CheckConstraint("tries >= 0", name="tries_valid"),
        Index("ix_portfolio_due_free", "next_rebalance_at", postgresql_where=text("is_scheduled AND batch_id IS NULL")),
        Index(None, "batch_id", postgresql_where=text("batch_id IS NOT NULL")),
    )

    portfolio_id: Mapped[UUID] = mapped_column(ForeignKey("portfolio.id", ondelete="CASCADE"), primary_key=True)
    is_scheduled: Mapped[bool]
    next_rebalance_at: Mapped[datetime | None]
    batch_id: Mapped[UUID | None]
    triggered_by: Mapped[str | None]
    scheduled_for: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(server_default=text("0"))


class DriftWatchRow(Base):
    """A portfolio that has left its drift band, was claimed for that, and has not come back well inside it since."""

    __tablename__ = "drift_watch"

    portfolio_id: Mapped[UUID] = mapped_column(ForeignKey("portfolio.id", ondelete="CASCADE"), primary_key=True)
    claimed_at: Mapped[datetime]


class RebalanceRow(Base):
    """One attempt under way or finished; a portfolio has one active at most.

    An account has several active ones only where one run trades them together, under one lease.
    """

    __tablename__ = "rebalance"
    __table_args__ = (
        _one_of("status", *RebalanceStatus),
        _one_of("triggered_by", *TriggeredBy),
        CheckConstraint("(status = 'finished') = (finished_at IS NOT NULL)", name="finished_at_matches_status"),
        CheckConstraint("(plan IS NULL) = (plan_hash IS NULL)", name="plan_has_its_hash"),
        UniqueConstraint("dagster_run_id", "portfolio_id"),
        Index(None, "portfolio_id", "started_at"),
        Index(None, "account_id", "started_at"),
        Index(
            "uq_rebalance_claim",
            "portfolio_id",
            "scheduled_for",
            unique=True,
            postgresql_where=text("scheduled_for IS NOT NULL"),
        ),
        Index("uq_rebalance_active", "portfolio_id", unique=True, postgresql_where=text("status = 'active'")),
        Index("ix_rebalance_active_on_account", "account_id", postgresql_where=text("status = 'active'")),
        Index("ix_rebalance_rehearsed", "portfolio_id", postgresql_where=text("triggered_by = 'backfill' AND dry_run")),
    )

    id: Mapped[UUID] = _id()
    portfolio_id: Mapped[UUID] = mapped_column(ForeignKey("portfolio.id", ondelete="CASCADE"))
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="RESTRICT"))
    epoch: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str]
    dry_run: Mapped[bool]
    triggered_by: Mapped[str]
    dagster_run_id: Mapped[str]
    scheduled_for: Mapped[datetime | None]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    portfolio_value: Mapped[Decimal | None]
    plan: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    plan_hash: Mapped[str | None]
    confirmed: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))


def _rebalance_key() -> Mapped[UUID]:
    return mapped_column(ForeignKey("rebalance.id", ondelete="CASCADE"), primary_key=True)


class AccountBalanceRow(Base):
    """What the venue held when a rebalance began."""

    __tablename__ = "account_balance"
    __table_args__ = (_finite("total", ">= 0"), CheckConstraint("free >= 0 AND free <= total", name="free_valid"))

    rebalance_id: Mapped[UUID] = _rebalance_key()
    currency: Mapped[str] = mapped_column(primary_key=True)
    total: Mapped[Decimal]
    free: Mapped[Decimal]


class PriceMarkRow(Base):
    """The prices that a rebalance rests on."""

    __tablename__ = "price_mark"
    __table_args__ = (
        _finite("ask", "> 0"),
        CheckConstraint("bid > 0 AND bid <= ask", name="bid_valid"),
        CheckConstraint("mid >= bid AND mid <= ask", name="mid_valid"),
    )

    rebalance_id: Mapped[UUID] = _rebalance_key()
    symbol: Mapped[str] = mapped_column(primary_key=True)
    bid: Mapped[Decimal]
    ask: Mapped[Decimal]
    mid: Mapped[Decimal]
    source: Mapped[str]
    observed_at: Mapped[datetime]
    recorded_at: Mapped[datetime | None]


class PortfolioPositionRow(Base):
    """A portfolio's managed currencies before and after a rebalance."""

    __tablename__ = "portfolio_position"
    __table_args__ = (_one_of("phase", *PositionPhase),)

    rebalance_id: Mapped[UUID] = _rebalance_key()
    phase: Mapped[str] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[Decimal]
    free: Mapped[Decimal]
    price: Mapped[Decimal]
    value: Mapped[Decimal]
    weight: Mapped[Decimal]
    target: Mapped[Decimal]


class OrderIntentRow(Base):
    """An order that was planned, and what became of it.

    One without a portfolio is a net order: it carries what the orders of several portfolios, `netted_into` it, have
    left to trade at the venue, each its `netted_quantity`.
    """

    __tablename__ = "order_intent"
    __table_args__ = (
        _one_of("side", *OrderSide),
        _one_of("state", *OrderState),
        _finite("quantity", "> 0"),
        _finite("price", "> 0"),
        _finite("limit_price", "> 0"),
        CheckConstraint("sequence >= 0", name="sequence_valid"),
        CheckConstraint(
            "(rebalance_id IS NULL) = (portfolio_id IS NULL) AND (netted_into IS NULL OR rebalance_id IS NOT NULL)",
            name="owner_is_whole",
        ),
        CheckConstraint(
            "(netted_into IS NULL) = (netted_quantity IS NULL) AND netted_quantity > 0 AND netted_quantity <= quantity",
            name="netted_quantity_valid",
        ),
        UniqueConstraint("rebalance_id", "sequence"),
        Index(
            "ix_order_intent_unsent_net",
            "account_id",
            postgresql_where=text("rebalance_id IS NULL AND state = 'PLANNED'"),
        ),
        Index("ix_order_intent_netted_into", "netted_into", postgresql_where=text("netted_into IS NOT NULL")),
        Index(
            "uq_order_intent_venue_order",
            "account_id",
            "venue_order_id",
            unique=True,
            postgresql_where=text("venue_order_id IS NOT NULL"),
        ),
        Index(
            "ix_order_intent_at_venue",
            "account_id",
            postgresql_where=text(f"state IN ({_AT_VENUE}) AND NOT dry_run"),
        ),
        # What rides on a net order has no deadline of its own.
        Index(
            "ix_order_intent_by_time",
            "account_id",
            "updated_at",
            postgresql_where=text("NOT dry_run AND not_after IS NOT NULL"),
        ),
        Index(None, "portfolio_id"),
    )

    id: Mapped[UUID] = _id()
    rebalance_id: Mapped[UUID | None] = mapped_column(ForeignKey("rebalance.id", ondelete="CASCADE"))
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="RESTRICT"))
    portfolio_id: Mapped[UUID | None] = mapped_column(ForeignKey("portfolio.id", ondelete="CASCADE"))
    sequence: Mapped[int]
    client_order_id: Mapped[str] = mapped_column(unique=True)
    symbol: Mapped[str]
    base_currency: Mapped[str]
    quote_currency: Mapped[str]
    side: Mapped[str]
    quantity: Mapped[Decimal]
    price: Mapped[Decimal]
    limit_price: Mapped[Decimal]
    state: Mapped[str]
    dry_run: Mapped[bool]
    venue_order_id: Mapped[str | None]
    reason: Mapped[str | None]
    not_after: Mapped[datetime | None]
    created_at: Mapped[datetime] = _created()
    updated_at: Mapped[datetime] = _created()
    netted_into: Mapped[UUID | None] = mapped_column(ForeignKey("order_intent.id", ondelete="CASCADE"))
    netted_quantity: Mapped[Decimal | None]


FILLS_WITHIN_ORDER = "fills_stay_within_the_order"
"""The trigger that refuses a fill by which an order would have traded more than it ordered."""


class FillRow(Base):
    """One execution; a trade id is booked once per account."""

    __tablename__ = "fill"
    __table_args__ = (
        _one_of("liquidity_side", *LiquiditySide),
        _finite("quantity", "> 0"),
        _finite("price", "> 0"),
        _finite("notional", ">= 0"),
        _finite("fee", "> '-Infinity'"),
        UniqueConstraint("account_id", "trade_id"),
        Index(None, "order_intent_id"),
        Index(None, "account_id", "executed_at"),
    )

    id: Mapped[UUID] = _id()
    order_intent_id: Mapped[UUID] = mapped_column(ForeignKey("order_intent.id", ondelete="CASCADE"))
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="RESTRICT"))
    trade_id: Mapped[str]
    quantity: Mapped[Decimal]
    price: Mapped[Decimal]
    fee: Mapped[Decimal]
    fee_currency: Mapped[str]
    liquidity_side: Mapped[str]
    executed_at: Mapped[datetime]
    notional: Mapped[Decimal]


class LedgerEntryRow(Base):
    """One movement in one book. Append-only: a trigger refuses every change but those that foreign keys make."""

    __tablename__ = "ledger_entry"
    __table_args__ = (
        _one_of("kind", *LedgerEntryKind),
        _finite("amount", "<> 0 AND amount > '-Infinity'"),
        Index(
            "uq_ledger_entry_fill",
            "fill_id",
            "kind",
            "currency",
            unique=True,
            postgresql_where=text("fill_id IS NOT NULL"),
        ),
        Index(
            "uq_ledger_entry_venue_entry",
            "account_id",
            "venue_entry_id",
            "kind",
            unique=True,
            postgresql_where=text("venue_entry_id IS NOT NULL"),
        ),
        Index("ix_ledger_entry_book", "account_id", "portfolio_id", "currency", postgresql_include=["amount"]),
        Index(None, "portfolio_id", "occurred_at"),
    )

    id: Mapped[UUID] = _id()
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    portfolio_id: Mapped[UUID | None] = mapped_column(ForeignKey("portfolio.id", ondelete="SET NULL"))
    kind: Mapped[str]
    currency: Mapped[str]
    amount: Mapped[Decimal]
    cause: Mapped[str]
    occurred_at: Mapped[datetime]
    fill_id: Mapped[UUID | None] = mapped_column(ForeignKey("fill.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = _created()
    venue_entry_id: Mapped[str | None]


class RebalanceHistoryRow(Base):
    """What stays of every attempt. Its id is the rebalance's; a backfilled row has no rebalance.

    `stored_at` is when its transaction began: what has come since the marts were built is found by it.
    """

    __tablename__ = "rebalance_history"
    __table_args__ = (
        _one_of("triggered_by", *TriggeredBy),
        CheckConstraint(
            "orders_planned >= 0 AND orders_executed >= 0 AND orders_failed >= 0", name="order_counts_valid"
        ),
        CheckConstraint("duration_ms >= 0", name="duration_ms_valid"),
        _finite("total_value_traded", ">= 0"),
        _finite("portfolio_value", "> '-Infinity'"),
        _finite("fees_paid", "> '-Infinity'"),
        _finite("value_crossed", ">= 0"),
        _finite("fees_saved", ">= 0"),
        Index("ix_rebalance_history_of_portfolio", "portfolio_id", text("executed_at DESC")),
        Index("ix_rebalance_history_newest", text("executed_at DESC")),
        Index(
            "ix_rebalance_history_rehearsed",
            "portfolio_id",
            text("executed_at DESC"),
            postgresql_where=text("triggered_by = 'backfill'"),
        ),
        Index(None, "stored_at"),
    )

    id: Mapped[UUID] = _id()
    portfolio_id: Mapped[UUID] = mapped_column(ForeignKey("portfolio.id", ondelete="CASCADE"))
    executed_at: Mapped[datetime]
    scheduled_for: Mapped[datetime | None]
    success: Mapped[bool]
    dry_run: Mapped[bool]
    portfolio_value: Mapped[Decimal | None]
    orders_planned: Mapped[int]
    orders_executed: Mapped[int]
    orders_failed: Mapped[int]
    total_value_traded: Mapped[Decimal]
    fees_paid: Mapped[Decimal]
    orders: Mapped[list[dict[str, Any]]]
    errors: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    triggered_by: Mapped[str]
    duration_ms: Mapped[int] = mapped_column(BigInteger)
    price_source: Mapped[str]
    plan_hash: Mapped[str | None]
    dagster_run_id: Mapped[str | None]
    value_crossed: Mapped[Decimal] = mapped_column(server_default=text("0"))
    fees_saved: Mapped[Decimal] = mapped_column(server_default=text("0"))
    stored_at: Mapped[datetime] = _created()


class PriceBarRow(Base):
    """What one market did in one hour or day; a missing bar is a gap, never filled. `opened_at` is the bar's start.

    `origin` says where it was read: the vendored recording, the venue's bars or trades, a file of the user's, or
    `observed`: the mids that rebalances of that day saw.
    """

    __tablename__ = "price_bar"
    __table_args__ = (
        _one_of("timeframe", *Timeframe),
        _one_of("origin", *BarOrigin),
        CheckConstraint("low > 0 AND high < 'Infinity'", name="range_valid"),
        CheckConstraint("open BETWEEN low AND high AND close BETWEEN low AND high", name="prices_within_range"),
        _finite("volume", ">= 0"),
    )

    price_source: Mapped[str] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    opened_at: Mapped[datetime] = mapped_column(primary_key=True)
    open: Mapped[Decimal]
    high: Mapped[Decimal]
    low: Mapped[Decimal]
    close: Mapped[Decimal]
    volume: Mapped[Decimal | None]
    origin: Mapped[str]


class RehearsedDepositRow(Base):
    """The play money that a rehearsal of a portfolio over the recorded market begins with; never in any book."""

    __tablename__ = "rehearsed_deposit"
    __table_args__ = (_finite("amount", "> 0"),)

    portfolio_id: Mapped[UUID] = mapped_column(ForeignKey("portfolio.id", ondelete="CASCADE"), primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(primary_key=True)
    amount: Mapped[Decimal]


class DailyPortfolioValueRow(Base):
    """What a portfolio's whole book was worth at a day's end (UTC), at that day's closes.

    `inflow` and `outflow` are what was put in and taken out that day, both positive, at the same closes. Without a
    close of every currency there is no value, and `missing` names those. `entry_count` is how many entries the book
    had by then: a book that has more of them now is to be valued again.
    """

    __tablename__ = "daily_portfolio_value"
    __table_args__ = (
        _one_of("basis", *HistoryBasis),
        CheckConstraint("(value IS NULL) = (missing <> '[]'::jsonb)", name="value_or_missing"),
    )

    portfolio_id: Mapped[UUID] = mapped_column(ForeignKey("portfolio.id", ondelete="CASCADE"), primary_key=True)
    basis: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    valuation_currency: Mapped[str]
    value: Mapped[Decimal | None]
    inflow: Mapped[Decimal | None]
    outflow: Mapped[Decimal | None]
    missing: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    entry_count: Mapped[int] = mapped_column(BigInteger)


class DailyHoldingRow(Base):
    """One currency of a book at a day's end: its units, and its close in valuation currency, if there is one."""

    __tablename__ = "daily_holding"
    __table_args__ = (
        ForeignKeyConstraint(
            ["portfolio_id", "basis", "day"],
            ["daily_portfolio_value.portfolio_id", "daily_portfolio_value.basis", "daily_portfolio_value.day"],
            name="fk_daily_holding_portfolio_id_basis_day",
            ondelete="CASCADE",
        ),
    )

    portfolio_id: Mapped[UUID] = mapped_column(primary_key=True)
    basis: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    units: Mapped[Decimal]
    price: Mapped[Decimal | None]


class HistoryChangeRow(Base):
    """A day of a portfolio's history that is not what it was: triggers write it, and building the marts deletes it.

    Of `rebalances` it tells only what was changed or deleted; new rows are found by their `stored_at`. Of `days` it
    tells everything.
    """

    __tablename__ = "history_change"
    __table_args__ = (
        CheckConstraint(
            "subject IN ('rebalances', 'days') AND (subject = 'days') = (basis IS NOT NULL)", name="subject_known"
        ),
        Index(None, "stored_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    subject: Mapped[str]
    portfolio_id: Mapped[UUID]
    basis: Mapped[str | None]
    day: Mapped[date]
    stored_at: Mapped[datetime] = _created()


class NotificationRow(Base):
    """What is to be told to people; `next_attempt_at` is empty once it was sent or given up."""

    __tablename__ = "notification"
    __table_args__ = (
        _one_of("kind", *NotificationKind),
        CheckConstraint("attempts >= 0", name="attempts_valid"),
        Index("ix_notification_waiting", "next_attempt_at", postgresql_where=text("next_attempt_at IS NOT NULL")),
    )

    id: Mapped[UUID] = _id()
    kind: Mapped[str]
    subject: Mapped[str]
    title: Mapped[str]
    body: Mapped[str]
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class ActivityLogRow(Base):
    """Who did what, for people to read afterwards."""

    __tablename__ = "activity_log"
    __table_args__ = (Index(None, "occurred_at"),)

    id: Mapped[UUID] = _id()
    occurred_at: Mapped[datetime]
    action: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]]


class KillSwitchRow(Base):
    """Its row, one at most, stops every order of the installation."""

    __tablename__ = "kill_switch"
    __table_args__ = (CheckConstraint("only_row", name="only_row"),)

    only_row: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    reason: Mapped[str]
    engaged_at: Mapped[datetime]


class VenueKeyRow(Base):
    """What all processes must know together to use an account's key at its venue.

    `last_nonce` is the highest number sent with it, since the venue refuses a lower one. `rest_counter` is what the
    venue counted against the key at `rest_counted_at`, `trading_counters` the same per market.
    """

    __tablename__ = "venue_key"
    __table_args__ = (CheckConstraint("last_nonce >= 0", name="last_nonce_valid"), _finite("rest_counter", ">= 0"))

    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    last_nonce: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    rest_counter: Mapped[Decimal] = mapped_column(server_default=text("0"))
    rest_counted_at: Mapped[datetime | None]
    trading_counters: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))


class PaperBalanceRow(Base):
    """What an account holds at the paper venue: the venue's own state, never ours to book."""

    __tablename__ = "paper_balance"
    __table_args__ = (_finite("total", ">= 0"), CheckConstraint("locked >= 0 AND locked <= total", name="locked_valid"))

    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    total: Mapped[Decimal]
    locked: Mapped[Decimal] = mapped_column(server_default=text("0"))


class PaperOrderRow(Base):
    """An order at the paper venue. As at Kraken, a client order id is unique among open orders only."""

    __tablename__ = "paper_order"
    __table_args__ = (
        _one_of("side", *OrderSide),
        _one_of("status", "open", "closed", "canceled", "expired"),
        _finite("quantity", "> 0"),
        _finite("limit_price", "> 0"),
        CheckConstraint("filled_quantity >= 0 AND filled_quantity <= quantity", name="filled_quantity_valid"),
        Index("ix_paper_order_client", "account_id", "client_order_id"),
        Index(
            "uq_paper_order_open",
            "account_id",
            "client_order_id",
            unique=True,
            postgresql_where=text("status = 'open'"),
        ),
    )

    id: Mapped[UUID] = _id()
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    client_order_id: Mapped[str]
    symbol: Mapped[str]
    base_currency: Mapped[str]
    quote_currency: Mapped[str]
    side: Mapped[str]
    quantity: Mapped[Decimal]
    limit_price: Mapped[Decimal]
    filled_quantity: Mapped[Decimal] = mapped_column(server_default=text("0"))
    status: Mapped[str]
    reason: Mapped[str | None]
    created_at: Mapped[datetime]


class PaperTradeRow(Base):
    """An execution at the paper venue."""

    __tablename__ = "paper_trade"
    __table_args__ = (
        _finite("quantity", "> 0"),
        _finite("price", "> 0"),
        _finite("fee", "> '-Infinity'"),
        Index(None, "order_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    trade_id: Mapped[str] = mapped_column(unique=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("paper_order.id", ondelete="CASCADE"))
    quantity: Mapped[Decimal]
    price: Mapped[Decimal]
    fee: Mapped[Decimal]
    fee_currency: Mapped[str]
    executed_at: Mapped[datetime]


class RecordedClockRow(Base):
    """How the recording plays: its moment is `recorded_at` + (now - `started_at`) × `speed`. One row at most."""

    __tablename__ = "recorded_clock"
    __table_args__ = (CheckConstraint("only_row", name="only_row"), _finite("speed", "> 0"))

    only_row: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    recorded_at: Mapped[datetime]
    started_at: Mapped[datetime]
    speed: Mapped[Decimal]
