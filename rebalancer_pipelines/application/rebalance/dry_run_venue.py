"""The venue of a dry run: nothing leaves the program, every order fills at the price and fee that the plan expects."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from rebalancer_pipelines.application.ports import (
    Accepted,
    Acknowledgement,
    Clearance,
    Clock,
    KeyPermissions,
    Movement,
    OrderReference,
    OrderTicket,
    Venue,
    VenueOrder,
)
from rebalancer_pipelines.domain.market import FeeSchedule, Market, PriceMark
from rebalancer_pipelines.domain.order import Fill, LiquiditySide, OrderState
from rebalancer_pipelines.domain.portfolio import Holding
from rebalancer_pipelines.domain.values import EXACT, Currency


class DryRunVenue:
    """Reads from the real venue, sends nothing to it. `find` knows only what was submitted here."""

    def __init__(self, venue: Venue, fees: FeeSchedule, clock: Clock) -> None:
        self._venue = venue
        self._fees = fees
        self._clock = clock
        self._filled: dict[str, VenueOrder] = {}

    @property
    def price_source(self) -> str:
        """The real venue's."""
        return self._venue.price_source

    @property
    def visibility_lag(self) -> timedelta:
        """None: the orders are here."""
        return timedelta(0)

    def clock_skew(self) -> timedelta:
        """The real venue's."""
        return self._venue.clock_skew()

    def key_permissions(self) -> KeyPermissions:
        """The real venue's."""
        return self._venue.key_permissions()

    def markets(self) -> Mapping[str, Market]:
        """The real venue's."""
        return self._venue.markets()

    def fees(self, symbols: Collection[str]) -> FeeSchedule:  # noqa: ARG002
        """The real venue's, as they were read for the plan."""
        return self._fees

    def prices(self, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """The real venue's."""
        return self._venue.prices(symbols)

    def balances(self) -> Mapping[Currency, Holding]:
        """The real venue's: a dry run changes none."""
        return self._venue.balances()

    def submit(self, ticket: OrderTicket, clearance: Clearance) -> Acknowledgement:  # noqa: ARG002
        """Fill the whole order at the plan's price, with the taker fee. Nothing leaves, so nothing needs clearance."""
        if ticket.expected_price is None:
            raise AssertionError("a dry run fills at the price that the plan expects")
        venue_order_id = simulated_order_id(ticket.client_order_id)
        fill = simulated_fill(
            ticket.client_order_id,
            ticket.quantity,
            ticket.expected_price,
            fees=self._fees,
            currency=self._venue.markets()[ticket.symbol].quote_currency,
            at=self._clock.now(),
        )
        self._filled[ticket.client_order_id] = VenueOrder(
            venue_order_id, ticket.client_order_id, (fill,), OrderState.FILLED
        )
        return Accepted(venue_order_id)

    def find(self, references: Sequence[OrderReference]) -> Mapping[str, VenueOrder]:
        """The simulated orders."""
        asked = {reference.client_order_id for reference in references}
        return {client_order_id: order for client_order_id, order in self._filled.items() if client_order_id in asked}

    def cancel(self, reference: OrderReference) -> None:
        """Nothing is ever open."""

    def movements(self, since: datetime) -> Sequence[Movement]:
        """The real venue's."""
        return self._venue.movements(since)


def simulated_order_id(client_order_id: str) -> str:
    """The id that an order has at a venue that it never reached, and so has its only fill."""
    return f"dry-run-{client_order_id}"


def simulated_fill(
    client_order_id: str, quantity: Decimal, price: Decimal, *, fees: FeeSchedule, currency: Currency, at: datetime
) -> Fill:
    """All of an order at the price that its plan expects, with the taker fee in the quote `currency`."""
    notional = EXACT.multiply(quantity, price)
    return Fill(
        trade_id=simulated_order_id(client_order_id),
        quantity=quantity,
        price=price,
        notional=notional,
        fee=EXACT.multiply(notional, fees.taker),
        fee_currency=currency,
        liquidity_side=LiquiditySide.TAKER,
        executed_at=at,
    )
