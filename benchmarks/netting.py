"""How many orders portfolios that share an account send together, beside what they would send each alone.

Every portfolio has drifted by itself, so that some sell what others buy; what crosses inside the account never reaches
the venue, and what is left of a market leaves as one order.

    python -m benchmarks.netting [--portfolios 100] [--currencies 10]
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import uuid4

from benchmarks.planner import Case, cases
from rebalancer_pipelines.domain.netting import net
from rebalancer_pipelines.domain.order import Order, OrderState
from rebalancer_pipelines.domain.planner import propose
from rebalancer_pipelines.domain.portfolio import Holding
from rebalancer_pipelines.domain.values import exact_sum

GOAL = 0.2
"""Greatest share of the orders sent alone that may be left when they are sent together."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Orders that leave for the venue."""

    alone: int
    together: int


def count_orders(portfolios: int, currencies: int) -> Counts:
    """Plan portfolios with drifts of their own, and count what leaves for the venue alone and together."""
    by_market: dict[str, list[Order]] = defaultdict(list)
    first, *others = cases(portfolios, currencies)
    for case in [first, *(_at_prices_of(first, other) for other in others)]:
        for order in _orders(case):
            by_market[order.symbol].append(order)
    together = sum(_leaves(orders, first) for orders in by_market.values())
    return Counts(sum(len(orders) for orders in by_market.values()), together)


def _at_prices_of(shown: Case, case: Case) -> Case:
    """The same portfolio where all see the same prices: it holds as much of every currency by value."""
    holdings = dict(case.holdings)
    for symbol, mark in case.prices.items():
        base = case.markets[symbol].base_currency
        quantity = (holdings[base].total * mark.bid / shown.prices[symbol].bid).quantize(Decimal("1E-10"))
        holdings[base] = Holding(quantity, quantity)
    return replace(case, holdings=holdings, prices=shown.prices, markets=shown.markets)


def _orders(case: Case) -> Iterable[Order]:
    rebalance_id = uuid4()
    plan = propose(case.portfolio, case.holdings, case.prices, case.markets, case.fees)
    for sequence, planned in enumerate(plan.orders):
        order_id = uuid4()
        market = case.markets[planned.symbol]
        yield Order(
            id=order_id,
            rebalance_id=rebalance_id,
            sequence=sequence,
            client_order_id=str(order_id),
            symbol=planned.symbol,
            base_currency=market.base_currency,
            quote_currency=market.quote_currency,
            side=planned.side,
            quantity=planned.quantity,
            price=planned.price,
            limit_price=planned.price,
            state=OrderState.PLANNED,
        )


def _leaves(orders: list[Order], case: Case) -> bool:
    market = case.markets[orders[0].symbol]
    left = exact_sum(net(orders, market.size_increment).left.values())
    return left >= market.min_amount and left * orders[0].price >= market.min_notional


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portfolios", type=int, default=100)
    parser.add_argument("--currencies", type=int, default=10)
    arguments = parser.parse_args()
    counts = count_orders(arguments.portfolios, arguments.currencies)
    share = counts.together / counts.alone
    print(
        f"{arguments.portfolios} portfolios, {arguments.currencies} currencies: {counts.alone} orders alone, "
        f"{counts.together} together ({share:.1%}, goal {GOAL:.0%} at most)"
    )
    return 0 if share <= GOAL else 1


if __name__ == "__main__":
    sys.exit(_main())
