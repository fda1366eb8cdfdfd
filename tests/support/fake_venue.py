"""A venue in memory that misbehaves on demand, for tests of the use cases.

It keeps the same contract as every other venue (`tests/contract/test_venue_contract.py`): orders fill at once at bid
or ask, in one trade, unless a test has asked for something else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from rebalancer_pipelines.adapters.venues.refusals import (
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
    Clearance,
    Clock,
    KeyPermissions,
    Movement,
    MovementKind,
    OrderReference,
    OrderTicket,
    Rejected,
    Unclear,
    VenueOrder,
    Withheld,
)
from rebalancer_pipelines.domain.errors import DeniedError, VenueUnreachableError
from rebalancer_pipelines.domain.market import FeeSchedule, Market, PriceMark
from rebalancer_pipelines.domain.order import Fill, LiquiditySide, OrderSide, OrderState, settled_state
from rebalancer_pipelines.domain.portfolio import Account, CredentialSource, Holding
from rebalancer_pipelines.domain.values import EXACT, ZERO, Currency, exact_sum
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
    fill_on_cancel: Decimal = ZERO


@dataclass
class _Kept:
    """An order as the venue keeps it. `price` is that of all its trades, None when the limit is out of reach."""

    ticket: OrderTicket
    market: Market
    price: Decimal | None
    fill_on_cancel: Decimal
    visible_from: datetime
    order: VenueOrder

    @property
    def is_open(self) -> bool:
        return self.order.closed_as is None


class FakeVenue:
    """Implements `Venue`. `received` lists the tickets that arrived, in order, refused ones too.

    A test may set what stands first in the constructor at any time: whether anything answers, how far the venue's clock
    is ahead, what the key may do, how long an absence proves nothing, and whether the venue's ledger shows trades.
    """

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
        self.skew = timedelta(0)
        self.permissions = KeyPermissions(can_withdraw=False)
        self.visibility_lag = visibility_lag
        self.shows_trades = False
        self.received: list[OrderTicket] = []
        self._clock = clock
        self._prices = prices
        self._fees = fees
        self._totals = {Currency(currency): Decimal(amount) for currency, amount in (balances or {}).items()}
        self._locked: dict[Currency, Decimal] = {}
        self._orders: list[_Kept] = []
        self._ledger: list[Movement] = []
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

    def leave_next_open(self, filled: Decimal | str = "0", *, fill_on_cancel: Decimal | str = "0") -> None:
        """The next order fills up to `filled` and stays open, until it is cancelled or `close_open_orders`.

        `fill_on_cancel`: up to this much more trades while the cancellation is on its way.
        """
        self._next.append(
            _Behaviour(fill_at_most=Decimal(filled), stay_open=True, fill_on_cancel=Decimal(fill_on_cancel))
        )

    def close_open_orders(self) -> None:
        """Cancel what is still open."""
        for kept in self._orders:
            if kept.is_open:
                _close(kept)

    def hide_orders_for(self, duration: timedelta) -> None:
        """Orders accepted so far cannot be found until `duration` from now has passed."""
        for kept in self._orders:
            kept.visible_from = self._clock.now() + duration

    def lock(self, currency: str, amount: Decimal | str) -> None:
        """Lock units that the account holds, as staking would."""
        self._locked[Currency(currency)] = Decimal(amount)

    def move(
        self,
        currency: str,
        amount: Decimal | str,
        *,
        kind: MovementKind | None = None,
        fee: Decimal | str = "0",
        trade_id: str | None = None,
    ) -> Movement:
        """Change a balance from outside, by `amount` - `fee`, and write it into the venue's ledger.

        Without a `kind` it is a deposit or a withdrawal, by its sign. A trade by hand is two calls with one `trade_id`.
        """
        units = Decimal(amount)
        by_sign = MovementKind.DEPOSIT if units > ZERO else MovementKind.WITHDRAWAL
        return self._book(Currency(currency), units, kind=kind or by_sign, fee=Decimal(fee), trade_id=trade_id)

    def hold(self, currency: str, amount: Decimal | str) -> None:
        """Change a balance without a word in the venue's ledger: what was there when nobody looked yet."""
        self._add(Currency(currency), Decimal(amount))

    # The port.

    @property
    def price_source(self) -> str:
        return self._prices.name

    def clock_skew(self) -> timedelta:
        self._answer()
        return self.skew

    def key_permissions(self) -> KeyPermissions:
        self._answer()
        return self.permissions

    def markets(self) -> Mapping[str, Market]:
        self._answer()
        return self._prices.markets()

    def fees(self, symbols: Collection[str]) -> FeeSchedule:
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

    def submit(self, ticket: OrderTicket, clearance: Clearance) -> Acknowledgement:
        try:
            clearance()
        except DeniedError as denial:
            return Withheld(denial)
        behaviour = self._next.pop(0) if self._next else _Behaviour()
        if self.unreachable or not behaviour.request_arrives:
            return Unclear("no answer")
        self.received.append(ticket)
        answer = self._take(ticket, behaviour)
        return answer if behaviour.answer_arrives else Unclear("the connection was lost")

    def find(self, references: Sequence[OrderReference]) -> Mapping[str, VenueOrder]:
        self._answer()
        asked_for = {reference.client_order_id for reference in references}
        now = self._clock.now()
        return {
            kept.ticket.client_order_id: kept.order
            for kept in self._orders
            if kept.ticket.client_order_id in asked_for and now >= kept.visible_from
        }

    def cancel(self, reference: OrderReference) -> None:
        self._answer()
        for kept in self._orders:
            if kept.is_open and kept.ticket.client_order_id == reference.client_order_id:
                self._trade(kept, kept.fill_on_cancel)
                _close(kept)

    def movements(self, since: datetime) -> Sequence[Movement]:
        self._answer()
        own = {fill.trade_id for kept in self._orders for fill in kept.order.fills}
        return [
            movement
            for movement in self._ledger
            if movement.occurred_at >= since and (self.shows_trades or movement.trade_id not in own)
        ]

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
        if any(kept.is_open and kept.ticket.client_order_id == ticket.client_order_id for kept in self._orders):
            return UNUSABLE_CLIENT_ID
        return None if is_covered(ticket, market, self._fees, self.balances()) else INSUFFICIENT_FUNDS

    def _execute(self, ticket: OrderTicket, market: Market, mark: PriceMark, behaviour: _Behaviour) -> VenueOrder:
        bought = ticket.side is OrderSide.BUY
        price = mark.ask if bought else mark.bid
        within_limit = price <= ticket.limit_price if bought else price >= ticket.limit_price
        kept = _Kept(
            ticket,
            market,
            price if within_limit else None,
            behaviour.fill_on_cancel,
            self._clock.now(),
            VenueOrder(f"fake-order-{len(self._orders) + 1}", ticket.client_order_id, (), None),
        )
        self._orders.append(kept)
        self._trade(kept, ticket.quantity if behaviour.fill_at_most is None else behaviour.fill_at_most)
        if not behaviour.stay_open:
            _close(kept)
        return kept.order

    def _trade(self, kept: _Kept, at_most: Decimal) -> None:
        """One trade of what is left of the order, if its limit allows any."""
        ticket, market, order = kept.ticket, kept.market, kept.order
        quantity = min(at_most, EXACT.subtract(ticket.quantity, _filled(order)))
        if kept.price is None or not quantity:
            return
        notional = EXACT.multiply(quantity, kept.price)
        fee = EXACT.multiply(notional, self._fees.taker)
        fill = Fill(
            trade_id=f"{order.venue_order_id}-trade-{len(order.fills) + 1}",
            quantity=quantity,
            price=kept.price,
            notional=notional,
            fee=fee,
            fee_currency=market.quote_currency,
            liquidity_side=LiquiditySide.TAKER,
            executed_at=self._clock.now(),
        )
        kept.order = replace(order, fills=(*order.fills, fill))
        bought = ticket.side is OrderSide.BUY
        base = quantity if bought else EXACT.minus(quantity)
        quote = EXACT.minus(notional) if bought else notional
        self._book(market.base_currency, base, kind=MovementKind.TRADE, trade_id=fill.trade_id)
        self._book(market.quote_currency, quote, kind=MovementKind.TRADE, fee=fee, trade_id=fill.trade_id)

    def _book(
        self,
        currency: Currency,
        amount: Decimal,
        *,
        kind: MovementKind,
        fee: Decimal = ZERO,
        trade_id: str | None = None,
    ) -> Movement:
        self._add(currency, EXACT.subtract(amount, fee))
        movement = Movement(
            entry_id=f"fake-entry-{len(self._ledger) + 1}",
            kind=kind,
            currency=currency,
            amount=amount,
            fee=fee,
            occurred_at=self._clock.now(),
            words=kind.value,
            trade_id=trade_id,
        )
        self._ledger.append(movement)
        return movement

    def _add(self, currency: Currency, amount: Decimal) -> None:
        self._totals[currency] = EXACT.add(self._totals.get(currency, ZERO), amount)


class FakeVenues:
    """Implements `Venues` with one venue for every account."""

    def __init__(self, venue: FakeVenue) -> None:
        self.venue = venue

    def connect(self, account: Account) -> FakeVenue:
        return self.venue

    def check(
        self,
        venue: str,
        price_source: str,
        *,
        deposits: Collection[Currency] = (),
        endpoint: str | None = None,
        credentials: CredentialSource | None = None,
    ) -> None:
        """Any venue, price source, currency, address and key will do."""

    def key_fingerprint(self, credentials: CredentialSource) -> str:
        return f"fingerprint of {credentials.sealed or credentials.key_env}"

    def seal(self, credentials: CredentialSource) -> CredentialSource:
        return CredentialSource(sealed=f"sealed {credentials.key_env}")

    def fund(self, account: Account, deposits: Mapping[Currency, Decimal]) -> None:
        for currency, amount in deposits.items():
            self.venue.hold(currency, amount)


def _filled(order: VenueOrder) -> Decimal:
    return exact_sum(fill.quantity for fill in order.fills)


def _close(kept: _Kept) -> None:
    state = settled_state(kept.ticket.quantity, _filled(kept.order), otherwise=OrderState.CANCELED)
    reason = None if state is OrderState.FILLED else "canceled"
    kept.order = replace(kept.order, closed_as=state, reason=reason)
