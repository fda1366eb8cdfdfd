"""A rebalance, from the trigger that started it to the record that stays of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from rebalancer_pipelines.domain.errors import DenialReason
from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.portfolio import Holdings
from rebalancer_pipelines.domain.values import ZERO, Currency


class TriggeredBy(StrEnum):
    """What asked for a rebalance."""

    SCHEDULER = "scheduler"
    SENSOR = "sensor"
    MANUAL = "manual"
    API = "api"
    BACKFILL = "backfill"


class RebalanceStatus(StrEnum):
    """An ACTIVE rebalance holds its account; a FINISHED one has its history row."""

    ACTIVE = "active"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to trade an account, fenced by `epoch`: every later holder has a higher one."""

    account_id: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class Rebalance:
    """One attempt to bring a portfolio to its targets, unique per Dagster run and portfolio.

    `confirmed` are the limits that a person has waived for this one attempt.
    """

    id: UUID
    portfolio_id: UUID
    account_id: UUID
    epoch: int
    status: RebalanceStatus
    dry_run: bool
    triggered_by: TriggeredBy
    dagster_run_id: str
    started_at: datetime
    confirmed: frozenset[DenialReason] = frozenset()
    scheduled_for: datetime | None = None
    finished_at: datetime | None = None
    portfolio_value: Decimal | None = None
    plan_hash: str | None = None

    @property
    def lease(self) -> Lease:
        """The lease under which this rebalance writes."""
        return Lease(self.account_id, self.epoch)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a rebalance is, and whether it moves money at all."""

    portfolio_id: UUID
    dry_run: bool


@dataclass(frozen=True, slots=True)
class RebalanceTimes:
    """A portfolio's times after an attempt; None leaves the stored one as it is.

    Its claim ends when its due time is not later than `answered_until`; with None it stays open.
    """

    portfolio_id: UUID
    last_rebalanced_at: datetime | None
    next_rebalance_at: datetime | None
    answered_until: datetime | None = None


class PositionPhase(StrEnum):
    """Whether a position was seen before the orders of a rebalance or after them."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class WeighedPosition:
    """A managed currency of a portfolio as one rebalance saw it; weights in percent, value in valuation currency."""

    currency: Currency
    quantity: Decimal
    free: Decimal
    price: Decimal
    value: Decimal
    weight: Decimal
    target: Decimal


@dataclass(frozen=True, slots=True)
class PlannedRebalance:
    """A rebalance with everything that its plan rests on, to be stored at once. `plan` is the document people see."""

    rebalance: Rebalance
    balances: Holdings
    marks: Sequence[PriceMark]
    positions: Sequence[WeighedPosition]
    plan: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How one attempt of a run ended: what its row in the history has of it."""

    success: bool
    orders_executed: int
    errors: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class RebalanceRecord:
    """The row that stays in `rebalance_history`: one for every attempt, also a denied or failed one.

    `orders` is JSON (Decimals as strings): every order with its fills, then every currency left alone, state SKIPPED,
    with its reason. `errors` is None when nothing went wrong, else a list of
    `{code, message}`. `portfolio_value` is None when the attempt ended before it was known. `price_source` says
    whether the prices were of a recording. `value_crossed` is what of the traded value changed hands inside the
    account, `fees_saved` what the venue would have taken for it.
    """

    id: UUID
    portfolio_id: UUID
    executed_at: datetime
    scheduled_for: datetime | None
    success: bool
    dry_run: bool
    portfolio_value: Decimal | None
    orders_planned: int
    orders_executed: int
    orders_failed: int
    total_value_traded: Decimal
    fees_paid: Decimal
    orders: list[dict[str, Any]]
    errors: list[dict[str, Any]] | None
    triggered_by: TriggeredBy
    duration_ms: int
    price_source: str
    plan_hash: str | None
    dagster_run_id: str | None
    value_crossed: Decimal = ZERO
    fees_saved: Decimal = ZERO
