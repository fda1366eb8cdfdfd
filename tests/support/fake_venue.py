"""A venue in memory that misbehaves on demand, for tests of the use cases.

It keeps the same contract as every other venue (`tests/contract/test_venue_contract.py`): orders fill at once at bid
or ask, in one trade, unless a test has asked for something else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from rebalancer_pipelines.adapters.venues.paper.refusals import (
    INSUFFICIENT_FUNDS,
    NO_PRICE,
    UNKNOWN_PAIR,
    UNUSABLE_CLIENT_ID,
    is_covered,
    refusal,
)
from rebalancer_pipelines.application.ports import (
    Accepted,
    Acknowledgement,
    Clock,
    OrderTicket,
    Rejected,
    Unclear,
    VenueOrder,
)
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.market import FeeSchedule, Market, PriceMark
from rebalancer_pipelines.domain.order import Fill, LiquiditySide, OrderSide, OrderState, settled_state
from rebalancer_pipelines.domain.portfolio import Account, Holding
from rebalancer_pipelines.domain.values import EXACT, ZERO, Currency
from tests.support.fixed_prices import FixedPrices

KRAKEN_FEES = FeeSchedule(maker=Decimal("0.0025"), taker=Decimal("0.004"))


@dataclass(frozen=True)
class _Behaviour:
    """What happens to one order; the defaults are what a sound venue does."""

    request_arrives: bool = True
    answer_arrives: bool = True
    refuse_with: str | None = None
    fill_at_most: Decimal | None = None
    stay_open: bool = False


class FakeVenue:
    """Implements `Venue`. `received` lists the tickets that arrived, in order, refused ones too."""

    def __init__(
        self,
        clock: Clock,
        prices: FixedPrices,
        *,
        balances: Mapping[str, Decimal | str] | None = None,
        fees: FeeSchedule = KRAKEN_FEES,
        visibility_lag: timedelta = timedelta(0),
    ) -> None:
        self.unreachable = False
        self.received: list[OrderTicket] = []
        self._clock = clock
        self._prices = prices
        self._fees = fees
        self._visibility_lag = visibility_lag
        self._totals = {Currency(currency): Decimal(amount) for currency, amount in (balances or {}).items()}
        self._locked: dict[Currency, Decimal] = {}
        self._orders: list[tuple[datetime, OrderTicket, VenueOrder]] = []
        self._next: list[_Behaviour] = []

    # What a test may ask for. Each call is about one further order, in the sequence of the calls.

    def behave(self) -> None:
        """The next order meets a sound venue."""
        self._next.append(_Behaviour())

    def lose_next_request(self) -> None:
        """The next order never arrives, and nobody is told."""
        self._next.append(_Behaviour(request_arrives=False))

    def lose_next_answer(self) -> None:
        """The next order is executed, but the answer is lost."""
        self._next.append(_Behaviour(answer_arrives=False))

    def refuse_next(self, reason: str) -> None:
        """The next order is refused with `reason`."""
        self._next.append(_Behaviour(refuse_with=reason))

    def fill_next(self, at_most: Decimal | str) -> None:
        """The next order fills up to this quantity; the rest is cancelled."""
        self._next.append(_Behaviour(fill_at_most=Decimal(at_most)))

    def leave_next_open(self, filled: Decimal | str = "0") -> None:
        """The next order fills up to this quantity and stays open, until `close_open_orders`."""
        self._next.append(_Behaviour(fill_at_most=Decimal(filled), stay_open=True))

    def close_open_orders(self) -> None:
        """Cancel what is still open."""
        self._orders = [
            (since, ticket, order if order.closed_as else _closed(order, ticket))
            for since, ticket, order in self._orders
        ]

    def hide_orders_for(self, duration: timedelta) -> None:
        """Orders accepted so far cannot be found until `duration` from now has passed."""
        visible_at = self._clock.now() + duration
        self._orders = [(visible_at, ticket, order) for _, ticket, order in self._orders]

    def lock(self, currency: str, amount: Decimal | str) -> None:
        """Lock units that the account holds, as staking would."""
        self._locked[Currency(currency)] = Decimal(amount)

    def move(self, currency: str, amount: Decimal | str) -> None:
        """Change a balance from outside: a deposit, a withdrawal, a trade by hand."""
        self._add(Currency(currency), Decimal(amount))

    # The port.

    @property
    def price_source(self) -> str:
        return self._prices.name

    @property
    def visibility_lag(self) -> timedelta:
        return self._visibility_lag

    def markets(self) -> Mapping[str, Market]:
        self._answer()
        return self._prices.markets()

    def fees(self) -> FeeSchedule:
        self._answer()
        return self._fees

    def prices(self, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        self._answer()
        return self._prices.quotes(symbols)

    def balances(self) -> Mapping[Currency, Holding]:
        self._answer()
        return {
            currency: Holding(total, EXACT.subtract(total, self._locked.get(currency, ZERO)))
            for currency, total in self._totals.items()
        }

    def submit(self, ticket: OrderTicket) -> Acknowledgement:
        behaviour = self._next.pop(0) if self._next else _Behaviour()
        if self.unreachable or not behaviour.request_arrives:
            return Unclear("no answer")
        self.received.append(ticket)
        answer = self._take(ticket, behaviour)
        return answer if behaviour.answer_arrives else Unclear("the connection was lost")

    def find(self, client_order_id: str) -> VenueOrder | None:
        self._answer()
        now = self._clock.now()
        return next(
            (
                order
                for since, _, order in reversed(self._orders)
                if order.client_order_id == client_order_id and now >= since
            ),
            None,
        )

    def _answer(self) -> None:
        if self.unreachable:
            raise VenueUnreachableError("the fake venue is switched off")

    def _take(self, ticket: OrderTicket, behaviour: _Behaviour) -> Accepted | Rejected:
        try:
            market = self._prices.markets().get(ticket.symbol)
            mark = self._prices.quotes([ticket.symbol]).get(ticket.symbol)
        except VenueUnreachableError as error:
            return Rejected(f"EService:Unavailable ({error})")
        reason = behaviour.refuse_with or self._refusal(ticket, market, mark)
        if reason or market is None or mark is None:
            return Rejected(reason or "")
        return Accepted(self._execute(ticket, market, mark, behaviour).venue_order_id)

    def _refusal(self, ticket: OrderTicket, market: Market | None, mark: PriceMark | None) -> str | None:
        if market is None:
            return UNKNOWN_PAIR
        reason = refusal(ticket, market, self._clock.now()) or (NO_PRICE if mark is None else None)
        if reason:
            return reason
        if any(o.closed_as is None and o.client_order_id == ticket.client_order_id for _, _, o in self._orders):
            return UNUSABLE_CLIENT_ID
        return None if is_covered(ticket, market, self._fees, self.balances()) else INSUFFICIENT_FUNDS

    def _execute(self, ticket: OrderTicket, market: Market, mark: PriceMark, behaviour: _Behaviour) -> VenueOrder:
        now = self._clock.now()
        bought = ticket.side is OrderSide.BUY
        price = mark.ask if bought else mark.bid
        within_limit = price <= ticket.limit_price if bought else price >= ticket.limit_price
        wanted = ticket.quantity if behaviour.fill_at_most is None else min(ticket.quantity, behaviour.fill_at_most)
        number = len(self._orders) + 1
        fills: tuple[Fill, ...] = ()
        if within_limit and wanted:
            notional = EXACT.multiply(wanted, price)
            fee = EXACT.multiply(notional, self._fees.taker)
            fills = (Fill(f"fake-trade-{number}", wanted, price, fee, market.quote_currency, LiquiditySide.TAKER, now),)
            self._add(market.base_currency, wanted if bought else EXACT.minus(wanted))
            self._add(market.quote_currency, EXACT.minus(notional) if bought else notional)
            self._add(market.quote_currency, EXACT.minus(fee))
        order = VenueOrder(f"fake-order-{number}", ticket.client_order_id, fills, None)
        if not behaviour.stay_open:
            order = _closed(order, ticket)
        self._orders.append((now, ticket, order))
        return order

    def _add(self, currency: Currency, amount: Decimal) -> None:
        self._totals[currency] = EXACT.add(self._totals.get(currency, ZERO), amount)


class FakeVenues:
    """Implements `Venues` with one venue for every account."""

    def __init__(self, venue: FakeVenue) -> None:
        self.venue = venue

    def connect(self, account: Account) -> FakeVenue:
        return self.venue

    def check(self, venue: str, price_source: str, deposits: Collection[Currency] = ()) -> None:
        """Any venue, price source and currency will do."""

    def fund(self, account: Account, deposits: Mapping[Currency, Decimal]) -> None:
        for currency, amount in deposits.items():
            self.venue.move(currency, amount)


def _closed(order: VenueOrder, ticket: OrderTicket) -> VenueOrder:
    filled = sum((fill.quantity for fill in order.fills), ZERO)
    state = settled_state(ticket.quantity, filled, otherwise=OrderState.CANCELED)
    return replace(order, closed_as=state, reason=None if state is OrderState.FILLED else "canceled")
