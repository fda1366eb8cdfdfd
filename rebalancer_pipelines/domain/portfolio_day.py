"""What became of a portfolio over a span of time, for people who want one message a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from rebalancer_pipelines.domain.portfolio import TradingState
from rebalancer_pipelines.domain.values import Currency


@dataclass(frozen=True, slots=True)
class PortfolioDay:
    """One portfolio: its `value` at the newest known prices, the `value_before` the span, and what was done in it.

    `rebalances`, `refusals` (denied or failed), `traded` and `fees` leave dry runs out; `dry_runs` counts those.
    Amounts are in valuation currency; a value is None while none is known.
    """

    name: str
    valuation_currency: Currency
    value: Decimal | None
    valued_at: datetime | None
    value_before: Decimal | None
    rebalances: int
    refusals: int
    dry_runs: int
    traded: Decimal
    fees: Decimal
    enabled: bool
    next_rebalance_at: datetime | None
    paused_reason: str | None
    account: str
    trading_state: TradingState
    trading_state_reason: str | None
