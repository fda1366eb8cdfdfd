"""How often Kraken may be asked, by tier.

Source: docs.kraken.com, guides/spot-rest-ratelimits for the counter of a key and guides/spot-ratelimits for the counter
of an account on each pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from rebalancer_pipelines.adapters.venues.ccxt.counters import CounterLimit
from rebalancer_pipelines.adapters.venues.ccxt.key_turns import Charge
from rebalancer_pipelines.domain.account_settings import RateTier
from rebalancer_pipelines.domain.values import ONE, ZERO

REST_LIMITS: Mapping[RateTier, CounterLimit] = {
    RateTier.STARTER: CounterLimit(Decimal(15), Decimal("0.33")),
    RateTier.INTERMEDIATE: CounterLimit(Decimal(20), Decimal("0.5")),
    RateTier.PRO: CounterLimit(Decimal(20), Decimal(1)),
}

TRADING_LIMITS: Mapping[RateTier, CounterLimit] = {
    RateTier.STARTER: CounterLimit(Decimal(60), Decimal(1)),
    RateTier.INTERMEDIATE: CounterLimit(Decimal(125), Decimal("2.34")),
    RateTier.PRO: CounterLimit(Decimal(180), Decimal("3.75")),
}

_DEAR = frozenset({"Ledgers", "TradesHistory"})
_CANCEL_POINTS = ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1))
"""Points for cancelling an order that is younger than so many seconds."""


def reading(endpoint: str) -> Charge:
    """The cost of asking something."""
    return Charge(rest=Decimal(2) if endpoint in _DEAR else ONE)


def adding(pair: str) -> Charge:
    """The cost of an order."""
    return Charge(market=pair, trading=ONE)


def cancelling(pair: str, age: timedelta) -> Charge:
    """The cost of cancelling an order that is at least so old."""
    points = next((points for seconds, points in _CANCEL_POINTS if age < timedelta(seconds=seconds)), 0)
    return Charge(market=pair, trading=Decimal(points) if points else ZERO)
