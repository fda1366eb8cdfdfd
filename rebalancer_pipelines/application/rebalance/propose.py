"""Planning: the portfolio's orders, and the same plan without storing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from rebalancer_pipelines.application.books import portfolio_holdings, totals_of
from rebalancer_pipelines.application.documents import Document, plan_document
from rebalancer_pipelines.application.new_id import new_id
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.risk_limits import denials_of_plan, portfolio_within_limits
from rebalancer_pipelines.application.rebalance.stage import Stage, denial_of, recording_failure
from rebalancer_pipelines.application.rebalance.value_portfolio import check_worth
from rebalancer_pipelines.application.reconcile import list_amounts
from rebalancer_pipelines.domain.account_settings import AccountSettings
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.ledger import Books, differences
from rebalancer_pipelines.domain.market import Market, PriceLimits, PriceMark, check_price
from rebalancer_pipelines.domain.order import Order, OrderSide, OrderState
from rebalancer_pipelines.domain.plan import PlannedOrder, RebalancePlan
from rebalancer_pipelines.domain.planner import plan_conserves_value, propose
from rebalancer_pipelines.domain.portfolio import Account, Holdings
from rebalancer_pipelines.domain.valuation import required_symbols
from rebalancer_pipelines.domain.values import EXACT, ceil_to, floor_to, plain


@dataclass(frozen=True, slots=True)
class ProposedRebalance:
    """The plan as it was stored.

    `denial` says that it does not add up, or which limit it breaks in a live run; then the rebalance is closed.
    """

    plan: RebalancePlan
    document: Document
    denial: DeniedError | None


def propose_rebalance(ports: Ports, stage: Stage) -> ProposedRebalance:
    """Plan the portfolio's orders and store them as intents, all PLANNED, with the plan itself."""
    portfolio, rebalance, account = stage.portfolio, stage.rebalance, stage.account
    venue = ports.venues.connect(account)
    symbols = required_symbols(portfolio.weights, portfolio.valuation_currency)
    with recording_failure(ports, stage):
        markets, fees = venue.markets(), venue.fees(symbols)
        with ports.transactions() as work:
            work.accounts.fence(rebalance.lease)
            prices = work.rebalances.prices(rebalance.id)
            holdings = portfolio_holdings(
                work.ledger.books(account.id).of(portfolio.id), work.rebalances.balances(rebalance.id)
            )
            plan = propose(portfolio_within_limits(portfolio, account, fees), holdings, prices, markets, fees)
            denials = denials_of_plan(ports, work, account, plan, fees, confirmed=rebalance.confirmed)
            document = plan_document(portfolio.name, plan, prices, denials)
            work.rebalances.store_plan(rebalance.id, plan.plan_hash, document)
            work.orders.add(
                [
                    intent(rebalance.id, sequence, order, markets[order.symbol], prices[order.symbol], account.settings)
                    for sequence, order in enumerate(plan.orders)
                ]
            )
            work.commit()

    def check_plan() -> None:
        check_sound(portfolio.name, plan, prices)
        for denial in denials:
            if not rebalance.dry_run:
                raise denial

    denial = denial_of(ports, stage, check_plan)
    return ProposedRebalance(plan, document, denial)


def preview_plan(ports: Ports, portfolio_name: str) -> Document:
    """What a rebalance would do now, as a document; nothing is sent and nothing is stored.

    Raises `DeniedError` for what would stop the rebalance: prices unfit to trade on, books that differ.
    """
    with ports.transactions() as work:
        portfolio = work.portfolios.get(portfolio_name)
        account = work.accounts.by_id(portfolio.account_id)
        books = work.ledger.books(account.id)
        shares_account = work.portfolios.count_on_account(account.id) > 1
    venue = ports.venues.connect(account)
    balances = venue.balances()
    if (shares_account or account.is_paper) and not books.is_untouched:
        _check_books(account, books, balances)
    symbols = required_symbols(portfolio.weights, portfolio.valuation_currency)
    prices = venue.prices(symbols)
    for symbol in symbols:
        limits = PriceLimits(max_age=account.settings.quote_age)
        check_price(prices.get(symbol), symbol, now=ports.clock.now(), limits=limits)
    book = books.of(portfolio.id)
    if not shares_account:
        # A rebalance would first move what no portfolio owns to the only one there is.
        book = {currency: holding.total for currency, holding in balances.items()}
    fees = venue.fees(symbols)
    allowed = portfolio_within_limits(portfolio, account, fees)
    plan = propose(allowed, portfolio_holdings(book, balances), prices, venue.markets(), fees)
    check_worth(portfolio, plan.value, plan.valuation_currency)
    with ports.transactions() as work:
        denials = denials_of_plan(ports, work, account, plan, fees)
    return plan_document(portfolio.name, plan, prices, denials)


def _check_books(account: Account, books: Books, balances: Holdings) -> None:
    """A look changes nothing, so what a rebalance would book first is a refusal here."""
    found = differences(books.total(), totals_of(balances))
    if found:
        raise DeniedError(
            DenialReason.BOOKS_DIFFER,
            f"the venue of account {account.name} holds other amounts than its books ({list_amounts(found)}); "
            f"a rebalance books what the venue explains, see 'rebalancer account review {account.name}'",
        )


def intent(
    rebalance_id: UUID,
    sequence: int,
    planned: PlannedOrder,
    market: Market,
    mark: PriceMark,
    settings: AccountSettings,
    *,
    intent_id: UUID | None = None,
) -> Order:
    """A planned order as it will be sent: named for the venue, with its limit, PLANNED.

    Its id is new, unless it is given where the same order must always be the same.
    """
    intent_id = intent_id or new_id()
    return Order(
        id=intent_id,
        rebalance_id=rebalance_id,
        sequence=sequence,
        client_order_id=str(intent_id),
        symbol=planned.symbol,
        base_currency=planned.base_currency,
        quote_currency=planned.quote_currency,
        side=planned.side,
        quantity=planned.quantity,
        price=planned.price,
        limit_price=_limit_price(planned, market, mark, settings.price_collar),
        state=OrderState.PLANNED,
    )


def _limit_price(planned: PlannedOrder, market: Market, mark: PriceMark, collar: Decimal) -> Decimal:
    """The collar around mid, on the price grid, never tighter than the price that the plan expects."""
    margin = EXACT.multiply(mark.mid, collar)
    if planned.side is OrderSide.BUY:
        return max(planned.price, floor_to(EXACT.add(mark.mid, margin), market.price_increment))
    return min(planned.price, ceil_to(EXACT.subtract(mark.mid, margin), market.price_increment))


def check_sound(portfolio: str, plan: RebalancePlan, prices: Mapping[str, PriceMark]) -> None:
    """Raise `DeniedError` (PLAN_UNSOUND) for a plan that makes or loses value."""
    lost = plan_conserves_value(plan, prices)
    if lost:
        raise DeniedError(
            DenialReason.PLAN_UNSOUND,
            f"the plan of {portfolio} does not add up: {plain(lost)} {plan.valuation_currency} "
            "are unaccounted for; report this as a defect, nothing was sent",
        )
