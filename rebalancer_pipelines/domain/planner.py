"""The planner: from holdings, prices and rules to orders, purely and deterministically.

The target of every currency is its share of the value that is left *after* the plan's own costs. That value is the
fixed point of `value after = value before - cost(orders sized for value after)`. At the fixed point a second plan sees
the very value that the first one sized its orders for, every traded currency is within one size increment of its
target, and every other currency is judged as before: so planning again yields no order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext

from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.market import FeeSchedule, Market, MarketStatus, PriceMark
from rebalancer_pipelines.domain.order import OrderSide
from rebalancer_pipelines.domain.plan import (
    PlannedOrder,
    RebalancePlan,
    SkippedCurrency,
    SkipReason,
    WeightChange,
    hash_plan,
)
from rebalancer_pipelines.domain.portfolio import Holding, Holdings, Portfolio, RebalancePolicy
from rebalancer_pipelines.domain.valuation import (
    PortfolioValuation,
    market_symbol,
    percent_of,
    value_holdings,
)
from rebalancer_pipelines.domain.values import (
    EXACT,
    HUNDRED,
    ZERO,
    Currency,
    ceil_to,
    exact_sum,
    floor_to,
    plain,
)

_ONE = Decimal(1)
_NOTHING = Holding(ZERO, ZERO)
_ROUNDS = 64
"""Bound on the search for the fixed point. Costs are a few percent at most, so each round gains two digits and
about five suffice; a cycle between two sizes of one order is broken by holding the larger one."""


def propose(
    portfolio: Portfolio,
    holdings: Holdings,
    prices: Mapping[str, PriceMark],
    markets: Mapping[str, Market],
    fees: FeeSchedule,
) -> RebalancePlan:
    """Plan the orders that bring `portfolio` to its target weights.

    Guarantees: value is conserved to the last digit; buys never spend more than the free cash and the proceeds of
    the plan's sells, net of fees and the cash reserve; every order keeps its market's rules; sells come first;
    planning again after the orders filled as expected yields none, unless `max_orders` held some back; every
    currency without an order has a reason. Raises `DeniedError` when a managed currency has no price or market.
    """
    with localcontext(EXACT):
        valuation = value_holdings(portfolio.weights, portfolio.valuation_currency, holdings, prices)
        desk = _Desk.of(portfolio, valuation, holdings, prices, markets, fees)
        outcome = _settle(desk) if desk.gate_is_open else desk.closed()
        return _describe(desk, outcome)


@dataclass(frozen=True, slots=True)
class _Line:
    """One tradable currency, with every rule turned into whole size increments (*units*)."""

    currency: Currency
    market: Market
    value: Decimal
    share: Decimal
    target_percent: Decimal
    unit_value: Decimal
    free_units: Decimal
    sell_price: Decimal
    buy_price: Decimal
    unit_proceeds: Decimal
    unit_outlay: Decimal
    threshold_units: Decimal
    venue_units_to_sell: Decimal
    venue_units_to_buy: Decimal
    band_is_left: bool


@dataclass(slots=True)
class _Outcome:
    """Signed units per currency (negative sells) and the reasons of the others, sized for one value after costs."""

    units: dict[Currency, Decimal]
    reasons: dict[Currency, SkipReason]
    cost: Decimal


@dataclass(frozen=True, slots=True)
class _Desk:
    """Everything that stays the same while the fixed point is sought."""

    portfolio: Portfolio
    valuation: PortfolioValuation
    lines: tuple[_Line, ...]
    cash: Holding
    cash_target_percent: Decimal
    buy_scale: Decimal
    gate_is_open: bool
    fees: FeeSchedule

    @classmethod
    def of(
        cls,
        portfolio: Portfolio,
        valuation: PortfolioValuation,
        holdings: Holdings,
        prices: Mapping[str, PriceMark],
        markets: Mapping[str, Market],
        fees: FeeSchedule,
    ) -> _Desk:
        quote = portfolio.valuation_currency
        targets = dict(portfolio.weights)
        value = valuation.value
        lines: list[_Line] = []
        for position in valuation.positions:
            if position.currency == quote:
                continue
            symbol = market_symbol(position.currency, quote)
            market = markets.get(symbol)
            if market is None:
                raise DeniedError(
                    DenialReason.MARKET_MISSING,
                    f"the venue has no market {symbol}; give {position.currency} another account or remove its weight",
                )
            holding = holdings.get(position.currency, _NOTHING)
            target = targets[position.currency]
            lines.append(_line(market, prices[symbol], holding, position.value, value, target, portfolio.policy, fees))
        cash = holdings.get(quote, _NOTHING)
        cash_target = targets.get(quote, ZERO)
        cash_is_off = _band_is_left(cash.total, value, cash_target, portfolio.policy)
        return cls(
            portfolio=portfolio,
            valuation=valuation,
            lines=tuple(lines),
            cash=cash,
            cash_target_percent=cash_target,
            buy_scale=_buy_scale(cash_target, portfolio.policy.cash_reserve),
            gate_is_open=portfolio.policy.band is None or cash_is_off or any(line.band_is_left for line in lines),
            fees=fees,
        )

    def closed(self) -> _Outcome:
        """The outcome inside the band: no order at all."""
        reasons = {line.currency: SkipReason.WITHIN_BAND for line in self.lines}
        return _Outcome(units={}, reasons=reasons, cost=ZERO)


def _line(
    market: Market,
    mark: PriceMark,
    holding: Holding,
    value: Decimal,
    portfolio_value: Decimal,
    target: Decimal,
    policy: RebalancePolicy,
    fees: FeeSchedule,
) -> _Line:
    if mark.bid <= ZERO or mark.ask < mark.bid:
        raise DeniedError(
            DenialReason.PRICE_INVALID,
            f"{mark.symbol} is quoted {mark.bid} / {mark.ask}; wait for a sound quote",
        )
    unit = market.size_increment
    sell_price = floor_to(mark.bid, market.price_increment)
    buy_price = ceil_to(mark.ask, market.price_increment)
    unit_value = mark.mid * unit
    return _Line(
        currency=market.base_currency,
        market=market,
        value=value,
        share=target / HUNDRED,
        target_percent=target,
        unit_value=unit_value,
        free_units=holding.free // unit if holding.free > ZERO else ZERO,
        sell_price=sell_price,
        buy_price=buy_price,
        unit_proceeds=unit * sell_price * (_ONE - fees.taker),
        unit_outlay=unit * buy_price * (_ONE + fees.taker),
        threshold_units=_ceil_div(policy.threshold, unit_value),
        venue_units_to_sell=_venue_minimum(market, sell_price),
        venue_units_to_buy=_venue_minimum(market, buy_price),
        band_is_left=_band_is_left(value, portfolio_value, target, policy),
    )


def _band_is_left(value: Decimal, portfolio_value: Decimal, target: Decimal, policy: RebalancePolicy) -> bool:
    if policy.band is None:
        return False
    if not target:
        # No band around nothing can be relative, and dust must not open the gate: the threshold decides.
        return value >= policy.threshold and value * HUNDRED > policy.band.allowance(HUNDRED) * portfolio_value / 2
    gap = abs(value * HUNDRED - target * portfolio_value)
    return gap > policy.band.allowance(target) * portfolio_value


def _venue_minimum(market: Market, price: Decimal) -> Decimal:
    """Fewest units the venue takes at `price`; one at least. Without a price on the grid, nothing can be sent."""
    if not price:
        return Decimal("Infinity")
    by_amount = _ceil_div(market.min_amount, market.size_increment)
    by_notional = _ceil_div(market.min_notional, market.size_increment * price)
    return max(_ONE, by_amount, by_notional)


def _ceil_div(number: Decimal, divisor: Decimal) -> Decimal:
    quotient, rest = divmod(number, divisor)
    return quotient + _ONE if rest else quotient


def _buy_scale(cash_target: Decimal, reserve: Decimal) -> Decimal:
    """Shrinks the targets of buys, all alike, so that together they leave the cash reserve."""
    kept = max(cash_target, reserve * HUNDRED)
    if kept == cash_target:
        return _ONE
    return (HUNDRED - kept) / (HUNDRED - cash_target)


def _settle(desk: _Desk) -> _Outcome:
    """Find the value after costs for which the orders sized by it cost exactly what separates it from today's."""
    value = desk.valuation.value
    held: dict[Currency, Decimal] = {}
    path: list[tuple[Decimal, _Outcome]] = []
    value_after = value
    outcome = _size(desk, value_after, held)
    for _ in range(_ROUNDS):
        reached = value - outcome.cost
        if reached == value_after:
            break
        path.append((value_after, outcome))
        start = next((i for i, (seen, _) in enumerate(path) if seen == reached), None)
        if start is not None:
            currency, units = _widest_swing(desk, [o for _, o in path[start:]])
            held[currency] = units
            path.clear()
        value_after = reached
        outcome = _size(desk, value_after, held)
    return outcome


def _widest_swing(desk: _Desk, cycle: list[_Outcome]) -> tuple[Currency, Decimal]:
    """The currency whose order changes most in value over a cycle, and the largest order it had there."""

    def swing(line: _Line) -> Decimal:
        sizes = [o.units.get(line.currency, ZERO) for o in cycle]
        return (max(sizes) - min(sizes)) * line.unit_value

    line = max(desk.lines, key=lambda candidate: (swing(candidate), candidate.currency))
    return line.currency, max((o.units.get(line.currency, ZERO) for o in cycle), key=abs)


def _size(desk: _Desk, value_after: Decimal, held: Mapping[Currency, Decimal]) -> _Outcome:
    """Size all orders for one assumed value after costs."""
    reasons: dict[Currency, SkipReason] = {}
    wanted: list[tuple[Decimal, _Line, Decimal]] = []
    for line in desk.lines:
        if line.currency in held:
            units = held[line.currency]
            wanted.append((abs(units) * line.unit_value, line, units))
            continue
        gap = line.share * value_after - line.value
        if gap > ZERO:
            gap = line.share * desk.buy_scale * value_after - line.value
            if gap <= ZERO:
                reasons[line.currency] = SkipReason.CASH_RESERVE
                continue
        units, reason = _units(line, gap)
        if reason is None:
            wanted.append((abs(gap), line, units))
        else:
            reasons[line.currency] = reason
    wanted.sort(key=lambda w: (-w[0], w[1].currency))
    return _fund(desk, value_after, wanted, reasons)


def _units(line: _Line, gap: Decimal) -> tuple[Decimal, SkipReason | None]:
    """Whole units that close `gap` (negative: sell), or the reason for none."""
    units = gap // line.unit_value
    if not units:
        return ZERO, SkipReason.ON_TARGET
    if line.market.status is not MarketStatus.ONLINE:
        return ZERO, SkipReason.MARKET_NOT_ONLINE
    if units > ZERO:
        return units, _too_small(line, units, line.venue_units_to_buy)
    if -units > line.free_units:
        reason = _too_small(line, line.free_units, line.venue_units_to_sell)
        return -line.free_units, SkipReason.LOCKED if reason else None
    return units, _too_small(line, -units, line.venue_units_to_sell)


def _too_small(line: _Line, units: Decimal, venue_units: Decimal) -> SkipReason | None:
    if units < line.threshold_units:
        return SkipReason.BELOW_THRESHOLD
    return SkipReason.BELOW_VENUE_MINIMUM if units < venue_units else None


def _fund(
    desk: _Desk,
    value_after: Decimal,
    wanted: list[tuple[Decimal, _Line, Decimal]],
    reasons: dict[Currency, SkipReason],
) -> _Outcome:
    """Choose within the order limit, largest drift first, and buy only what cash and sells pay for.

    A buy that cannot be paid gives its place to the next order, until every place is used or nothing is left.
    """
    limit = desk.portfolio.policy.max_orders or len(wanted)
    unpaid: set[Currency] = set()
    while True:
        open_to_choice = [w for w in wanted if w[1].currency not in unpaid]
        chosen, beyond = open_to_choice[:limit], open_to_choice[limit:]
        outcome, failed = _pay(desk, value_after, chosen)
        unpaid |= failed
        if not failed or not beyond:
            break
    outcome.reasons = {
        **reasons,
        **{line.currency: SkipReason.ORDER_LIMIT for _, line, _ in beyond},
        **dict.fromkeys(unpaid, SkipReason.NO_CASH),
    }
    return outcome


def _pay(
    desk: _Desk, value_after: Decimal, chosen: list[tuple[Decimal, _Line, Decimal]]
) -> tuple[_Outcome, set[Currency]]:
    units: dict[Currency, Decimal] = {}
    failed: set[Currency] = set()
    budget = desk.cash.free - desk.portfolio.policy.cash_reserve * value_after
    cost = ZERO
    for _, line, wish in chosen:
        if wish < ZERO:
            units[line.currency] = wish
            budget -= wish * line.unit_proceeds
            cost -= wish * (line.unit_value - line.unit_proceeds)
    for _, line, wish in chosen:
        if wish <= ZERO:
            continue
        affordable = min(wish, budget // line.unit_outlay) if budget > ZERO else ZERO
        if affordable <= ZERO or _too_small(line, affordable, line.venue_units_to_buy):
            failed.add(line.currency)
            continue
        units[line.currency] = affordable
        budget -= affordable * line.unit_outlay
        cost += affordable * (line.unit_outlay - line.unit_value)
    return _Outcome(units=units, reasons={}, cost=cost), failed


def _describe(desk: _Desk, outcome: _Outcome) -> RebalancePlan:
    """Turn units into orders, reasons into words, and state what the portfolio looks like afterwards."""
    valuation = desk.valuation
    lines = {line.currency: line for line in desk.lines}
    orders = tuple(
        _order(lines[currency], units, desk.fees)
        for currency, units in sorted(
            outcome.units.items(),
            key=lambda item: (item[1] > ZERO, -abs(item[1]) * lines[item[0]].unit_value, item[0]),
        )
    )
    quantities = _quantities_after(valuation, orders)
    value_after = valuation.value - outcome.cost
    weights: list[WeightChange] = []
    skipped: list[SkippedCurrency] = []
    for position in valuation.positions:
        currency = position.currency
        line = lines.get(currency)
        target = line.target_percent if line else desk.cash_target_percent
        current = valuation.weight_of(position)
        moved = outcome.units.get(currency, ZERO) * line.unit_value if line else ZERO
        worth_after = position.value + moved if line else quantities[currency]
        weights.append(WeightChange(currency, current, target, current - target, percent_of(worth_after, value_after)))
        if currency not in outcome.units:
            skipped.append(_skip(desk, line, currency, outcome.reasons, current - target))
    skipped.extend(
        SkippedCurrency(currency, SkipReason.UNMANAGED, f"{plain(units)} held, but no weight names it: left alone")
        for currency, units in valuation.unmanaged
    )
    changes, skips = tuple(weights), tuple(skipped)
    return RebalancePlan(
        valuation_currency=valuation.valuation_currency,
        value=valuation.value,
        cost=outcome.cost,
        orders=orders,
        skipped=skips,
        weights=changes,
        quantities_after=quantities,
        plan_hash=hash_plan(valuation.valuation_currency, valuation.value, orders, skips, changes),
    )


def _order(line: _Line, units: Decimal, fees: FeeSchedule) -> PlannedOrder:
    side, price = (OrderSide.BUY, line.buy_price) if units > ZERO else (OrderSide.SELL, line.sell_price)
    quantity = abs(units) * line.market.size_increment
    notional = quantity * price
    return PlannedOrder(
        symbol=line.market.symbol,
        base_currency=line.market.base_currency,
        quote_currency=line.market.quote_currency,
        side=side,
        quantity=quantity,
        price=price,
        notional=notional,
        fee=notional * fees.taker,
    )


def _quantities_after(valuation: PortfolioValuation, orders: tuple[PlannedOrder, ...]) -> dict[Currency, Decimal]:
    quantities = {p.currency: p.quantity for p in valuation.positions}
    for order in orders:
        sign = _ONE if order.side is OrderSide.BUY else -_ONE
        quantities[order.base_currency] += sign * order.quantity
        quantities[order.quote_currency] -= sign * order.notional + order.fee
    return quantities


def _skip(
    desk: _Desk,
    line: _Line | None,
    currency: Currency,
    reasons: Mapping[Currency, SkipReason],
    drift: Decimal,
) -> SkippedCurrency:
    if line is None:
        return SkippedCurrency(currency, SkipReason.SETTLEMENT, "settles every order: it moves with the others")
    code = reasons[currency]
    return SkippedCurrency(currency, code, _words(desk, line, code, drift))


def _words(desk: _Desk, line: _Line, code: SkipReason, drift: Decimal) -> str:
    policy, quote = desk.portfolio.policy, desk.valuation.valuation_currency
    market = line.market
    gap = f"drift {drift:+.2f} points"
    match code:
        case SkipReason.ON_TARGET:
            return f"{gap}: on target within one increment of {plain(market.size_increment)} {market.base_currency}"
        case SkipReason.WITHIN_BAND:
            allowance = policy.band.allowance(line.target_percent) if policy.band else ZERO
            return f"{gap}, band ±{plain(allowance)}: no currency has left its band"
        case SkipReason.BELOW_THRESHOLD:
            return f"{gap}: the order would be worth less than the threshold of {plain(policy.threshold)} {quote}"
        case SkipReason.BELOW_VENUE_MINIMUM:
            return (
                f"{gap}: the order would be below the venue's minimum of {plain(market.min_amount)} "
                f"{market.base_currency} or {plain(market.min_notional)} {quote}"
            )
        case SkipReason.LOCKED:
            return f"{gap}: too little of it is free to sell, the rest is locked"
        case SkipReason.NO_CASH:
            return f"{gap}: no free {quote} is left for it after larger drifts and the cash reserve"
        case SkipReason.CASH_RESERVE:
            kept = plain(policy.cash_reserve * HUNDRED)
            return f"{gap}: the rest of its share stays in {quote} as the cash reserve of {kept} %"
        case SkipReason.ORDER_LIMIT:
            return f"{gap}: {policy.max_orders} larger drifts came first (max_orders)"
        case SkipReason.MARKET_NOT_ONLINE:
            return f"{gap}: market {market.symbol} is {market.status.value}"
        case SkipReason.SETTLEMENT | SkipReason.UNMANAGED:
            raise AssertionError(code)


def plan_conserves_value(plan: RebalancePlan, prices: Mapping[str, PriceMark]) -> Decimal:
    """Value before - value after at mid - cost: zero for every sound plan, to the last digit."""
    after = exact_sum(
        units
        if currency == plan.valuation_currency
        else EXACT.multiply(units, prices[market_symbol(currency, plan.valuation_currency)].mid)
        for currency, units in plan.quantities_after.items()
    )
    return EXACT.subtract(EXACT.subtract(plan.value, after), plan.cost)
