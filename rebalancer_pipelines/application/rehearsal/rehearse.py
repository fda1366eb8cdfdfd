"""Rehearsing a portfolio: its attempts of the recorded year, one after the other, each with what the last one left."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rebalancer_pipelines.application.ports import Ports, RecordedMarket
from rebalancer_pipelines.application.rehearsal.attempt import rehearse_attempt
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.rehearsal import REHEARSED_YEAR, RehearsedRebalance, due_times
from rebalancer_pipelines.domain.values import Currency

_RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class RehearsalProgress:
    """How far portfolios have been rehearsed; `mark` changes with every month that is stored of one."""

    mark: str
    is_complete: bool


def rehearse(
    ports: Ports, market: RecordedMarket, name: str, deposits: Mapping[Currency, Decimal]
) -> Iterator[Sequence[RehearsedRebalance]]:
    """Rehearse a portfolio with this play money; yields the attempts of each month once they are stored.

    What is stored already is left as it is: one that was stopped goes on after its last month, and one that is complete
    changes nothing. Raises `InvalidInputError` for a portfolio on another market than the recorded one.
    """
    while attempts := _rehearse_month(ports, market, name, deposits):
        yield attempts


def rehearsal_progress(ports: Ports, names: Collection[str]) -> RehearsalProgress:
    """How far these portfolios have been rehearsed."""
    marks: list[str] = []
    is_complete = True
    with ports.transactions() as work:
        for portfolio in (work.portfolios.get(name) for name in sorted(names)):
            latest = work.rehearsals.latest(portfolio.id)
            marks.append(f"{portfolio.name} {latest:%Y-%m-%d}" if latest else portfolio.name)
            is_complete = is_complete and next(due_times(portfolio, after=latest), None) is None
    return RehearsalProgress(", ".join(marks), is_complete)


def _rehearse_month(
    ports: Ports, market: RecordedMarket, name: str, deposits: Mapping[Currency, Decimal]
) -> Sequence[RehearsedRebalance]:
    """The attempts of the first month that has some left, in one transaction; none when there is no such month."""
    attempts: list[RehearsedRebalance] = []
    with ports.transactions() as work:
        portfolio = work.portfolios.get(name)
        account = work.accounts.by_id(portfolio.account_id)
        if account.price_source != _RECORDED:
            raise InvalidInputError("portfolio", name, "is not on the recorded market; nothing of it can be rehearsed")
        work.rehearsals.begin(portfolio.id, deposits, REHEARSED_YEAR.starts_at)
        units = work.rehearsals.units(portfolio.id)
        for due in due_times(portfolio, after=work.rehearsals.latest(portfolio.id)):
            if attempts and due.month != attempts[0].rebalance.started_at.month:
                break
            attempt, units = rehearse_attempt(portfolio, account, units, market, due)
            attempts.append(attempt)
        work.rehearsals.add(attempts)
        work.commit()
    return attempts
