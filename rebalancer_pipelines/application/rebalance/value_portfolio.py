"""Valuing a portfolio's book at the prices that were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from rebalancer_pipelines.application.books import portfolio_holdings
from rebalancer_pipelines.application.freeze import freeze_account
from rebalancer_pipelines.application.ports import Ports, UnitOfWork
from rebalancer_pipelines.application.rebalance.stage import Stage, denial_of, recording_failure
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.portfolio import Account, Holding, Holdings, Portfolio
from rebalancer_pipelines.domain.rebalance import PositionPhase, WeighedPosition
from rebalancer_pipelines.domain.risk import drawdown_denial
from rebalancer_pipelines.domain.valuation import PortfolioValuation, market_symbol, value_holdings
from rebalancer_pipelines.domain.values import EXACT, ONE, ZERO, Currency, exact_sum, plain

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ValuedPortfolio:
    """What the portfolio is worth. `denial` says that there is nothing to divide; then the rebalance is closed."""

    valuation: PortfolioValuation
    positions: tuple[WeighedPosition, ...]
    denial: DeniedError | None


def value_portfolio(ports: Ports, stage: Stage) -> ValuedPortfolio:
    """Value the portfolio's holdings and keep them with their weights under the rebalance."""
    portfolio, rebalance = stage.portfolio, stage.rebalance
    with recording_failure(ports, stage), ports.transactions() as work:
        peak = peak_of(work, portfolio, ports.clock.now())
        holdings = portfolio_holdings(
            work.ledger.books(stage.account.id).of(portfolio.id), work.rebalances.balances(rebalance.id)
        )
        prices = work.rebalances.prices(rebalance.id)
        valuation = value_holdings(portfolio.weights, portfolio.valuation_currency, holdings, prices)
        positions = weigh(portfolio, valuation, holdings, prices)
        work.rebalances.store_positions(rebalance.id, PositionPhase.BEFORE, positions)
        work.rebalances.store_value(rebalance.id, valuation.value)
        work.commit()

    def check_value() -> None:
        check_worth(portfolio, valuation.value, valuation.valuation_currency)
        if not rebalance.dry_run:
            check_drawdown(ports, stage.account, valuation, positions, peak)

    return ValuedPortfolio(valuation, positions, denial_of(ports, stage, check_value))


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest value that a portfolio had within a day, None where none is known, and what came in since."""

    highest: tuple[datetime, Decimal] | None
    flows: Mapping[Currency, Decimal]


def peak_of(work: UnitOfWork, portfolio: Portfolio, now: datetime) -> Peak:
    """What a portfolio's value is held against."""
    highest = work.rebalances.highest_value(portfolio.id, now - _DAY)
    return Peak(highest, work.ledger.flows(portfolio.id, highest[0]) if highest else {})


def check_drawdown(
    ports: Ports, account: Account, valuation: PortfolioValuation, positions: Sequence[WeighedPosition], peak: Peak
) -> None:
    """Raise `DeniedError` (DRAWDOWN_HALT), and freeze the account, when the value has fallen too far within a day."""
    flows = exact_sum(EXACT.multiply(peak.flows.get(p.currency, ZERO), p.price) for p in positions)
    denial = drawdown_denial(valuation.value, peak.highest, flows, account.settings, valuation.valuation_currency)
    if denial is not None:
        freeze_account(ports, account, denial.message)
        raise denial


def weigh(
    portfolio: Portfolio, valuation: PortfolioValuation, holdings: Holdings, prices: Mapping[str, PriceMark]
) -> tuple[WeighedPosition, ...]:
    """Positions with their weights and targets, as they are kept under a rebalance."""
    quote = portfolio.valuation_currency
    targets: dict[Currency, Decimal] = dict(portfolio.weights)
    nothing = Holding(ZERO, ZERO)
    return tuple(
        WeighedPosition(
            currency=position.currency,
            quantity=position.quantity,
            free=holdings.get(position.currency, nothing).free,
            price=ONE if position.currency == quote else prices[market_symbol(position.currency, quote)].mid,
            value=position.value,
            weight=valuation.weight_of(position),
            target=targets.get(position.currency, ZERO),
        )
        for position in valuation.positions
    )


def check_worth(portfolio: Portfolio, value: Decimal, currency: Currency) -> None:
    """Raise `DeniedError` (NOTHING_TO_DIVIDE) for a portfolio without value."""
    if value <= ZERO:
        name = portfolio.name
        raise DeniedError(
            DenialReason.NOTHING_TO_DIVIDE,
            f"portfolio {name} is worth {plain(value)} {currency}; give it money with "
            f"'rebalancer portfolio allocate {name} {currency}=AMOUNT', of another portfolio with --from",
        )
