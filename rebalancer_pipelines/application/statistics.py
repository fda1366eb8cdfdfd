"""The statistics of one portfolio or of all, as one set and as the JSON document of it.

Decimals are strings in full, times ISO 8601 in UTC. The keys are the names of the marts and of their columns: other
programs rely on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from rebalancer_pipelines.application.documents import Document, moment
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.errors import AnalyticsNotBuiltError
from rebalancer_pipelines.domain.statistics import (
    ExecutionQuality,
    FailureReason,
    PerformanceDay,
    RebalanceStatistics,
    RecentRebalance,
    SuccessRate,
    TradedValue,
)
from rebalancer_pipelines.domain.values import plain

RECENT = 10
"""So many rebalances are recent."""


@dataclass(frozen=True, slots=True)
class StatisticsOverview:
    """What people judge a rebalancer by. The names are those of the marts."""

    portfolio: str | None
    rebalance_success_rate: Sequence[SuccessRate]
    traded_value: Sequence[TradedValue]
    rebalance_statistics: Sequence[RebalanceStatistics]
    execution_quality: Sequence[ExecutionQuality]
    portfolio_performance: Sequence[PerformanceDay]
    failure_reasons: Sequence[FailureReason]
    recent_rebalances: Sequence[RecentRebalance]


def read_statistics(ports: Ports, name: str | None) -> StatisticsOverview:
    """The statistics of a portfolio; of all together when none is named.

    Raises `NotFoundError` for an unknown portfolio, `AnalyticsNotBuiltError` while there are no marts.
    """
    with ports.transactions() as work:
        portfolio_id = work.portfolios.get(name).id if name is not None else None
        marts = work.statistics
        if not marts.are_built():
            raise AnalyticsNotBuiltError
        return StatisticsOverview(
            portfolio=name,
            rebalance_success_rate=marts.success_rates(portfolio_id),
            traded_value=marts.traded_values(portfolio_id),
            rebalance_statistics=marts.rebalance_statistics(portfolio_id),
            execution_quality=marts.execution_quality(portfolio_id),
            portfolio_performance=marts.latest_performance(portfolio_id),
            failure_reasons=marts.failure_reasons(portfolio_id),
            recent_rebalances=marts.recent_rebalances(portfolio_id, RECENT),
        )


def statistics_document(overview: StatisticsOverview) -> Document:
    """The overview for programs."""
    marts = (field.name for field in fields(overview) if field.name != "portfolio")
    return {"portfolio": overview.portfolio} | {
        mart: [_document(row) for row in getattr(overview, mart)] for mart in marts
    }


def _written(value: Any) -> Any:
    match value:
        case Decimal():
            return plain(value)
        case datetime():
            return moment(value)
        case date():
            return value.isoformat()
        case UUID() | StrEnum():
            return str(value)
        case _:
            return value


def _document(row: Any) -> Document:
    return {field.name: _written(getattr(row, field.name)) for field in fields(row)}
