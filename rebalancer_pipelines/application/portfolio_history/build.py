"""Valuing books day by day, and knowing which days are to be valued again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.daily_value import BuiltDay, MissingCloses, ValueCurve
from rebalancer_pipelines.domain.day_span import DaySpan, last_ended_day
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.rehearsal import REHEARSED_YEAR

FIRST_DAY_OF_HISTORY = REHEARSED_YEAR.first
"""No book is older: rehearsals begin on it, and ledgers when their accounts were added."""

_BOOKS_AT_ONCE = 500
"""So many portfolios are valued in one transaction at most, a month of each."""

_NEWEST = 50
_YEAR = timedelta(days=365)


def chosen_portfolios(ports: Ports, portfolio: str | None) -> Sequence[UUID]:
    """The named portfolio, or all of them. Raises `NotFoundError`."""
    with ports.transactions() as work:
        return [work.portfolios.get(portfolio).id] if portfolio else [each.id for each in work.portfolios.all()]


def build_days(ports: Ports, portfolio_ids: Sequence[UUID], span: DaySpan) -> Iterator[Sequence[BuiltDay]]:
    """Value books at the end of every day of a span; yields what came of each month once it is stored.

    Whatever stops it has lost nothing: what is stored is right, and building it again changes no row. Nothing that
    trades waits for it. Raises `InvalidInputError` unless all days have ended.
    """
    span.check_ended(ports.clock.now())
    for month in months_of(span):
        built: list[BuiltDay] = []
        for first in range(0, len(portfolio_ids), _BOOKS_AT_ONCE):
            with ports.transactions() as work:
                built += work.daily_values.build(portfolio_ids[first : first + _BOOKS_AT_ONCE], month)
                work.commit()
        yield _by_day(built)


def outdated_span(ports: Ports) -> DaySpan | None:
    """From the first to the last day that building would change: of late entries, of new closes, and of yesterday."""
    until_now = DaySpan(FIRST_DAY_OF_HISTORY, last_ended_day(ports.clock.now()))
    portfolio_ids = chosen_portfolios(ports, None)
    with ports.transactions() as work:
        days = work.daily_values.outdated(portfolio_ids, until_now)
    return DaySpan(days[0], days[-1]) if days else None


def days_without_value(ports: Ports) -> tuple[int, Sequence[MissingCloses]]:
    """How many days of books have no value, and the newest of them."""
    with ports.transactions() as work:
        return work.daily_values.without_value(_NEWEST)


def value_curves(ports: Ports, last: date, most: int) -> Sequence[ValueCurve]:
    """The values of the year that ends with a day: per basis and currency, of so many portfolios at most."""
    with ports.transactions() as work:
        return work.daily_values.curves(DaySpan(last - _YEAR, last), most)


def check_closes(ports: Ports, portfolio_ids: Sequence[UUID], span: DaySpan) -> None:
    """Raise `InvalidInputError` when books need closes of these days and there is none at all."""
    with ports.transactions() as work:
        closes = work.daily_values.closes(portfolio_ids, span)
    if closes and not any(closes.values()):
        raise InvalidInputError(
            "days",
            str(span),
            f"have no closing price of {', '.join(sorted(closes))}; choose other days, or import some with "
            "'rebalancer bars import'",
        )


def months_of(span: DaySpan) -> list[DaySpan]:
    """The span in pieces, each within one month."""
    months: list[DaySpan] = []
    first = span.first
    while first <= span.last:
        next_month = (first.replace(day=1) + timedelta(days=32)).replace(day=1)
        months.append(DaySpan(first, min(span.last, next_month - timedelta(days=1))))
        first = next_month
    return months


def _by_day(built: Iterable[BuiltDay]) -> list[BuiltDay]:
    """What came of each day, whichever books it was built for together."""
    days: dict[date, BuiltDay] = {}
    for part in built:
        known = days.get(part.day)
        days[part.day] = (
            replace(
                part,
                books=known.books + part.books,
                changed=known.changed + part.changed,
                missing=(*known.missing, *part.missing),
            )
            if known
            else part
        )
    return [days[day] for day in sorted(days)]
