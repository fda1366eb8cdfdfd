"""One attempt of a rehearsal: the planner, the limits and the simulated fills of a dry run, at a recorded moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import uuid5

from rebalancer_pipelines.application.documents import Document, plan_document
from rebalancer_pipelines.application.ports import RecordedMarket
from rebalancer_pipelines.application.rebalance.close import record_of
from rebalancer_pipelines.application.rebalance.dry_run_venue import simulated_fill, simulated_order_id
from rebalancer_pipelines.application.rebalance.propose import check_sound, intent
from rebalancer_pipelines.application.rebalance.risk_limits import portfolio_within_limits
from rebalancer_pipelines.application.rebalance.value_portfolio import check_worth, weigh
from rebalancer_pipelines.application.rebalance.wallet import Wallet
from rebalancer_pipelines.domain.errors import RebalancerError
from rebalancer_pipelines.domain.market import FeeSchedule, Market, PriceLimits, PriceMark, check_price
from rebalancer_pipelines.domain.order import Order, OrderSide, OrderState
from rebalancer_pipelines.domain.planner import propose
from rebalancer_pipelines.domain.portfolio import Account, Holding, Portfolio
from rebalancer_pipelines.domain.rebalance import Rebalance, RebalanceStatus, TriggeredBy, WeighedPosition
from rebalancer_pipelines.domain.rehearsal import RehearsedRebalance
from rebalancer_pipelines.domain.valuation import required_symbols, value_holdings
from rebalancer_pipelines.domain.values import EXACT, Currency

Units = Mapping[Currency, Decimal]


@dataclass(slots=True)
class _Attempt:
    """What an attempt has come to so far; what stopped it is its `error`."""

    rebalance: Rebalance
    error: RebalancerError | None = None
    marks: tuple[PriceMark, ...] = ()
    before: tuple[WeighedPosition, ...] = ()
    after: tuple[WeighedPosition, ...] = ()
    plan: Document | None = None
    orders: tuple[Order, ...] = ()


def rehearse_attempt(
    portfolio: Portfolio, account: Account, units: Units, market: RecordedMarket, due: datetime
) -> tuple[RehearsedRebalance, Units]:
    """Rebalance these units at a due time; returns the attempt and the units after it.

    The same portfolio, units and moment give the same attempt, its ids included. One that a check stops is denied as a
    dry run is, and its record says why.
    """
    attempt = _Attempt(_rebalance(portfolio, due))
    try:
        units = _proceed(attempt, portfolio, account, units, market)
    except RebalancerError as error:
        attempt.error = error
    record = record_of(
        attempt.rebalance,
        portfolio,
        attempt.orders,
        attempt.plan,
        attempt.error,
        price_source=account.price_source,
        now=due,
    )
    rehearsed = RehearsedRebalance(
        attempt.rebalance, record, attempt.marks, attempt.before, attempt.after, attempt.plan, attempt.orders
    )
    return rehearsed, units


def _proceed(
    attempt: _Attempt, portfolio: Portfolio, account: Account, units: Units, market: RecordedMarket
) -> dict[Currency, Decimal]:
    """Go through the steps of a rebalance, and keep what each comes to; returns the units after it."""
    due = attempt.rebalance.started_at
    symbols = required_symbols(portfolio.weights, portfolio.valuation_currency)
    marks = market.quotes(symbols, due)
    for symbol in symbols:
        check_price(marks.get(symbol), symbol, now=due, limits=PriceLimits(max_age=account.settings.quote_age))
    attempt.marks = tuple(marks[symbol] for symbol in symbols)
    holdings = {currency: Holding(amount, amount) for currency, amount in units.items()}
    valuation = value_holdings(portfolio.weights, portfolio.valuation_currency, holdings, marks)
    attempt.before = weigh(portfolio, valuation, holdings, marks)
    attempt.rebalance = replace(attempt.rebalance, portfolio_value=valuation.value)
    check_worth(portfolio, valuation.value, valuation.valuation_currency)
    markets, fees = market.markets(), market.fees()
    allowed = portfolio_within_limits(portfolio, account, fees)
    plan = propose(allowed, holdings, marks, markets, fees)
    check_sound(portfolio.name, plan, marks)
    attempt.plan = plan_document(portfolio.name, plan, marks)
    attempt.rebalance = replace(attempt.rebalance, plan_hash=plan.plan_hash)
    planned = [
        intent(
            attempt.rebalance.id,
            sequence,
            order,
            markets[order.symbol],
            marks[order.symbol],
            account.settings,
            intent_id=uuid5(attempt.rebalance.id, f"order {sequence}"),
        )
        for sequence, order in enumerate(plan.orders)
    ]
    wallet = Wallet(attempt.before, fees, reserve=EXACT.multiply(valuation.value, allowed.policy.cash_reserve))
    filled: dict[int, Order] = {}
    for side in (OrderSide.SELL, OrderSide.BUY):
        for order in (order for order in planned if order.side is side):
            filled[order.sequence] = _filled(order, wallet, markets[order.symbol], fees, account, due)
            wallet.settle(filled[order.sequence])
    attempt.orders = tuple(filled[order.sequence] for order in planned)
    after = {**units, **wallet.quantities}
    holdings = {currency: Holding(amount, amount) for currency, amount in after.items()}
    valuation = value_holdings(portfolio.weights, portfolio.valuation_currency, holdings, marks)
    attempt.after = weigh(portfolio, valuation, holdings, marks)
    return after


def _filled(order: Order, wallet: Wallet, market: Market, fees: FeeSchedule, account: Account, due: datetime) -> Order:
    """The order as a dry run would have sent and filled it."""
    fitting = wallet.fit(order, market)
    if fitting is None:
        raise AssertionError("a plan spends no more than there is")
    return replace(
        fitting,
        state=OrderState.FILLED,
        venue_order_id=simulated_order_id(order.client_order_id),
        not_after=due + account.settings.not_after,
        fills=(
            simulated_fill(
                order.client_order_id, fitting.quantity, order.price, fees=fees, currency=order.quote_currency, at=due
            ),
        ),
    )


def _rebalance(portfolio: Portfolio, due: datetime) -> Rebalance:
    return Rebalance(
        id=uuid5(portfolio.id, f"rehearsal {due.isoformat()}"),
        portfolio_id=portfolio.id,
        account_id=portfolio.account_id,
        # No lease: nobody's money is moved.
        epoch=0,
        status=RebalanceStatus.FINISHED,
        dry_run=True,
        triggered_by=TriggeredBy.BACKFILL,
        dagster_run_id=f"rehearsal:{due:%Y-%m-%dT%H:%M}Z",
        started_at=due,
        scheduled_for=due,
        finished_at=due,
    )
