"""Execution: sells first, then buys from what the sells really brought, one order at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from rebalancer_pipelines.application.ports import Accepted, OrderTicket, Ports, Rejected, Unclear, Venue
from rebalancer_pipelines.application.rebalance.dry_run_venue import DryRunVenue
from rebalancer_pipelines.application.rebalance.settle import resolve_order
from rebalancer_pipelines.application.rebalance.stage import Stage, recording_failure
from rebalancer_pipelines.application.rebalance.value_portfolio import weigh
from rebalancer_pipelines.application.reconcile import portfolio_holdings, totals_of
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.ledger import differences
from rebalancer_pipelines.domain.market import FeeSchedule, Market, PriceLimits, check_price
from rebalancer_pipelines.domain.order import Order, OrderSide, OrderState
from rebalancer_pipelines.domain.portfolio import Holding
from rebalancer_pipelines.domain.rebalance import PositionPhase, Rebalance, WeighedPosition
from rebalancer_pipelines.domain.valuation import PortfolioValuation, value_holdings
from rebalancer_pipelines.domain.values import EXACT, ONE, ZERO, Currency, floor_to

_SEND_WINDOW = timedelta(seconds=10)
"""A venue refuses an order that reaches it later than this after we decided to send it."""


@dataclass(frozen=True, slots=True)
class ExecutedOrders:
    """What became of the orders, the positions that followed, and where books and venue differ (live runs)."""

    orders: tuple[Order, ...]
    valuation: PortfolioValuation
    positions: tuple[WeighedPosition, ...]
    differences: Mapping[Currency, Decimal]


def execute_orders(ports: Ports, stage: Stage) -> ExecutedOrders:
    """Send every planned order and settle it before the next one goes out.

    An order that the venue refuses does not stop the others; one whose fate stays unknown does, and whatever was not
    sent by then is VOID. A dry run takes the same way to a venue that only simulates.
    """
    rebalance = stage.rebalance
    venue = ports.venues.connect(stage.account)
    with recording_failure(ports, rebalance):
        with ports.transactions() as work:
            planned = work.orders.of_rebalance(rebalance.id)
            marks = work.rebalances.prices(rebalance.id)
            before = work.rebalances.positions(rebalance.id, PositionPhase.BEFORE)
        if planned:
            now = ports.clock.now()
            for symbol, mark in marks.items():
                check_price(mark, symbol, now=now, limits=PriceLimits())
        fees, markets = venue.fees(), venue.markets()
        desk = DryRunVenue(venue, planned, fees, ports.clock) if rebalance.dry_run else venue
        wallet = _Wallet(before)
        executed = _execute_all(ports, desk, rebalance, planned, wallet, fees, markets)
        return _record_outcome(ports, stage, venue, executed, wallet)


class _Wallet:
    """The portfolio's units while its orders run."""

    def __init__(self, positions: Sequence[WeighedPosition]) -> None:
        self.quantities = {p.currency: p.quantity for p in positions}
        self._locked = {p.currency: EXACT.subtract(p.quantity, p.free) for p in positions}

    def spendable(self, currency: Currency) -> Decimal:
        return EXACT.subtract(self.quantities.get(currency, ZERO), self._locked.get(currency, ZERO))

    def settle(self, order: Order) -> None:
        bought = order.side is OrderSide.BUY
        for fill in order.fills:
            self._move(order.base_currency, fill.quantity if bought else EXACT.minus(fill.quantity))
            self._move(order.quote_currency, EXACT.minus(fill.notional) if bought else fill.notional)
            self._move(fill.fee_currency, EXACT.minus(fill.fee))

    def _move(self, currency: Currency, amount: Decimal) -> None:
        self.quantities[currency] = EXACT.add(self.quantities.get(currency, ZERO), amount)


def _execute_all(
    ports: Ports,
    venue: Venue,
    rebalance: Rebalance,
    planned: Sequence[Order],
    wallet: _Wallet,
    fees: FeeSchedule,
    markets: Mapping[str, Market],
) -> list[Order]:
    executed: list[Order] = []
    for order in planned:
        if executed and not executed[-1].state.is_terminal:
            reason = f"order {executed[-1].client_order_id} before it is {executed[-1].state.value}"
            executed.append(_void(ports, rebalance, order, reason))
            continue
        affordable = _within_means(order, wallet.spendable(order.quote_currency), fees, markets[order.symbol])
        if affordable is None:
            executed.append(_void(ports, rebalance, order, "the sells before it brought too little to pay for it"))
            continue
        sent = _send(ports, venue, rebalance, order, affordable)
        wallet.settle(sent)
        executed.append(sent)
    return executed


def _within_means(order: Order, cash: Decimal, fees: FeeSchedule, market: Market) -> Order | None:
    """The order as the portfolio can pay for it now: None when that would fall below the venue's minimum.

    A buy must be covered even when all of it fills at its limit, so the limit gives way first and the quantity only
    when the price that the plan expects is too dear: nothing is ever paid with another portfolio's money.
    """
    if order.side is OrderSide.SELL:
        return order
    with_fee = EXACT.add(ONE, fees.taker)
    quantity = order.quantity
    if EXACT.multiply(EXACT.multiply(quantity, order.price), with_fee) > cash:
        quantity = floor_to(EXACT.divide(max(cash, ZERO), EXACT.multiply(order.price, with_fee)), market.size_increment)
        if quantity < market.min_amount or EXACT.multiply(quantity, order.price) < market.min_notional:
            return None
    dearest = floor_to(EXACT.divide(cash, EXACT.multiply(quantity, with_fee)), market.price_increment)
    return replace(order, quantity=quantity, limit_price=max(order.price, min(order.limit_price, dearest)))


def _void(ports: Ports, rebalance: Rebalance, order: Order, reason: str) -> Order:
    with ports.transactions() as work:
        work.accounts.fence(rebalance.lease)
        order = work.orders.move(order, OrderState.VOID, reason=reason)
        work.commit()
    return order


def _send(ports: Ports, venue: Venue, rebalance: Rebalance, planned: Order, affordable: Order) -> Order:
    """Make the intent durable as it will be sent, send it once, and write down what came of it."""
    not_after = ports.clock.now() + _SEND_WINDOW
    with ports.transactions() as work:
        work.accounts.renew_lease(rebalance.lease, ports.lease_duration)
        order = work.orders.move(
            planned,
            OrderState.SENDING,
            quantity=affordable.quantity,
            limit_price=affordable.limit_price,
            not_after=not_after,
        )
        work.commit()
    answer = venue.submit(
        OrderTicket(
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            limit_price=order.limit_price,
            not_after=not_after,
        )
    )
    with ports.transactions() as work:
        work.accounts.fence(rebalance.lease)
        match answer:
            case Rejected(reason):
                order = work.orders.move(order, OrderState.REJECTED, reason=reason)
            case Accepted(venue_order_id):
                order = work.orders.move(order, OrderState.OPEN, venue_order_id=venue_order_id)
            case Unclear(reason):
                order = work.orders.move(order, OrderState.UNKNOWN, reason=reason)
        work.commit()
    return order if order.state.is_terminal else _settle(ports, venue, rebalance, order)


def _settle(ports: Ports, venue: Venue, rebalance: Rebalance, order: Order) -> Order:
    try:
        return resolve_order(ports, venue, rebalance.lease, order)
    except VenueUnreachableError:
        # Nothing is known, so nothing is written: recovery asks again before anything new is planned here.
        return order


def _record_outcome(
    ports: Ports, stage: Stage, venue: Venue, executed: Sequence[Order], wallet: _Wallet
) -> ExecutedOrders:
    """Store the positions that followed, and compare the books with the venue once more."""
    portfolio, rebalance = stage.portfolio, stage.rebalance
    balances = venue.balances()
    with ports.transactions() as work:
        books = work.ledger.books(stage.account.id)
        if rebalance.dry_run:
            holdings = {currency: Holding(total, total) for currency, total in wallet.quantities.items()}
        else:
            holdings = portfolio_holdings(books.of(portfolio.id), balances)
        prices = work.rebalances.prices(rebalance.id)
        valuation = value_holdings(portfolio.weights, portfolio.valuation_currency, holdings, prices)
        positions = weigh(portfolio, valuation, holdings, prices)
        work.rebalances.store_positions(rebalance.id, PositionPhase.AFTER, positions)
        work.commit()
    return ExecutedOrders(tuple(executed), valuation, positions, differences(books.total(), totals_of(balances)))
