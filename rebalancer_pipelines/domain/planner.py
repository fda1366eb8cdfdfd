"""The planner: from holdings, prices and rules to orders, purely and deterministically.

It values the holdings, asks the band whether anything is to be done, counts every market's rules in size increments
(`candidate`), finds the sizes that their own costs leave standing (`sizing`) and puts the outcome into a plan with a
reason for every currency that gets no order (`plan_description`).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal, localcontext

from rebalancer_pipelines.domain.candidate import Candidate, candidate
from rebalancer_pipelines.domain.drift import DriftBand, leaves_band
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.market import FeeSchedule, Market, PriceMark
from rebalancer_pipelines.domain.plan import RebalancePlan, SkipReason, plan_conserves_value
from rebalancer_pipelines.domain.plan_description import describe_plan
from rebalancer_pipelines.domain.portfolio import Holding, Holdings, Portfolio
from rebalancer_pipelines.domain.sizing import Sizes, Task, size_orders
from rebalancer_pipelines.domain.valuation import PortfolioValuation, market_symbol, value_holdings
from rebalancer_pipelines.domain.values import EXACT, HUNDRED, ZERO

__all__ = ["has_left_band", "plan_conserves_value", "propose"]

_NOTHING = Holding(ZERO, ZERO)
_FRACTION = Context(prec=28)
"""Divides where the last digit does not matter: more digits would slow down every product that follows."""


def propose(
    portfolio: Portfolio,
    holdings: Holdings,
    prices: Mapping[str, PriceMark],
    markets: Mapping[str, Market],
    fees: FeeSchedule,
) -> RebalancePlan:
    """Plan the orders that bring `portfolio` to its target weights.

    Guarantees:

    - Value is conserved to the last digit: value before = value after at mid + cost.
    - Buys spend no more than the free cash and the proceeds of the plan's sells, fees and cash reserve taken off.
    - Every order keeps its market's rules and the portfolio's policy; sells come first.
    - The band is a gate over the whole portfolio: nothing trades while every currency is within it; once one has left
      it, all return to target, since proceeds would sit idle otherwise.
    - Planning again, after the orders filled as expected, yields no order, unless `max_orders` held some back (or
      trading costs a third or more of what is traded, see `sizing`).
    - Every currency without an order has a reason.
    - The same input gives the same plan, in any order of keys and whatever the caller's decimal context.

    Raises `DeniedError` when a managed currency has no sound price or no market.
    """
    with localcontext(EXACT):
        valuation = value_holdings(portfolio.weights, portfolio.valuation_currency, holdings, prices)
        candidates = _candidates(portfolio, valuation, holdings, prices, markets, fees)
        if portfolio.policy.band is None or has_left_band(portfolio, valuation, portfolio.policy.band):
            sizes = size_orders(
                Task(
                    value=valuation.value,
                    free_cash=holdings.get(portfolio.valuation_currency, _NOTHING).free,
                    cash_reserve=portfolio.policy.cash_reserve,
                    max_orders=portfolio.policy.max_orders,
                    candidates=candidates,
                )
            )
        else:
            sizes = Sizes(units={}, reasons={c.currency: SkipReason.WITHIN_BAND for c in candidates}, cost=ZERO)
        return describe_plan(portfolio, valuation, candidates, sizes, fees)


def _candidates(
    portfolio: Portfolio,
    valuation: PortfolioValuation,
    holdings: Holdings,
    prices: Mapping[str, PriceMark],
    markets: Mapping[str, Market],
    fees: FeeSchedule,
) -> tuple[Candidate, ...]:
    quote = portfolio.valuation_currency
    targets = dict(portfolio.weights)
    cash_target = targets.get(quote, ZERO)
    # Buys stop short of their targets, all by the same fraction, so that together they leave the cash reserve.
    reserved = ZERO
    if (missing := _cash_kept(portfolio, cash_target) - cash_target) > ZERO:
        reserved = _FRACTION.divide(missing, HUNDRED - cash_target)
    found: list[Candidate] = []
    for position in valuation.positions:
        currency = position.currency
        if currency == quote:
            continue
        symbol = market_symbol(currency, quote)
        market = markets.get(symbol)
        if market is None:
            raise DeniedError(
                DenialReason.MARKET_MISSING,
                f"the venue has no market {symbol}; give {currency} another account or remove its weight",
            )
        found.append(
            candidate(
                market,
                prices[symbol],
                holdings.get(currency, _NOTHING),
                value=position.value,
                target=targets[currency],
                reserved=reserved,
                threshold=portfolio.policy.threshold,
                fees=fees,
            )
        )
    return tuple(found)


def _cash_kept(portfolio: Portfolio, cash_target: Decimal) -> Decimal:
    """Percent of the value that stays in cash when every buy is made: the cash target, or the reserve if larger."""
    return max(cash_target, portfolio.policy.cash_reserve * HUNDRED)


def has_left_band(portfolio: Portfolio, valuation: PortfolioValuation, band: DriftBand) -> bool:
    """Whether any managed currency has left a band around its target, so that all return to theirs."""
    targets = dict(portfolio.weights)
    for position in valuation.positions:
        low = high = targets.get(position.currency, ZERO)
        if position.currency == valuation.valuation_currency:
            # Cash that the reserve keeps back has not drifted.
            high = _cash_kept(portfolio, low)
        threshold = portfolio.policy.threshold
        if leaves_band(band, position.value, valuation.value, low=low, high=high, threshold=threshold):
            return True
    return False
