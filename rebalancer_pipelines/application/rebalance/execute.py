"""Execution: sells first, then buys from what the sells really brought.

Orders of one side leave one after the other and are settled together, as long as the money covers each of them at its
limit whatever becomes of the others. One whose fate is unclear is settled before anything else leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from rebalancer_pipelines.application.books import portfolio_holdings
from rebalancer_pipelines.application.ports import (
    Accepted,
    Acknowledgement,
    OrderTicket,
    Ports,
    Rejected,
    Unclear,
    Venue,
    Withheld,
)
from rebalancer_pipelines.application.rebalance.clearance import clearance_for
from rebalancer_pipelines.application.rebalance.dry_run_venue import DryRunVenue
from rebalancer_pipelines.application.rebalance.quotes import Quotes
from rebalancer_pipelines.application.rebalance.risk_limits import portfolio_within_limits
from rebalancer_pipelines.application.rebalance.settle import settle_orders
from rebalancer_pipelines.application.rebalance.stage import Stage, recording_failure
from rebalancer_pipelines.application.rebalance.value_portfolio import weigh
from rebalancer_pipelines.application.rebalance.wallet import Wallet
from rebalancer_pipelines.application.reconcile import check_books, reconcile
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.market import Market, MarketStatus
from rebalancer_pipelines.domain.order import Order, OrderSide, OrderState
from rebalancer_pipelines.domain.portfolio import Holding
from rebalancer_pipelines.domain.rebalance import PositionPhase, Rebalance, WeighedPosition
from rebalancer_pipelines.domain.risk import rate_denial, skew_denial
from rebalancer_pipelines.domain.valuation import PortfolioValuation, value_holdings
from rebalancer_pipelines.domain.values import EXACT, Currency, exact_sum

_MINUTE = timedelta(minutes=1)


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
            desk = DryRunVenue(venue, planned, fees, ports.clock)
        execution = _Execution(ports, stage, desk, wallet, Quotes(marks, venue, ports.clock, stage.account.settings))
        executed = execution.run(planned) if planned else []
        outcome = _record_outcome(ports, stage, venue, executed, wallet)
        if execution.denial is not None:
            raise execution.denial
    return outcome


class _Execution:
    """One run over a plan's orders. `denial` is set by what keeps every further order from leaving."""

    def __init__(self, ports: Ports, stage: Stage, desk: Venue, wallet: Wallet, quotes: Quotes) -> None:
        self.denial: DeniedError | None = None
        self._ports = ports
        self._stage = stage
        self._rebalance: Rebalance = stage.rebalance
        self._desk = desk
        self._wallet = wallet
        self._quotes = quotes
        self._on_their_way: list[Order] = []
        self._ended: dict[int, Order] = {}
        self._skew = timedelta(0)

    def run(self, planned: Sequence[Order]) -> list[Order]:
        """Send and settle; returns every order as it ended, in the plan's sequence."""
        self._check_clock()
        markets = self._desk.markets()
        for side in (OrderSide.SELL, OrderSide.BUY):
            orders = [order for order in planned if order.side is side]
            for place, order in enumerate(orders):
                self._take_up(order, markets.get(order.symbol), [later.symbol for later in orders[place + 1 :]])
            self._settle()
        return [self._ended[order.sequence] for order in planned]

    def _check_clock(self) -> None:
        if not self._rebalance.dry_run:
            self._skew = self._desk.clock_skew()
            self.denial = skew_denial(self._skew)

    def _take_up(self, order: Order, market: Market | None, still_to_come: list[str]) -> None:
        if (reason := self._stopped_by()) is not None:
            self._end(self._give_up(order, OrderState.VOID, reason))
            return
        if market is None:
            gone = DeniedError(
                DenialReason.PAIR_HALTED, f"market {order.symbol} is no longer listed; change the weights"
            )
            self._end(self._give_up(order, OrderState.DENIED, str(gone)))
            return
        if not self._wallet.covers(order):
            # What is on its way may cost less than its limit: only then is this one cut.
            self._settle()
        denial = self._denial_of(order, market, still_to_come)
        fitting = self._wallet.fit(order, market)
        if denial is None and fitting is None:
            denial = DeniedError(
                DenialReason.DUST_SKIPPED,
                "the sells before it brought too little to pay for it above the venue's minimum of "
                f"{market.min_amount} {market.base_currency} or {market.min_notional} {market.quote_currency}",
            )
        if denial is not None or fitting is None:
            self._end(self._give_up(order, OrderState.DENIED, str(denial)))
            return
        self._send(order, fitting)

    def _stopped_by(self) -> str | None:
        unresolved = next((o for o in self._ended.values() if not o.state.is_terminal), None)
        if unresolved is not None:
            return f"order {unresolved.client_order_id} before it is {unresolved.state.value}"
        return str(self.denial) if self.denial is not None else None

    def _denial_of(self, order: Order, market: Market, still_to_come: list[str]) -> DeniedError | None:
        if market.status is not MarketStatus.ONLINE:
            return DeniedError(
                DenialReason.PAIR_HALTED, f"market {market.symbol} is {market.status.value}; wait until it is online"
            )
        return self._rate_denial() or self._quotes.denial_of(order, still_to_come)

    def _rate_denial(self) -> DeniedError | None:
        account = self._stage.account
        if self._rebalance.dry_run or account.settings.max_orders_per_run is None:
            return None
        with self._ports.transactions() as work:
            return rate_denial(work.orders.count_sent(account.id, self._ports.clock.now() - _MINUTE))

    def _give_up(self, order: Order, state: OrderState, reason: str) -> Order:
        with self._ports.transactions() as work:
            work.accounts.fence(self._rebalance.lease)
            order = work.orders.move(order, state, reason=reason)
            work.commit()
        return order

    def _send(self, planned: Order, fitting: Order) -> None:
        """Make the intent durable as it will be sent, send it once, and write down what came of it."""
        settings = self._stage.account.settings
        not_after = self._ports.clock.now() + self._skew + settings.not_after
        with self._ports.transactions() as work:
            work.accounts.renew_lease(self._rebalance.lease, settings.lease)
            order = work.orders.move(
                planned,
                OrderState.SENDING,
                quantity=fitting.quantity,
                limit_price=fitting.limit_price,
                not_after=not_after,
            )
            work.commit()
        ticket = OrderTicket(
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            limit_price=order.limit_price,
            not_after=not_after,
        )
        self._record(order, self._desk.submit(ticket, clearance_for(self._ports, self._rebalance)))

    def _record(self, order: Order, answer: Acknowledgement) -> None:
        with self._ports.transactions() as work:
            work.accounts.fence(self._rebalance.lease)
            if isinstance(answer, Accepted) and work.orders.has_venue_order(order, answer.venue_order_id):
                answer = Unclear("the venue answered with the id of another order")
            match answer:
                case Rejected(reason):
                    order = work.orders.move(order, OrderState.REJECTED, reason=reason)
                case Withheld(denial):
                    order = work.orders.move(order, OrderState.REJECTED, reason=str(denial))
                    self.denial = denial
                case Accepted(venue_order_id):
                    order = work.orders.move(order, OrderState.OPEN, venue_order_id=venue_order_id)
                case Unclear(reason):
                    order = work.orders.move(order, OrderState.UNKNOWN, reason=reason)
            work.commit()
        if order.state.is_terminal:
            self._end(order)
            return
        self._wallet.send(order)
        self._on_their_way.append(order)
        if order.state is OrderState.UNKNOWN:
            self._settle()

    def _settle(self) -> None:
        if not self._on_their_way:
            return
        settled = settle_orders(
            self._ports, self._stage.account, self._rebalance.lease, self._desk, self._on_their_way, wait=True
        )
        self._on_their_way = []
        for order in settled:
            if order.state.is_terminal:
                self._wallet.settle(order)
            self._end(order)

    def _end(self, order: Order) -> None:
        self._ended[order.sequence] = order


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
