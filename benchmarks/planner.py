"""How many portfolios the planner plans per second, beside a bare Decimal loop over the same rules.

The bare loop is the reference: the same sizes by the same search, in one function over plain lists, without value
objects, reasons, weights or hash. Both plan the same portfolios in turn, in one run, and have to agree on every order,
so the ratio says what the planner's explanations cost, whatever the machine.

    python -m benchmarks.planner [--portfolios 1 1000 100000] [--currencies 20]
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from uuid import UUID
from zoneinfo import ZoneInfo

from rebalancer_pipelines.domain.calendar import RebalanceInterval
from rebalancer_pipelines.domain.market import FeeSchedule, Market, MarketStatus, PriceMark
from rebalancer_pipelines.domain.order import OrderSide
from rebalancer_pipelines.domain.planner import propose
from rebalancer_pipelines.domain.portfolio import Holding, Portfolio, RebalancePolicy
from rebalancer_pipelines.domain.values import EXACT, Currency
from rebalancer_pipelines.domain.weights import TargetWeights

GOAL = 0.3
"""Least share of the bare loop's speed that the planner is to reach."""

_BATCH = 200
"""Portfolios that one side plans before the other takes its turn."""

_NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
_ZERO, _ONE, _HUNDRED = Decimal(0), Decimal(1), Decimal(100)
_FREE_ROUNDS, _ROUNDS = 12, 64

Orders = list[tuple[str, bool, Decimal, Decimal]]
"""Currency, whether it is bought, quantity and price."""


@dataclass(frozen=True, slots=True)
class Case:
    """One portfolio with all that planning it takes."""

    portfolio: Portfolio
    holdings: dict[Currency, Holding]
    prices: dict[str, PriceMark]
    markets: dict[str, Market]
    fees: FeeSchedule


def cases(count: int, currencies: int) -> Iterator[Case]:
    """Portfolios from a thousand to a million, drifted by up to half, each from its own seed."""
    for seed in range(count):
        yield _case(random.Random(seed), currencies)


def _case(chance: random.Random, currencies: int) -> Case:
    names = [Currency(f"C{number:02d}") for number in range(currencies - 1)]
    cents = [chance.randint(100, 800) for _ in names]
    scale = sum(cents)
    given = {name: Decimal(cent * 9500 // scale).scaleb(-2) for name, cent in zip(names, cents, strict=True)}
    given[Currency("EUR")] = _HUNDRED - sum(given.values())
    value = Decimal(int(10 ** chance.uniform(3, 6)))
    holdings = {Currency("EUR"): Holding(total := value * given[Currency("EUR")] / 100, total)}
    prices: dict[str, PriceMark] = {}
    markets: dict[str, Market] = {}
    for name in names:
        symbol = f"{name}/EUR"
        power = chance.randint(-3, 1)
        bid = Decimal(chance.randint(10_000, 99_999)).scaleb(power)
        ask = bid + Decimal(chance.randint(1, 20)).scaleb(power)
        markets[symbol] = Market(
            symbol=symbol,
            base_currency=name,
            quote_currency=Currency("EUR"),
            price_increment=Decimal(1).scaleb(power),
            size_increment=Decimal("1E-8"),
            min_amount=Decimal("0.00005"),
            min_notional=Decimal("0.45"),
            status=MarketStatus.ONLINE,
        )
        prices[symbol] = PriceMark(symbol, bid, ask, "benchmark", _NOW)
        drift = Decimal(chance.randint(50, 150)).scaleb(-2)
        quantity = (value * given[name] / 100 * drift / bid).quantize(Decimal("1E-10"))
        holdings[name] = Holding(quantity, quantity)
    return Case(
        portfolio=Portfolio(
            id=UUID(int=1),
            name="benchmark",
            description="",
            account_id=UUID(int=2),
            valuation_currency=Currency("EUR"),
            weights=TargetWeights.of(given),
            policy=RebalancePolicy(),
            interval=RebalanceInterval.WEEKLY,
            time_zone=ZoneInfo("UTC"),
            enabled=True,
            anchor_at=_NOW,
            last_rebalanced_at=None,
            next_rebalance_at=None,
            created_at=_NOW,
            updated_at=_NOW,
        ),
        holdings=holdings,
        prices=prices,
        markets=markets,
        fees=FeeSchedule(maker=Decimal("0.0025"), taker=Decimal("0.004")),
    )


def planner(case: Case) -> Orders:
    """The planner, with everything that it explains."""
    plan = propose(case.portfolio, case.holdings, case.prices, case.markets, case.fees)
    return [(o.base_currency, o.side is OrderSide.BUY, o.quantity, o.price) for o in plan.orders]


def bare_loop(case: Case) -> Orders:  # noqa: C901, PLR0912, PLR0914, PLR0915 — one plain function is its point
    """The reference: the planner's rules without its words. Every market is online, there is no band and no limit."""
    with localcontext(EXACT):
        policy, taker = case.portfolio.policy, case.fees.taker
        targets = dict(case.portfolio.weights.percent)
        cash = case.holdings[Currency("EUR")]
        cash_target = targets[Currency("EUR")]
        kept_percent = max(cash_target, policy.cash_reserve * _HUNDRED)
        value = cash.total
        rows = []
        for name, target in targets.items():
            if name == "EUR":
                continue
            market, mark, holding = case.markets[f"{name}/EUR"], case.prices[f"{name}/EUR"], case.holdings[name]
            unit = market.size_increment
            mid = (mark.bid + mark.ask) / 2
            worth = holding.total * mid
            value += worth
            sell_price, buy_price = mark.bid, mark.ask
            if rest := sell_price % market.price_increment:
                sell_price -= rest
            if rest := buy_price % market.price_increment:
                buy_price += market.price_increment - rest
            unit_value = unit * mid
            worthwhile = max(_units(policy.threshold, unit_value), _units(market.min_amount, unit), _ONE)
            share = target / _HUNDRED
            rows.append(
                (
                    name,
                    share,
                    share * (_HUNDRED - kept_percent) / (_HUNDRED - cash_target),
                    worth,
                    unit_value,
                    unit * sell_price * (_ONE - taker),
                    unit * buy_price * (_ONE + taker),
                    holding.free // unit,
                    max(worthwhile, _units(market.min_notional, unit * sell_price)),
                    max(worthwhile, _units(market.min_notional, unit * buy_price)),
                    unit,
                    sell_price,
                    buy_price,
                )
            )
        total = value
        for _ in range(_FREE_ROUNDS):
            money = cash.free - policy.cash_reserve * total
            cost = _ZERO
            sold, wanted = [], []
            for row in rows:
                drift = row[1] * total - row[3]
                if drift > _ZERO:
                    drift -= (row[1] - row[2]) * total
                units = drift // row[4]
                if units > _ZERO:
                    if units >= row[9]:
                        wanted.append((drift, row, units))
                    continue
                units = min(-units, row[7])
                if units and units >= row[8]:
                    sold.append((row, units))
                    proceeds = units * row[5]
                    money += proceeds
                    cost += units * row[4] - proceeds
            wanted.sort(key=lambda wish: (-wish[0], wish[1][0]))
            bought = []
            for _, row, units in wanted:
                outlay = units * row[6]
                if outlay > money:
                    units = money // row[6] if money > _ZERO else _ZERO
                    if units < row[9]:
                        continue
                    outlay = units * row[6]
                money -= outlay
                cost += outlay - units * row[4]
                bought.append((row, units))
            if value - cost == total:
                break
            total = value - cost
        orders = [
            (-units * row[4], (row[0], False, units * row[10], row[11])) for row, units in sold
        ]
        orders.sort()
        buys = [(-units * row[4], (row[0], True, units * row[10], row[12])) for row, units in bought]
        buys.sort()
        return [order for _, order in orders + buys]


def _units(amount: Decimal, unit: Decimal) -> Decimal:
    quotient, rest = divmod(amount, unit)
    return quotient + _ONE if rest else quotient
