"""Watching drift between due times: who has left the band is claimed, once, and not again too soon.

The database weighs all portfolios at once on prices that are read once per market, and names those near the edge of
their band; only these are judged by the planner's own rule. Whoever was claimed is claimed again only after it came
back well inside the band, or after the cool-down.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.claim import ClaimedBatch
from rebalancer_pipelines.domain.errors import DeniedError, RebalancerError
from rebalancer_pipelines.domain.market import PriceMark, check_quote
from rebalancer_pipelines.domain.planner import has_left_band
from rebalancer_pipelines.domain.portfolio import Account, Holding, Portfolio
from rebalancer_pipelines.domain.rebalance import TriggeredBy
from rebalancer_pipelines.domain.valuation import value_holdings
from rebalancer_pipelines.domain.values import Currency

BACK_INSIDE = Decimal("0.8")
"""Well inside: within this fraction of the band."""

COOL_DOWN = timedelta(hours=1)
"""So long after a rebalance, or a claim for drift, drift starts no other."""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What a look has shown: the batch of those that were claimed, and accounts whose prices could not be read."""

    batch: ClaimedBatch | None
    unread: tuple[str, ...]


def watch_drift(ports: Ports, *, withheld: Collection[UUID] = ()) -> DriftReport:
    """Claim every portfolio that has left its band, except the `withheld`: a person has stopped their schedules."""
    now = ports.clock.now()
    looks, unread = _looks(ports)
    with ports.transactions() as work:
        outside: list[Portfolio] = []
        for look in looks:
            mids = {symbol: mark.mid for symbol, mark in look.marks.items()}
            books = dict(work.drift_watch.near_the_edge(look.account_ids, mids, fraction=BACK_INSIDE))
            outside += [p for p in work.portfolios.by_ids(books) if _has_left(p, books[p.id], look.marks)]
            # Whoever cannot be weighed just now, for want of a price or while it is rebalanced, stays remembered.
            work.drift_watch.forget(work.drift_watch.well_inside(look.account_ids, mids, fraction=BACK_INSIDE))
        claimed = work.drift_watch.claimed()
        wanted = [
            portfolio.id
            for portfolio in outside
            if portfolio.id not in withheld and _has_cooled_down(portfolio, claimed.get(portfolio.id), now)
        ]
        batch = work.claims.claim_now(wanted, now, triggered_by=TriggeredBy.SENSOR) if wanted else None
        if batch is not None:
            work.drift_watch.remember([claim.portfolio_id for claim in batch.claims], now)
        work.commit()
    return DriftReport(batch, tuple(unread))


@dataclass(frozen=True, slots=True)
class _Look:
    """Accounts whose prices come from one source, and the sound ones of the marks that their portfolios need."""

    account_ids: Sequence[UUID]
    marks: Mapping[str, PriceMark]


def _looks(ports: Ports) -> tuple[list[_Look], list[str]]:
    """Every market's price, read once per source; and accounts whose source could not be read."""
    with ports.transactions() as work:
        wanted = work.drift_watch.watched_symbols()
        accounts = {account.id: account for account in work.accounts.all()}
    by_source: dict[tuple[str, str, str | None], list[tuple[Account, Collection[str]]]] = defaultdict(list)
    for account_id, symbols in wanted:
        account = accounts[account_id]
        by_source[account.venue, account.price_source, account.endpoint].append((account, symbols))
    looks: list[_Look] = []
    unread: list[str] = []
    for sharing in by_source.values():
        account = sharing[0][0]
        try:
            marks = ports.venues.connect(account).prices(sorted({s for _, symbols in sharing for s in symbols}))
        except RebalancerError as error:
            unread += [f"{each.name}: {error}" for each, _ in sharing]
            continue
        looks.append(_Look([each.id for each, _ in sharing], _sound(marks)))
    return looks, unread


def _sound(marks: Mapping[str, PriceMark]) -> dict[str, PriceMark]:
    """Without quotes that nobody could reckon with: their portfolios are not judged, and hold up no others."""
    sound: dict[str, PriceMark] = {}
    for symbol, mark in marks.items():
        with suppress(DeniedError):
            sound[symbol] = check_quote(mark, symbol)
    return sound


def _has_left(portfolio: Portfolio, book: Mapping[Currency, Decimal], marks: Mapping[str, PriceMark]) -> bool:
    band = portfolio.policy.band
    if band is None:
        return False
    holdings = {currency: Holding(units, units) for currency, units in book.items()}
    valuation = value_holdings(portfolio.weights, portfolio.valuation_currency, holdings, marks)
    return has_left_band(portfolio, valuation, band)


def _has_cooled_down(portfolio: Portfolio, claimed_at: datetime | None, now: datetime) -> bool:
    last = max((at for at in (portfolio.last_rebalanced_at, claimed_at) if at is not None), default=None)
    return last is None or now - last >= COOL_DOWN
