"""What the history of rebalances adds up to, and how portfolios did: one value per row of a mart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from rebalancer_pipelines.domain.history_basis import HistoryBasis


class RunMode(StrEnum):
    """How rebalances ran; no figure ever mixes two of them.

    LIVE ones sent their orders, also to a paper venue; a DRY_RUN sent nothing; a BACKFILL was rehearsed on the past.
    """

    LIVE = "live"
    DRY_RUN = "dry_run"
    BACKFILL = "backfill"


class Grain(StrEnum):
    """The span of time that a figure sums up; weeks start on Mondays, in UTC."""

    ALL = "all"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class SuccessRate:
    """How many rebalances of a span succeeded; `success_rate` in percent."""

    portfolio_name: str | None
    run_mode: RunMode
    period_start: date | None
    rebalances: int
    successes: int
    failures: int
    success_rate: Decimal


@dataclass(frozen=True, slots=True)
class TradedValue:
    """What was traded of one currency on one side in a span; `traded_value` in valuation currency."""

    portfolio_name: str | None
    run_mode: RunMode
    period_start: date | None
    currency: str
    side: str
    valuation_currency: str
    orders: int
    quantity: Decimal
    traded_value: Decimal


@dataclass(frozen=True, slots=True)
class RebalanceStatistics:
    """All rebalances of one mode in figures."""

    portfolio_name: str | None
    run_mode: RunMode
    valuation_currency: str
    rebalances: int
    total_value_traded: Decimal
    average_portfolio_value: Decimal | None
    average_duration_ms: Decimal
    p95_duration_ms: Decimal
    orders_planned: int
    orders_executed: int
    orders_failed: int
    fees_paid: Decimal


@dataclass(frozen=True, slots=True)
class ExecutionQuality:
    """How well fills of a market went; slippage against the decision's mid, positive when it cost money."""

    portfolio_name: str | None
    run_mode: RunMode
    symbol: str
    side: str
    fills: int
    notional: Decimal
    slippage_bps: Decimal | None
    fees_bps: Decimal | None
    maker_share: Decimal | None
    median_seconds_to_fill: Decimal | None


@dataclass(frozen=True, slots=True)
class PerformanceDay:
    """How a portfolio stood at a day's end, on one basis; returns, drawdown and volatility are fractions.

    Without a value nothing else is known of the day. `hold_value` and `hold_return` are those of the same money held
    at the first day's weights and never traded; `edge` is what rebalancing added to that.
    """

    portfolio_id: UUID
    portfolio_name: str
    basis: HistoryBasis
    day: date
    valuation_currency: str
    value: Decimal | None
    inflow: Decimal | None
    outflow: Decimal | None
    daily_return: Decimal | None
    cumulative_return: Decimal | None
    drawdown: Decimal | None
    volatility: Decimal | None
    fees_to_date: Decimal | None
    fee_drag: Decimal | None
    hold_value: Decimal | None
    hold_return: Decimal | None
    edge: Decimal | None


@dataclass(frozen=True, slots=True)
class DailyHolding:
    """What one currency of a book was worth at a day's end; None where it has no price."""

    day: date
    currency: str
    units: Decimal
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class MissingPrices:
    """A day without a value, and the currencies that had no price."""

    day: date
    currencies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DriftStep:
    """How far a portfolio was from its targets around one rebalance, in percentage points."""

    run_mode: RunMode
    executed_at: datetime
    drift_before: Decimal | None
    drift_after: Decimal | None


@dataclass(frozen=True, slots=True)
class FailureReason:
    """Why rebalances failed or were denied, counted by code."""

    portfolio_name: str | None
    run_mode: RunMode
    code: str
    occurrences: int
    last_at: datetime
    last_message: str | None


@dataclass(frozen=True, slots=True)
class RecentRebalance:
    """One rebalance as a list shows it."""

    portfolio_name: str
    executed_at: datetime
    run_mode: RunMode
    success: bool
    orders_executed: int
    total_value_traded: Decimal
    portfolio_value: Decimal | None
    valuation_currency: str
    triggered_by: str
    duration_ms: int
    first_error: str | None
