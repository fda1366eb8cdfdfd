"""What dbt has built in the schema `analytics`, read as it stands there, and the daily holdings beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Date,
    Executable,
    Numeric,
    Select,
    TableClause,
    Text,
    cast,
    column,
    func,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from rebalancer_pipelines.adapters.postgres.tables import DailyHoldingRow, DailyPortfolioValueRow
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

SCHEMA = "analytics"

_MARTS: Mapping[type[Any], str] = {
    SuccessRate: "rebalance_success_rate",
    TradedValue: "traded_value",
    RebalanceStatistics: "rebalance_statistics",
    ExecutionQuality: "execution_quality",
    PerformanceDay: "portfolio_performance",
    DriftStep: "drift_history",
    FailureReason: "failure_reasons",
    RecentRebalance: "recent_rebalances",
}
_TYPES: Mapping[type[Any], TypeEngine[Any]] = {Decimal: Numeric(), int: BigInteger(), str: Text(), date: Date()}
"""Sums and percentiles have types of their own in PostgreSQL; the program knows these."""

_Row = TypeVar("_Row")


class PostgresStatistics:
    """Implements `ports.Statistics`. The fields of a value are the columns of its mart.

    Modes are in descending order of their names: live, dry run, backfill.
    """

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def are_built(self) -> bool:
        """Whether every mart that is read here stands."""
        standing = select(*(func.to_regclass(f"{SCHEMA}.{name}").is_not(None) for name in _MARTS.values()))
        return all(self._session.execute(standing).one())

    def success_rates(self, portfolio_id: UUID | None, grain: Grain = Grain.ALL) -> Sequence[SuccessRate]:
        """How often rebalances succeeded, by mode and period."""
        mart = _mart(SuccessRate)
        statement = _of(portfolio_id, _rows(SuccessRate)).where(mart.c.grain == grain.value)
        return self._read(SuccessRate, statement.order_by(mart.c.run_mode.desc(), mart.c.period_start))

    def traded_values(self, portfolio_id: UUID | None, grain: Grain = Grain.ALL) -> Sequence[TradedValue]:
        """What was traded, by mode, period, currency and side."""
        mart = _mart(TradedValue)
        statement = _of(portfolio_id, _rows(TradedValue)).where(mart.c.grain == grain.value)
        order = (mart.c.run_mode.desc(), mart.c.period_start, mart.c.currency, mart.c.side, mart.c.valuation_currency)
        return self._read(TradedValue, statement.order_by(*order))

    def rebalance_statistics(self, portfolio_id: UUID | None) -> Sequence[RebalanceStatistics]:
        """Counts, sums and times of rebalances, by mode."""
        mart = _mart(RebalanceStatistics)
        statement = _of(portfolio_id, _rows(RebalanceStatistics))
        return self._read(RebalanceStatistics, statement.order_by(mart.c.run_mode.desc(), mart.c.valuation_currency))

    def execution_quality(self, portfolio_id: UUID | None) -> Sequence[ExecutionQuality]:
        """How well orders were filled, by mode, market and side; None means every portfolio on its own."""
        mart = _mart(ExecutionQuality)
        statement = _rows(ExecutionQuality)
        if portfolio_id is not None:
            statement = _of(portfolio_id, statement)
        order = (mart.c.portfolio_name, mart.c.run_mode.desc(), mart.c.symbol, mart.c.side)
        return self._read(ExecutionQuality, statement.order_by(*order))

    def latest_performance(self, portfolio_id: UUID | None) -> Sequence[PerformanceDay]:
        """The newest day with a value, per basis; None means every portfolio on its own, by name."""
        mart = _mart(PerformanceDay)
        statement = (
            _rows(PerformanceDay)
            .ext(distinct_on(mart.c.portfolio_name, mart.c.portfolio_id, mart.c.basis))
            .where(mart.c.value.is_not(None))
            .order_by(mart.c.portfolio_name, mart.c.portfolio_id, mart.c.basis, mart.c.day.desc())
        )
        if portfolio_id is not None:
            statement = _of(portfolio_id, statement)
        return self._read(PerformanceDay, statement)

    def performance(self, portfolio_id: UUID, basis: HistoryBasis) -> Sequence[PerformanceDay]:
        """Every day of a history, in order."""
        mart = _mart(PerformanceDay)
        statement = _of(portfolio_id, _rows(PerformanceDay)).where(mart.c.basis == basis.value)
        return self._read(PerformanceDay, statement.order_by(mart.c.day))

    def holdings(self, portfolio_id: UUID, basis: HistoryBasis) -> Sequence[DailyHolding]:
        """What the book held at the end of every day, by day and currency."""
        row = DailyHoldingRow
        statement = (
            select(row.day, row.currency, row.units, (row.units * row.price).label("value"))
            .where(row.portfolio_id == portfolio_id, row.basis == basis.value)
            .order_by(row.day, row.currency)
        )
        return self._read(DailyHolding, statement)

    def missing_prices(self, portfolio_id: UUID, basis: HistoryBasis) -> Sequence[MissingPrices]:
        """The days without a value, in order."""
        row = DailyPortfolioValueRow
        statement = (
            select(row.day, row.missing)
            .where(row.portfolio_id == portfolio_id, row.basis == basis.value, row.value.is_(None))
            .order_by(row.day)
        )
        return [MissingPrices(day, tuple(missing)) for day, missing in self._session.execute(statement)]

    def drift_steps(self, portfolio_id: UUID) -> Sequence[DriftStep]:
        """The distance from the targets around every rebalance, in order."""
        mart = _mart(DriftStep)
        statement = _of(portfolio_id, _rows(DriftStep))
        return self._read(DriftStep, statement.order_by(mart.c.executed_at, mart.c.rebalance_id))

    def failure_reasons(self, portfolio_id: UUID | None) -> Sequence[FailureReason]:
        """Why rebalances failed, by mode, the most frequent first."""
        mart = _mart(FailureReason)
        statement = _of(portfolio_id, _rows(FailureReason))
        return self._read(
            FailureReason, statement.order_by(mart.c.run_mode.desc(), mart.c.occurrences.desc(), mart.c.code)
        )

    def recent_rebalances(
        self, portfolio_id: UUID | None, limit: int, modes: Collection[RunMode] = tuple(RunMode)
    ) -> Sequence[RecentRebalance]:
        """The newest rebalances of these modes, newest first; None means those of every portfolio."""
        mart = _mart(RecentRebalance)
        statement = _rows(RecentRebalance)
        if portfolio_id is not None:
            statement = _of(portfolio_id, statement)
        if len(modes) < len(RunMode):
            statement = statement.where(mart.c.run_mode.in_([mode.value for mode in modes]))
        newest_first = statement.order_by(mart.c.executed_at.desc(), mart.c.id.desc())
        return self._read(RecentRebalance, newest_first.limit(limit))

    def _read(self, kind: type[_Row], statement: Executable) -> list[_Row]:
        words = _words(kind)
        return [
            kind(**{name: words[name](value) if name in words else value for name, value in row.items()})
            for row in self._session.execute(statement).mappings()
        ]


@cache
def _mart(kind: type[Any]) -> TableClause:
    names = {field.name for field in fields(kind)} | {"id", "rebalance_id", "portfolio_id", "grain"}
    return table(_MARTS[kind], *map(column, sorted(names)), schema=SCHEMA)


def _rows(kind: type[Any]) -> Select[Any]:
    mart, hints = _mart(kind), get_type_hints(kind)
    found = ((name, mart.c[name], _TYPES.get(_bare(hint))) for name, hint in hints.items())
    return select(*((cast(value, known) if known else value).label(name) for name, value, known in found))


def _of(portfolio_id: UUID | None, statement: Select[Any]) -> Select[Any]:
    owner = column("portfolio_id")
    return statement.where(owner.is_(None) if portfolio_id is None else owner == portfolio_id)


def _words(kind: type[Any]) -> Mapping[str, type[StrEnum]]:
    """The fields that hold words of the domain."""
    hints = get_type_hints(kind)
    return {name: hint for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, StrEnum)}


def _bare(hint: Any) -> Any:
    """A type hint without its `| None`."""
    if not isinstance(hint, UnionType):
        return hint
    return next(part for part in get_args(hint) if part is not type(None))
