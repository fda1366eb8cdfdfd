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
from decimal import Context, Decimal, localcontext
from itertools import chain, islice
from operator import itemgetter
from typing import Any
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

_BATCH = 50
"""Portfolios that one side plans before the other takes its turn."""

_CASH = Currency("EUR")
_NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
_ZERO, _ONE, _HUNDRED = Decimal(0), Decimal(1), Decimal(100)
_FRACTION = Context(prec=28)
_FREE_ROUNDS, _ROUNDS = 12, 64

Orders = list[tuple[str, bool, Decimal, Decimal]]
"""Currency, whether it is bought, quantity and price."""

Row = tuple[Any, ...]
"""Name, value, free units, share, part of it reserved, value, proceeds and outlay of a unit, fewest units to sell and
to buy, size increment, price to sell and to buy at."""

Sized = list[tuple[Row, Decimal]]


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
    parts = [chance.randint(100, 800) for _ in names]
    cash_target = chance.choice([0, 500])
    given = {
        name: Decimal(part * (10_000 - cash_target) // sum(parts)).scaleb(-2)
        for name, part in zip(names, parts, strict=True)
    }
    given[_CASH] = _HUNDRED - sum(given.values())
    value = Decimal(int(10 ** chance.uniform(3, 6)))
    cash = value * chance.randint(0, 10) / 100
    holdings = {_CASH: Holding(cash, cash)}
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
            quote_currency=_CASH,
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
            valuation_currency=_CASH,
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


def bare_loop(case: Case) -> Orders:
    """The reference: the planner's rules without its words. Every market is online, there is no band and no limit."""
    with localcontext(EXACT):
        policy, taker = case.portfolio.policy, case.fees.taker
        targets = dict(case.portfolio.weights.percent)
        cash = case.holdings[_CASH]
        cash_target = targets[_CASH]
        missing = max(_ZERO, policy.cash_reserve * _HUNDRED - cash_target)
        reserved = _FRACTION.divide(missing, _HUNDRED - cash_target)
        value = cash.total
        rows: list[Row] = []
        for name, target in targets.items():
            if name == _CASH:
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
            unit_value, sell_notional, buy_notional = unit * mid, unit * sell_price, unit * buy_price
            least = max(_units(policy.threshold, unit_value), _units(market.min_amount, unit), _ONE)
            share = target / _HUNDRED
            rows.append(
                (
                    name,
                    worth,
                    holding.free // unit,
                    share,
                    share * reserved,
                    unit_value,
                    sell_notional * (_ONE - taker),
                    buy_notional * (_ONE + taker),
                    max(least, _units(market.min_notional, sell_notional)),
                    max(least, _units(market.min_notional, buy_notional)),
                    unit,
                    sell_price,
                    buy_price,
                )
            )
        sold, bought = _search(rows, value, cash.free, policy.cash_reserve)
        sells = sorted((-units * row[5], row[0], units * row[10], row[11]) for row, units in sold)
        buys = sorted((-units * row[5], row[0], units * row[10], row[12]) for row, units in bought)
        return [(name, False, *rest) for _, name, *rest in sells] + [(name, True, *rest) for _, name, *rest in buys]


def _search(rows: list[Row], value: Decimal, free_cash: Decimal, reserve: Decimal) -> tuple[Sized, Sized]:
    total, kept = value, {}
    for finished in range(_ROUNDS):
        sold, bought, cost = _round(rows, total, free_cash - reserve * total, kept)
        reached = value - cost
        if reached == total:
            return sold, bought
        if finished >= _FREE_ROUNDS:
            kept = {row[0]: -units for row, units in sold} | {row[0]: units for row, units in bought}
            money = free_cash - reserve * reached
            money += sum(units * row[6] for row, units in sold) - sum(units * row[7] for row, units in bought)
            left = [
                (row[0], row[1] + (units := kept.get(row[0], _ZERO)) * row[5], row[2] + units, *row[3:]) for row in rows
            ]
            if reached < total and _round(left, reached, money, {})[2] == _ZERO:
                return sold, bought
        total = reached
    raise SystemExit("the bare loop has met a portfolio whose rounds do not end")


def _round(rows: list[Row], total: Decimal, money: Decimal, kept: dict[str, Decimal]) -> tuple[Sized, Sized, Decimal]:
    sold: Sized = []
    bought: Sized = []
    wanted: list[tuple[Decimal, Row, Decimal]] = []
    cost = _ZERO
    for row in rows:
        drift = row[3] * total - row[1]
        if (units := kept.get(row[0])) is None or _has_wish(row, total, drift - units * row[5], row[2] + units):
            gap = max(drift - row[4] * total, _ZERO) if drift > _ZERO else drift
            units = gap // row[5]
            if units > _ZERO:
                if units < row[9]:
                    continue
            else:
                units = max(units, -row[2])
                if -units < row[8]:
                    continue
        if units > _ZERO:
            wanted.append((drift, row, units))
        else:
            sold.append((row, -units))
            proceeds = -units * row[6]
            money += proceeds
            cost += -units * row[5] - proceeds
    wanted.sort(key=itemgetter(0), reverse=True)
    for _, row, wish in wanted:
        units = wish
        outlay = units * row[7]
        if outlay > money:
            units = money // row[7] if money > _ZERO else _ZERO
            if units < row[9]:
                continue
            outlay = units * row[7]
        money -= outlay
        cost += outlay - units * row[5]
        bought.append((row, units))
    return sold, bought, cost


def _has_wish(row: Row, total: Decimal, drift: Decimal, free_units: Decimal) -> bool:
    gap = max(drift - row[4] * total, _ZERO) if drift > _ZERO else drift
    units = gap // row[5]
    return units >= row[9] if units > _ZERO else min(-units, free_units) >= row[8]


def _units(amount: Decimal, unit: Decimal) -> Decimal:
    quotient, rest = divmod(amount, unit)
    return quotient + _ONE if rest else quotient


@dataclass(slots=True)
class Race:
    """Seconds of processor time that each side took for the same portfolios; other programs count for neither."""

    portfolios: int = 0
    orders: int = 0
    planner: float = 0.0
    bare_loop: float = 0.0

    @property
    def ratio(self) -> float:
        return self.bare_loop / self.planner


def race(portfolios: int, currencies: int) -> Race:
    """Let both sides plan the same portfolios, batch by batch in turn; a batch is dropped once it is planned.

    Fewer portfolios than a batch are planned over and over, until there is something to measure.
    """
    laps = max(1, 4 * _BATCH // portfolios)
    result, stream = Race(), chain.from_iterable(cases(portfolios, currencies) for _ in range(laps))
    planner_begins = True
    while batch := list(islice(stream, _BATCH)):
        sides = [planner, bare_loop] if planner_begins else [bare_loop, planner]
        planner_begins = not planner_begins
        answers: list[list[Orders]] = []
        for side in sides:
            started = time.process_time()
            answers.append([side(case) for case in batch])
            took = time.process_time() - started
            if side is planner:
                result.planner += took
            else:
                result.bare_loop += took
        if answers[0] != answers[1]:
            raise SystemExit("the planner and the bare loop disagree about an order")
        result.portfolios += len(batch)
        result.orders += sum(map(len, answers[0]))
    return result


def main() -> int:
    """Print one row per number of portfolios; return 1 when the last misses the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portfolios", type=int, nargs="+", default=[1, 1_000, 100_000], metavar="N")
    parser.add_argument("--currencies", type=int, default=20, metavar="N")
    options = parser.parse_args()
    race(_BATCH, options.currencies)
    print(f"{options.currencies} currencies each; the goal is {GOAL:.2f} of the bare loop's speed")
    print(f"{'portfolios':>10} {'orders':>9} {'planner/s':>10} {'bare loop/s':>12} {'ratio':>6} {'peak MiB':>9}")
    ratio = 0.0
    for portfolios in options.portfolios:
        result = race(portfolios, options.currencies)
        ratio = result.ratio
        print(
            f"{portfolios:>10,} {result.orders:>9,} {result.portfolios / result.planner:>10,.0f} "
            f"{result.portfolios / result.bare_loop:>12,.0f} {ratio:>6.2f} {_peak_mebibytes():>9.0f}",
            flush=True,
        )
    return 0 if ratio >= GOAL else 1


def _peak_mebibytes() -> float:
    """Largest resident size of the process so far. Linux counts it in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    raise SystemExit(main())
