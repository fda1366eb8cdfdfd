"""Portfolios and the accounts they live on, with the rules a person gave them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from rebalancer_pipelines.domain.account_settings import AccountSettings
from rebalancer_pipelines.domain.calendar import RebalanceInterval, next_due
from rebalancer_pipelines.domain.drift import DriftBand
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.values import EXACT, ZERO, Currency
from rebalancer_pipelines.domain.weights import TargetWeights

PAPER_VENUE = "paper"
"""The venue whose money is play money; every other one is real."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class TradingState(StrEnum):
    """Whether an account may trade: freely, only to sell down, or not at all."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """Where the key of an account comes from: two environment variables, or `sealed`, a text that only the
    installation's own key file opens. It never holds a secret in clear.
    """

    key_env: str | None = None
    secret_env: str | None = None
    sealed: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """One login at one venue. It carries the lease, the risk limits and the trading state.

    `live_trading`: somebody has allowed it, by name, to trade real money. `endpoint` is another address of the venue's
    API. `reconciled_at`: until then every movement at the venue is in the books. `resumed_at`: failures before it do
    not count against the account any more.
    """

    id: UUID
    name: str
    venue: str
    price_source: str
    trading_state: TradingState
    trading_state_reason: str | None
    created_at: datetime
    settings: AccountSettings
    live_trading: bool = False
    endpoint: str | None = None
    credentials: CredentialSource | None = None
    reconciled_at: datetime | None = None
    resumed_at: datetime | None = None

    @property
    def is_paper(self) -> bool:
        """Whether its money is play money."""
        return self.venue == PAPER_VENUE


@dataclass(frozen=True, slots=True)
class RebalancePolicy:
    """What is worth an order.

    `threshold`: smallest value of an order, in valuation currency. `band`: None trades at any drift.
    `max_orders`: None sets no limit, else the largest drifts come first. `cash_reserve`: fraction of the portfolio's
    value that buys leave in valuation currency, so that prices that move before a fill do not overspend.
    """

    threshold: Decimal = Decimal(10)
    band: DriftBand | None = None
    max_orders: int | None = None
    cash_reserve: Decimal = Decimal("0.01")

    def __post_init__(self) -> None:
        if not self.threshold.is_finite() or self.threshold <= ZERO:
            raise InvalidInputError("threshold", str(self.threshold), "must be a number greater than 0")
        if self.band is not None and (not self.band.width.is_finite() or not ZERO < self.band.width <= 100):
            raise InvalidInputError("band", str(self.band.width), "must be above 0 and at most 100 percent")
        if self.max_orders is not None and self.max_orders < 1:
            raise InvalidInputError("max_orders", self.max_orders, "must be at least 1")
        if not self.cash_reserve.is_finite() or not ZERO <= self.cash_reserve < 1:
            raise InvalidInputError("cash_reserve", str(self.cash_reserve), "must be a fraction from 0 to below 1")


@dataclass(frozen=True, slots=True)
class Portfolio:
    """What somebody wants to hold: target weights, and when and how to return to them.

    `anchor_at` is the moment from which due times are counted. One that is paused is left alone by everything that runs
    by itself, since it failed too often; a person may still rebalance it.
    """

    id: UUID
    name: str
    description: str
    account_id: UUID
    valuation_currency: Currency
    weights: TargetWeights
    policy: RebalancePolicy
    interval: RebalanceInterval
    time_zone: ZoneInfo
    enabled: bool
    anchor_at: datetime
    last_rebalanced_at: datetime | None
    next_rebalance_at: datetime | None
    created_at: datetime
    updated_at: datetime
    paused_at: datetime | None = None
    paused_reason: str | None = None
    failures_in_a_row: int = 0

    def due_after(self, moment: datetime) -> datetime:
        """When it is due next once everything up to `moment` is answered, in UTC."""
        stored = self.next_rebalance_at
        if stored is not None and stored > moment:
            return stored
        return next_due(self.interval, anchor=self.anchor_at, after=moment, zone=self.time_zone)


@dataclass(frozen=True, slots=True)
class Holding:
    """Units of one currency: `total` counts for value, only `free` may be sold or spent."""

    total: Decimal
    free: Decimal

    @property
    def locked(self) -> Decimal:
        """Units that count for value but cannot be traded (staked, bonded, in open orders)."""
        return EXACT.subtract(self.total, self.free)


Holdings = Mapping[Currency, Holding]


def parse_name(text: str, *, field: str) -> str:
    """Check a name that people type and that keys Dagster's partitions. Raises `InvalidInputError`."""
    if not _NAME.fullmatch(text):
        raise InvalidInputError(
            field,
            text,
            "is not a name; use up to 63 letters, digits, - or _, starting with a letter or digit",
        )
    return text
