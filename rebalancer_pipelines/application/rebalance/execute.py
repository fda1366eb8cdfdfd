"""Execution: sells first, then buys from what the sells really brought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rebalancer_pipelines.application.books import portfolio_holdings
from rebalancer_pipelines.application.ports import Ports, Venue
from rebalancer_pipelines.application.rebalance.dry_run_venue import DryRunVenue
from rebalancer_pipelines.application.rebalance.order_run import OrderRun
from rebalancer_pipelines.application.rebalance.quotes import Quotes
from rebalancer_pipelines.application.rebalance.risk_limits import portfolio_within_limits
from rebalancer_pipelines.application.rebalance.stage import Stage, recording_failure
from rebalancer_pipelines.application.rebalance.value_portfolio import weigh
from rebalancer_pipelines.application.rebalance.wallet import Wallet
from rebalancer_pipelines.application.reconcile import check_books, reconcile
from rebalancer_pipelines.domain.errors import DeniedError
from rebalancer_pipelines.domain.order import Order, OrderSide
from rebalancer_pipelines.domain.portfolio import Holding
from rebalancer_pipelines.domain.rebalance import PositionPhase, WeighedPosition
from rebalancer_pipelines.domain.valuation import PortfolioValuation, value_holdings
from rebalancer_pipelines.domain.values import EXACT, Currency, exact_sum


@dataclass(frozen=True, slots=True)
class ExecutedOrders:
    """What became of the orders, the positions that followed, and where books and venue differ (not in dry runs)."""

    orders: tuple[Order, ...]
    valuation: PortfolioValuation
    positions: tuple[WeighedPosition, ...]
    differences: Mapping[Currency, Decimal]


def execute_orders(ports: Ports, stage: Stage) -> ExecutedOrders:
    """Send every planned order once and settle it.

    An order that the venue refuses does not stop the others; one whose fate stays unknown does, and so does a switch
    that was thrown meanwhile: whatever was not sent by then is VOID. A dry run takes the same way to a venue that only
    simulates. Raises `DeniedError` for what stopped it.
    """
    rebalance = stage.rebalance
    venue = ports.venues.connect(stage.account)
    with recording_failure(ports, stage):
        with ports.transactions() as work:
            planned = work.orders.of_rebalance(rebalance.id)
            marks = work.rebalances.prices(rebalance.id)
            before = work.rebalances.positions(rebalance.id, PositionPhase.BEFORE)
        desk = venue
        symbols = sorted({order.symbol for order in planned})
        fees = venue.fees(symbols) if planned else venue.fees(sorted(marks))
        policy = portfolio_within_limits(stage.portfolio, stage.account, fees).policy
        value = exact_sum(position.value for position in before)
        wallet = Wallet(before, fees, reserve=EXACT.multiply(value, policy.cash_reserve))
        if rebalance.dry_run:
            desk = DryRunVenue(venue, fees, ports.clock)
        executed: list[Order] = []
        denial: DeniedError | None = None
        if planned:
            quotes = Quotes(marks, venue, ports.clock, stage.account.settings)
            run = OrderRun(ports, stage.account, rebalance.lease, desk, wallet, quotes, dry_run=rebalance.dry_run)
            for side in (OrderSide.SELL, OrderSide.BUY):
                run.send([order for order in planned if order.side is side])
            executed, denial = [run.ended[order.id] for order in planned], run.denial
        outcome = _record_outcome(ports, stage, venue, executed, wallet)
        if denial is not None:
            raise denial
    return outcome


def _record_outcome(
    ports: Ports, stage: Stage, venue: Venue, executed: Sequence[Order], wallet: Wallet
) -> ExecutedOrders:
    """Prove once more that books and venue agree, and store the positions that followed."""
    portfolio, rebalance = stage.portfolio, stage.rebalance
    differences: Mapping[Currency, Decimal] = {}
    if rebalance.dry_run:
        # Nothing has moved at the venue: these are the units that the portfolio would hold.
        holdings = {currency: Holding(total, total) for currency, total in wallet.quantities.items()}
    elif all(order.state.is_terminal for order in executed):
        proof = reconcile(ports, stage.account, rebalance.lease, venue)
        if not stage.account.is_paper:
            check_books(ports, stage.account, proof.differences)
        holdings, differences = portfolio_holdings(proof.books.of(portfolio.id), proof.balances), proof.differences
    else:
        # The venue may still move: what is booked so far is what is known.
        balances = venue.balances()
        with ports.transactions() as work:
            holdings = portfolio_holdings(work.ledger.books(stage.account.id).of(portfolio.id), balances)
    with ports.transactions() as work:
        prices = work.rebalances.prices(rebalance.id)
        valuation = value_holdings(portfolio.weights, portfolio.valuation_currency, holdings, prices)
        positions = weigh(portfolio, valuation, holdings, prices)
        work.rebalances.store_positions(rebalance.id, PositionPhase.AFTER, positions)
        work.commit()
    return ExecutedOrders(tuple(executed), valuation, positions, differences)
