"""Orders: their states and the one table of moves between them, and the fills that settle them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from rebalancer_pipelines.domain.errors import IllegalTransitionError
from rebalancer_pipelines.domain.values import EXACT, ZERO, Currency, exact_sum


class OrderSide(StrEnum):
    """Which way an order trades the base currency."""

    BUY = "buy"
    SELL = "sell"


class LiquiditySide(StrEnum):
    """Whether a fill gave liquidity (maker) or took it (taker); the fee depends on it.

    INTERNAL: it crossed with another portfolio of the account and never reached the venue.
    """

    MAKER = "maker"
    TAKER = "taker"
    INTERNAL = "internal"


class OrderState(StrEnum):
    """Where an order intent stands. DENIED and VOID were never sent; UNKNOWN may be at the venue.

    NETTED: what it has left to trade rides on a net order of its account, whose fate is its own.
    """

    PLANNED = "PLANNED"
    SENDING = "SENDING"
    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    CANCELING = "CANCELING"
    FILLED = "FILLED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    NOT_ACCEPTED = "NOT_ACCEPTED"
    NEEDS_REVIEW = "NEEDS_REVIEW"
    DENIED = "DENIED"
    VOID = "VOID"
    NETTED = "NETTED"

    @property
    def is_terminal(self) -> bool:
        """Whether no further move is possible."""
        return not TRANSITIONS[self]

    @property
    def may_be_at_venue(self) -> bool:
        """Whether the venue may hold or still execute the order: such an order blocks every new plan."""
        return self in _AT_VENUE


_S = OrderState
_SETTLED = frozenset({_S.FILLED, _S.PARTIALLY_FILLED, _S.CANCELED, _S.EXPIRED})
_AT_VENUE = frozenset({_S.SENDING, _S.UNKNOWN, _S.OPEN, _S.CANCELING, _S.NEEDS_REVIEW})

TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    _S.PLANNED: frozenset({_S.SENDING, _S.NETTED, _S.DENIED, _S.VOID}),
    _S.NETTED: frozenset({_S.REJECTED, _S.NOT_ACCEPTED, _S.DENIED, _S.VOID}) | _SETTLED,
    _S.SENDING: frozenset({_S.OPEN, _S.REJECTED, _S.UNKNOWN}) | _SETTLED,
    _S.UNKNOWN: frozenset({_S.OPEN, _S.NOT_ACCEPTED, _S.NEEDS_REVIEW}) | _SETTLED,
    _S.OPEN: frozenset({_S.CANCELING, _S.NEEDS_REVIEW}) | _SETTLED,
    _S.CANCELING: frozenset({_S.OPEN, _S.NEEDS_REVIEW}) | _SETTLED,
    _S.NEEDS_REVIEW: frozenset({_S.OPEN, _S.NOT_ACCEPTED}) | _SETTLED,
    _S.FILLED: frozenset(),
    _S.PARTIALLY_FILLED: frozenset(),
    _S.CANCELED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.NOT_ACCEPTED: frozenset(),
    _S.DENIED: frozenset(),
    _S.VOID: frozenset(),
}
"""Every legal move. PARTIALLY_FILLED is terminal: part of the order traded and the rest will not.

A SENDING or UNKNOWN order may settle at once, because the answer or the look-up can show it already executed.
NEEDS_REVIEW is left only by evidence from the venue or by a person."""


def check_transition(current: OrderState, target: OrderState) -> None:
    """Raise `IllegalTransitionError` unless the table joins the two states."""
    if target not in TRANSITIONS[current]:
        raise IllegalTransitionError(f"an order cannot move from {current.value} to {target.value}")


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution, unique per account and `trade_id`.

    `price` is quote per base; `notional` is what moved in quote currency: quantity × price as the venue rounded it to
    the digits that it keeps; `fee` is in `fee_currency`.
    """

    trade_id: str
    quantity: Decimal
    price: Decimal
    notional: Decimal
    fee: Decimal
    fee_currency: Currency
    liquidity_side: LiquiditySide
    executed_at: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """An order intent and what became of it.

    `price` is what the plan expected (bid or ask), `limit_price` the worst price that is accepted, both in quote
    currency. `sequence` is its place in the plan. `reason` says why it was denied, rejected or not finished.

    A net order has no rebalance of its own: it carries what orders of several portfolios of one account, `netted_into`
    it, have left to trade at the venue, each its `netted_quantity`.
    """

    id: UUID
    rebalance_id: UUID | None
    sequence: int
    client_order_id: str
    symbol: str
    base_currency: Currency
    quote_currency: Currency
    side: OrderSide
    quantity: Decimal
    price: Decimal
    limit_price: Decimal
    state: OrderState
    venue_order_id: str | None = None
    reason: str | None = None
    not_after: datetime | None = None
    netted_into: UUID | None = None
    netted_quantity: Decimal | None = None
    fills: tuple[Fill, ...] = ()

    @property
    def filled_quantity(self) -> Decimal:
        """Σ fills, in base currency."""
        return exact_sum(f.quantity for f in self.fills)

    @property
    def filled_notional(self) -> Decimal:
        """Σ notional of the fills, in quote currency."""
        return exact_sum(f.notional for f in self.fills)

    @property
    def average_price(self) -> Decimal | None:
        """Volume-weighted price of the fills, before any rounding of money, or None before the first fill."""
        quantity = self.filled_quantity
        worth = exact_sum(EXACT.multiply(fill.quantity, fill.price) for fill in self.fills)
        return EXACT.divide(worth, quantity) if quantity else None

    @property
    def fees(self) -> dict[Currency, Decimal]:
        """Fees paid, by the currency they were taken in."""
        paid: dict[Currency, Decimal] = {}
        for fill in self.fills:
            paid[fill.fee_currency] = EXACT.add(paid.get(fill.fee_currency, ZERO), fill.fee)
        return paid


def settled_state(quantity: Decimal, filled: Decimal, otherwise: OrderState) -> OrderState:
    """Terminal state of an order that will trade no more: judged by what was filled, not by the venue's word."""
    if filled >= quantity:
        return OrderState.FILLED
    return OrderState.PARTIALLY_FILLED if filled else otherwise
