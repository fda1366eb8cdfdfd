"""What the engine knows of orders, trades, ledger lines and requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from tests.support.kraken_double.amounts import ZERO

Side = Literal["buy", "sell"]
OrderStatus = Literal["open", "closed", "canceled"]


@dataclass(frozen=True, slots=True)
class Trade:
    """One execution. `cost` and `fee` are exact and in quote currency, also when the fee was taken in base."""

    id: str
    number: int
    order_id: str
    pair: str
    side: Side
    order_type: str
    price: Decimal
    volume: Decimal
    cost: Decimal
    fee: Decimal
    maker: bool
    executed_at: datetime
    ledger_ids: tuple[str, ...]
    nth_of_order: int


@dataclass(slots=True)
class Order:
    """An accepted order. `limit` is None for market orders; `by_hand` orders came from outside the API."""

    txid: str
    pair: str
    side: Side
    order_type: str
    volume: Decimal
    limit: Decimal | None
    time_in_force: str
    accepted_at: datetime
    cl_ord_id: str | None = None
    userref: int | None = None
    deadline: datetime | None = None
    fee_in_base: bool = False
    by_hand: bool = False
    status: OrderStatus = "open"
    closed_at: datetime | None = None
    reason: str | None = None
    fills_on_cancel: Decimal = ZERO
    trades: list[Trade] = field(default_factory=list)

    @property
    def vol_exec(self) -> Decimal:
        return sum((trade.volume for trade in self.trades), ZERO)

    @property
    def cost(self) -> Decimal:
        return sum((trade.cost for trade in self.trades), ZERO)

    @property
    def fee(self) -> Decimal:
        return sum((trade.fee for trade in self.trades), ZERO)

    @property
    def remaining(self) -> Decimal:
        return self.volume - self.vol_exec


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """A change of `asset` by `amount` - `fee`, after which the account holds `balance`. `asset` is Kraken's id."""

    id: str
    refid: str
    time: datetime
    type: str
    subtype: str
    asset: str
    amount: Decimal
    fee: Decimal
    balance: Decimal


@dataclass(slots=True)
class RequestRecord:
    """A request as it arrived, without key and signature.

    `outcome` is the engine's word: `ok`, its error, or why it never decided. `fault` names what was injected.
    """

    endpoint: str
    parameters: dict[str, str]
    arrived_at: datetime
    outcome: str = "not taken"
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that a careful client never does, such as exceeding a counter or sending an old nonce."""

    at: datetime
    endpoint: str
    error: str
