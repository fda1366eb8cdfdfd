"""All that a report tells of one portfolio, gathered in one transaction; what happened and what was rehearsed apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from rebalancer_pipelines.application.ports import Ports, Statistics
from rebalancer_pipelines.application.statistics import RECENT
from rebalancer_pipelines.domain.errors import AnalyticsNotBuiltError
from rebalancer_pipelines.domain.history_basis import HistoryBasis
from rebalancer_pipelines.domain.portfolio import Account, Portfolio
from rebalancer_pipelines.domain.statistics import (
    DailyHolding,
    DriftStep,
    ExecutionQuality,
    FailureReason,
    Grain,
    MissingPrices,
    PerformanceDay,
    RebalanceStatistics,
    RecentRebalance,
    RunMode,
    SuccessRate,
    TradedValue,
)

_MODES = {
    HistoryBasis.BOOKED: (RunMode.LIVE, RunMode.DRY_RUN),
    HistoryBasis.REHEARSED: (RunMode.BACKFILL,),
}
"""Whose rebalances belong to a basis; the charts show the first."""

_MOST_PERIODS = 60
"""So many columns can still be told apart on a phone."""


@dataclass(frozen=True, slots=True)
class ReportedHistory:
    """One basis of a portfolio's history.

    `success_rates`, `traded_values` (both per period of `grain`) and `drift_steps` are those of `charted` alone; the
    figures per mode name theirs. `days` has every day that was built, in order.
    """

    basis: HistoryBasis
    charted: RunMode
    grain: Grain
    days: Sequence[PerformanceDay]
    holdings: Sequence[DailyHolding]
    missing: Sequence[MissingPrices]
    success_rates: Sequence[SuccessRate]
    traded_values: Sequence[TradedValue]
    drift_steps: Sequence[DriftStep]
    overall: Sequence[SuccessRate]
    statistics: Sequence[RebalanceStatistics]
    execution_quality: Sequence[ExecutionQuality]
    failure_reasons: Sequence[FailureReason]
    recent: Sequence[RecentRebalance]

    @property
    def newest(self) -> PerformanceDay | None:
        """The newest day that has a value."""
        return next((day for day in reversed(self.days) if day.value is not None), None)

    @property
    def span(self) -> tuple[date, date]:
        """The first and the last day that anything is told of."""
        told = [day.day for day in self.days] + [step.executed_at.date() for step in self.drift_steps]
        told += [row.executed_at.date() for row in self.recent]
        return min(told), max(told)


@dataclass(frozen=True, slots=True)
class PortfolioReport:
    """A portfolio with its histories, as of `made_at`."""

    portfolio: Portfolio
    account: Account
    made_at: datetime
    histories: Sequence[ReportedHistory]


def read_report(ports: Ports, name: str) -> PortfolioReport:
    """Gather the report of a portfolio.

    Raises `NotFoundError` for an unknown one, `AnalyticsNotBuiltError` while there are no marts.
    """
    with ports.transactions() as work:
        portfolio = work.portfolios.get(name)
        if not work.statistics.are_built():
            raise AnalyticsNotBuiltError
        histories = [_history(work.statistics, portfolio.id, basis) for basis in HistoryBasis]
        return PortfolioReport(
            portfolio=portfolio,
            account=work.accounts.by_id(portfolio.account_id),
            made_at=ports.clock.now(),
            histories=[history for history in histories if history.days or history.recent],
        )


def _history(marts: Statistics, portfolio_id: UUID, basis: HistoryBasis) -> ReportedHistory:
    modes = _MODES[basis]
    charted = modes[0]
    days = marts.performance(portfolio_id, basis)
    drift = [step for step in marts.drift_steps(portfolio_id) if step.run_mode is charted]
    told = [day.day for day in days] + [step.executed_at.date() for step in drift]
    grain = _grain(max(told) - min(told)) if told else Grain.DAY
    return ReportedHistory(
        basis=basis,
        charted=charted,
        grain=grain,
        days=days,
        holdings=marts.holdings(portfolio_id, basis),
        missing=marts.missing_prices(portfolio_id, basis),
        success_rates=[row for row in marts.success_rates(portfolio_id, grain) if row.run_mode is charted],
        traded_values=[row for row in marts.traded_values(portfolio_id, grain) if row.run_mode is charted],
        drift_steps=drift,
        overall=[row for row in marts.success_rates(portfolio_id) if row.run_mode in modes],
        statistics=[row for row in marts.rebalance_statistics(portfolio_id) if row.run_mode in modes],
        execution_quality=[row for row in marts.execution_quality(portfolio_id) if row.run_mode in modes],
        failure_reasons=[row for row in marts.failure_reasons(portfolio_id) if row.run_mode in modes],
        recent=marts.recent_rebalances(portfolio_id, RECENT, modes),
    )


def _grain(span: timedelta) -> Grain:
    """The finest grain whose periods a chart can show."""
    if span.days < _MOST_PERIODS:
        return Grain.DAY
    return Grain.WEEK if span.days < _MOST_PERIODS * 7 else Grain.MONTH
