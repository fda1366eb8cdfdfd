"""What analytics have made of the history. Nothing here decides a trade: it is read by people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from rebalancer_pipelines.domain.history_basis import HistoryBasis
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


class Statistics(Protocol):
    """The marts. A portfolio of None means the figures of all portfolios together, unless something else is said."""

    def are_built(self) -> bool:
        """Whether every mart that is read here stands."""
        ...

    def success_rates(self, portfolio_id: UUID | None, grain: Grain = Grain.ALL) -> Sequence[SuccessRate]:
        """How often rebalances succeeded, by mode and period."""
        ...

    def traded_values(self, portfolio_id: UUID | None, grain: Grain = Grain.ALL) -> Sequence[TradedValue]:
        """What was traded, by mode, period, currency and side."""
        ...

    def rebalance_statistics(self, portfolio_id: UUID | None) -> Sequence[RebalanceStatistics]:
        """Counts, sums and times of rebalances, by mode."""
        ...

    def execution_quality(self, portfolio_id: UUID | None) -> Sequence[ExecutionQuality]:
        """How well orders were filled, by mode, market and side; None means every portfolio on its own."""
        ...

    def latest_performance(self, portfolio_id: UUID | None) -> Sequence[PerformanceDay]:
        """The newest day with a value, per basis; None means every portfolio on its own, by name."""
        ...

    def performance(self, portfolio_id: UUID, basis: HistoryBasis) -> Sequence[PerformanceDay]:
        """Every day of a history, in order."""
        ...

    def holdings(self, portfolio_id: UUID, basis: HistoryBasis) -> Sequence[DailyHolding]:
        """What the book held at the end of every day, by day and currency."""
        ...

    def missing_prices(self, portfolio_id: UUID, basis: HistoryBasis) -> Sequence[MissingPrices]:
        """The days without a value, in order."""
        ...

    def drift_steps(self, portfolio_id: UUID) -> Sequence[DriftStep]:
        """The distance from the targets around every rebalance, in order."""
        ...

    def failure_reasons(self, portfolio_id: UUID | None) -> Sequence[FailureReason]:
        """Why rebalances failed, by mode, the most frequent first."""
        ...

    def recent_rebalances(
        self, portfolio_id: UUID | None, limit: int, modes: Collection[RunMode] = tuple(RunMode)
    ) -> Sequence[RecentRebalance]:
        """The newest rebalances of these modes, newest first; None means those of every portfolio."""
        ...
