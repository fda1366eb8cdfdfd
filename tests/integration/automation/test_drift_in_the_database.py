"""The database's quick look at drift against the planner's own rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from rebalancer_pipelines.application.drift_watch import BACK_INSIDE
from rebalancer_pipelines.domain.drift import DriftBand, DriftBandKind
from rebalancer_pipelines.domain.ledger import LedgerEntry, LedgerEntryKind
from rebalancer_pipelines.domain.planner import has_left_band
from rebalancer_pipelines.domain.valuation import value_holdings
from tests.support.builders import NOON, Situation, situations

_bands = st.builds(DriftBand, st.integers(1, 3000).map(lambda n: Decimal(n).scaleb(-2)), st.sampled_from(DriftBandKind))


@pytest.fixture(scope="module")
def engine(module_database: str) -> Iterator[Engine]:
    with open_engine(module_database) as opened:
        yield opened


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(situation=situations(largest=6), band=_bands)
def test_it_never_misses_a_portfolio_that_has_left_its_band(
    engine: Engine, situation: Situation, band: DriftBand
) -> None:
    wanted = situation.portfolio
    valuation = value_holdings(wanted.weights, wanted.valuation_currency, situation.holdings, situation.prices)
    # Nothing is committed: every example sees an empty database.
    with PostgresUnitOfWork(engine) as work:
        account = work.accounts.add("main", "paper", "recorded", NOON)
        portfolio = replace(wanted, id=uuid4(), account_id=account.id, policy=replace(wanted.policy, band=band))
        work.portfolios.add(portfolio)
        work.ledger.append(
            [
                LedgerEntry(account.id, portfolio.id, LedgerEntryKind.DEPOSIT, currency, holding.total, "test", NOON)
                for currency, holding in situation.holdings.items()
                if holding.total
            ]
        )
        mids = {symbol: mark.mid for symbol, mark in situation.prices.items()}
        near = dict(work.drift_watch.near_the_edge([account.id], mids, fraction=BACK_INSIDE))
        work.drift_watch.remember([portfolio.id], NOON)
        inside = work.drift_watch.well_inside([account.id], mids, fraction=BACK_INSIDE)
    has_left = has_left_band(portfolio, valuation, band)
    assert portfolio.id in near or not has_left
    assert (portfolio.id in inside) == (portfolio.id not in near and valuation.value > 0)
    if near:
        managed = {position.currency: position.quantity for position in valuation.positions}
        assert near[portfolio.id] == managed
