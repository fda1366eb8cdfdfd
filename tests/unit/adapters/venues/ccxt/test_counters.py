"""Rate counters: never exceeded, and no call waits a millisecond longer than they demand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.adapters.venues.ccxt.counters import Counter, CounterLimit
from rebalancer_pipelines.adapters.venues.ccxt.key_turns import Charge
from rebalancer_pipelines.adapters.venues.ccxt.kraken.limits import (
    REST_LIMITS,
    TRADING_LIMITS,
    adding,
    cancelling,
    reading,
)
from rebalancer_pipelines.domain.account_settings import RateTier

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
LIMITS = st.sampled_from([*REST_LIMITS.values(), *TRADING_LIMITS.values()])


def stands_at(counter: Counter, limit: CounterLimit, later: timedelta) -> Fraction:
    """What a venue counts after some time, reckoned in another way than the program does."""
    faded = Fraction(limit.decay_per_second) * Fraction(later // timedelta(microseconds=1), 1_000_000)
    return max(Fraction(0), Fraction(counter.points) - faded)


@given(limit=LIMITS, points=st.decimals(0, 200, places=6), cost=st.integers(0, 8))
def test_a_wait_is_long_enough_and_no_longer(limit: CounterLimit, points: Decimal, cost: int) -> None:
    counter = Counter(min(points, limit.maximum), NOON)
    wait = counter.wait_for(Decimal(cost), limit)
    assert stands_at(counter, limit, wait) + cost <= limit.maximum
    if wait:
        assert stands_at(counter, limit, wait - MILLISECOND) + cost > limit.maximum
    assert counter.at(NOON + wait, limit).wait_for(Decimal(cost), limit) == timedelta(0)


@given(limit=LIMITS, points=st.decimals(0, 200, places=9), pauses=st.lists(st.integers(0, 10**9), max_size=5))
def test_decay_is_exact_however_often_it_is_looked_at(limit: CounterLimit, points: Decimal, pauses: list[int]) -> None:
    watched = Counter(points, NOON)
    for pause in pauses:
        assert watched.counted_at is not None
        watched = watched.at(watched.counted_at + timedelta(microseconds=pause), limit)
    later = timedelta(microseconds=sum(pauses))
    assert Fraction(watched.points) == stands_at(Counter(points, NOON), limit, later)


def test_a_clock_that_was_set_back_takes_nothing_away_and_does_not_stop_the_decay() -> None:
    limit = REST_LIMITS[RateTier.PRO]
    counter = Counter(Decimal(10), NOON).at(NOON - timedelta(hours=1), limit)
    assert counter.points == 10
    assert counter.at(NOON - timedelta(hours=1) + timedelta(seconds=4), limit).points == 6


def test_what_never_fits_is_not_waited_for() -> None:
    with pytest.raises(ValueError, match="never fits"):
        Counter().wait_for(Decimal(16), REST_LIMITS[RateTier.STARTER])


def test_a_call_that_costs_nothing_never_waits() -> None:
    assert Counter(Decimal(99), NOON).wait_for(Decimal(0), REST_LIMITS[RateTier.STARTER]) == timedelta(0)


@pytest.mark.parametrize(
    ("endpoint", "points"),
    [
        ("Ledgers", 2),
        ("TradesHistory", 2),
        ("BalanceEx", 1),
        ("QueryOrders", 1),
        ("ClosedOrders", 1),
        ("QueryTrades", 1),
    ],
)
def test_reads_cost_what_kraken_says(endpoint: str, points: int) -> None:
    assert reading(endpoint) == Charge(rest=Decimal(points))


@pytest.mark.parametrize(
    ("age", "points"),
    [(-5, 8), (0, 8), (4.999, 8), (5, 6), (9.999, 6), (10, 5), (15, 4), (45, 2), (90, 1), (299.9, 1), (300, 0)],
)
def test_cancelling_costs_by_age(age: float, points: int) -> None:
    charge = cancelling("XXBTZEUR", timedelta(seconds=age))
    assert (charge.rest, charge.market, charge.trading) == (0, "XXBTZEUR", points)


def test_orders_cost_on_their_pair_only() -> None:
    assert adding("XXBTZEUR") == Charge(rest=Decimal(0), market="XXBTZEUR", trading=Decimal(1))


@pytest.mark.parametrize("tier", RateTier)
def test_every_tier_has_its_limits(tier: RateTier) -> None:
    assert REST_LIMITS[tier].maximum >= 15
    assert TRADING_LIMITS[tier].maximum >= 60
