"""Planning: the portfolio's orders, and the same plan without storing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import uuid4

from rebalancer_pipelines.application.documents import Document, plan_document
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.stage import Stage, denial_of, recording_failure
from rebalancer_pipelines.application.rebalance.value_portfolio import check_worth
from rebalancer_pipelines.application.reconcile import check_books, portfolio_holdings
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.market import Market, PriceLimits, PriceMark, check_price
from rebalancer_pipelines.domain.order import Order, OrderSide, OrderState
from rebalancer_pipelines.domain.plan import PlannedOrder, RebalancePlan
from rebalancer_pipelines.domain.planner import plan_conserves_value, propose
from rebalancer_pipelines.domain.rebalance import Rebalance
from rebalancer_pipelines.domain.valuation import required_symbols
from rebalancer_pipelines.domain.values import EXACT, ceil_to, floor_to, plain

_COLLAR = Decimal("0.01")
"""How far from mid, as a fraction, an order's limit may stand: the worst price that is accepted."""


@dataclass(frozen=True, slots=True)
class ProposedRebalance:
    """The plan as it was stored. `denial` says that it does not add up; then the rebalance is closed."""

    plan: RebalancePlan
    document: Document
    denial: DeniedError | None


def propose_rebalance(ports: Ports, stage: Stage) -> ProposedRebalance:
    """Plan the portfolio's orders and store them as intents, all PLANNED, with the plan itself."""
    portfolio, rebalance = stage.portfolio, stage.rebalance
    venue = ports.venues.connect(stage.account)
    with recording_failure(ports, rebalance):
        markets, fees = venue.markets(), venue.fees()
        with ports.transactions() as work:
            work.accounts.fence(rebalance.lease)
            prices = work.rebalances.prices(rebalance.id)
            holdings = portfolio_holdings(
                work.ledger.books(stage.account.id).of(portfolio.id), work.rebalances.balances(rebalance.id)
            )
            plan = propose(portfolio, holdings, prices, markets, fees)
            document = plan_document(portfolio.name, plan, prices)
            work.rebalances.store_plan(rebalance.id, plan.plan_hash, document)
            work.orders.add(
                [
                    _intent(rebalance, sequence, order, markets[order.symbol], prices[order.symbol])
                    for sequence, order in enumerate(plan.orders)
                ]
            )
            work.commit()
    denial = denial_of(ports, rebalance, lambda: _check_plan(stage, plan, prices))
    return ProposedRebalance(plan, document, denial)


def preview_plan(ports: Ports, portfolio_name: str) -> Document:
    """What a rebalance would do now, as a document; nothing is sent and nothing is stored.

    Raises `DeniedError` for what would stop the rebalance: prices unfit to trade on, books that differ.
    """
    with ports.transactions() as work:
        portfolio = work.portfolios.get(portfolio_name)
        account = work.accounts.by_id(portfolio.account_id)
        books = work.ledger.books(account.id)
        shares_account = len(work.portfolios.on_account(account.id)) > 1
    venue = ports.venues.connect(account)
    balances = venue.balances()
    if not books.is_untouched:
        check_books(account, books, balances)
    symbols = required_symbols(portfolio.weights, portfolio.valuation_currency)
    prices = venue.prices(symbols)
    for symbol in symbols:
        check_price(prices.get(symbol), symbol, now=ports.clock.now(), limits=PriceLimits())
    book = books.of(portfolio.id)
    if not shares_account:
        # A rebalance would first move what no portfolio owns to the only one there is.
        book = {currency: holding.total for currency, holding in balances.items()}
    plan = propose(portfolio, portfolio_holdings(book, balances), prices, venue.markets(), venue.fees())
    check_worth(portfolio, plan.value, plan.valuation_currency)
    return plan_document(portfolio.name, plan, prices)


def _intent(rebalance: Rebalance, sequence: int, planned: PlannedOrder, market: Market, mark: PriceMark) -> Order:
    intent_id = uuid4()
    return Order(
        id=intent_id,
        rebalance_id=rebalance.id,
        sequence=sequence,
        client_order_id=str(intent_id),
        symbol=planned.symbol,
        base_currency=planned.base_currency,
        quote_currency=planned.quote_currency,
        side=planned.side,
        quantity=planned.quantity,
        price=planned.price,
        limit_price=_limit_price(planned, market, mark),
        state=OrderState.PLANNED,
    )


def _limit_price(planned: PlannedOrder, market: Market, mark: PriceMark) -> Decimal:
    """The collar around mid, on the price grid, never tighter than the price that the plan expects."""
    margin = EXACT.multiply(mark.mid, _COLLAR)
    if planned.side is OrderSide.BUY:
        return max(planned.price, floor_to(EXACT.add(mark.mid, margin), market.price_increment))
    return min(planned.price, ceil_to(EXACT.subtract(mark.mid, margin), market.price_increment))


def _check_plan(stage: Stage, plan: RebalancePlan, prices: Mapping[str, PriceMark]) -> None:
    lost = plan_conserves_value(plan, prices)
    if lost:
        raise DeniedError(
            DenialReason.PLAN_UNSOUND,
            f"the plan of {stage.portfolio.name} does not add up: {plain(lost)} {plan.valuation_currency} "
            "are unaccounted for; report this as a defect, nothing was sent",
        )
