"""Valuation: what holdings are worth at mid prices, and the weights that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal

from rebalancer_pipelines.domain.market import PriceMark, check_quote
from rebalancer_pipelines.domain.portfolio import Holdings
from rebalancer_pipelines.domain.values import EXACT, HUNDRED, ZERO, Currency, exact_sum
from rebalancer_pipelines.domain.weights import TargetWeights

_PERCENT_STEP = Decimal("0.000001")
_FOR_READING = Context(prec=40)
"""Divides to digits enough for a percentage; a division to the digits of `EXACT` would take several times as long."""


@dataclass(frozen=True, slots=True)
class Position:
    """One managed currency: its units and their value in valuation currency."""

    currency: Currency
    quantity: Decimal
    value: Decimal


@dataclass(frozen=True, slots=True)
class PortfolioValuation:
    """The managed positions, ordered by currency, and what the portfolio's weights divide: their `value`.

    `unmanaged` are units of currencies that no weight names: shown, not counted, never traded.
    """

    valuation_currency: Currency
    value: Decimal
    positions: tuple[Position, ...]
    unmanaged: tuple[tuple[Currency, Decimal], ...]

    def weight_of(self, position: Position) -> Decimal:
        """Current weight in percent, to six decimals; 0 in an empty portfolio."""
        return percent_of(position.value, self.value)


def market_symbol(base: Currency, quote: Currency) -> str:
    """The unified name of a market: BTC/EUR."""
    return f"{base}/{quote}"


def managed_currencies(weights: TargetWeights, valuation_currency: Currency) -> tuple[Currency, ...]:
    """Currencies that a rebalance may trade: those the weights name, and the valuation currency that settles them.

    Cash that no weight names has the target 0: it is there to be invested.
    """
    named = weights.currencies
    return named if valuation_currency in named else tuple(sorted((*named, valuation_currency)))


def required_symbols(weights: TargetWeights, valuation_currency: Currency) -> tuple[str, ...]:
    """Markets that must have a price before the portfolio can be valued."""
    return tuple(
        market_symbol(c, valuation_currency)
        for c in managed_currencies(weights, valuation_currency)
        if c != valuation_currency
    )


def percent_of(part: Decimal, whole: Decimal) -> Decimal:
    """`part` in percent of `whole`, rounded to six decimals for people to read; 0 of nothing."""
    if not whole:
        return ZERO
    return EXACT.quantize(_FOR_READING.divide(EXACT.multiply(part, HUNDRED), whole), _PERCENT_STEP)


def value_holdings(
    weights: TargetWeights, valuation_currency: Currency, holdings: Holdings, prices: Mapping[str, PriceMark]
) -> PortfolioValuation:
    """Value holdings at mid. Raises `DeniedError` (PRICE_INVALID) when a managed currency has no sound price."""
    managed = managed_currencies(weights, valuation_currency)
    positions: list[Position] = []
    for currency in managed:
        holding = holdings.get(currency)
        quantity = holding.total if holding else ZERO
        if currency == valuation_currency:
            positions.append(Position(currency, quantity, quantity))
            continue
        symbol = market_symbol(currency, valuation_currency)
        mark = check_quote(prices.get(symbol), symbol)
        positions.append(Position(currency, quantity, EXACT.multiply(quantity, mark.mid)))
    unmanaged = tuple((c, h.total) for c, h in sorted(holdings.items()) if c not in managed and h.total)
    return PortfolioValuation(
        valuation_currency=valuation_currency,
        value=exact_sum(p.value for p in positions),
        positions=tuple(positions),
        unmanaged=unmanaged,
    )
