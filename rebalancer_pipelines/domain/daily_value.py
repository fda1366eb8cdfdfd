"""What portfolios were worth day by day: what building those days has come to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from rebalancer_pipelines.domain.history_basis import HistoryBasis
from rebalancer_pipelines.domain.values import Currency


@dataclass(frozen=True, slots=True)
class MissingCloses:
    """Currencies of one book for which a day has no close, so that the day has no value."""

    portfolio: str
    basis: HistoryBasis
    day: date
    currencies: tuple[Currency, ...]


@dataclass(frozen=True, slots=True)
class BuiltDay:
    """One day of several portfolios: how many books were valued, and how many of those were not right before."""

    day: date
    books: int
    changed: int
    missing: tuple[MissingCloses, ...]


@dataclass(frozen=True, slots=True)
class ValueCurve:
    """What one book was worth on each day that was built, in order; None where a close is missing.

    `among`: it is one of so many books of its basis and currency that have a value.
    """

    portfolio: str
    basis: HistoryBasis
    valuation_currency: Currency
    days: tuple[tuple[date, Decimal | None], ...]
    among: int
