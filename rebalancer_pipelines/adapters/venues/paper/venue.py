"""The paper venue behind the `Venue` port: one transaction per call, as remote as a real exchange."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from rebalancer_pipelines.adapters.venues.paper.balances import lock_account, move_balances, read_balances
from rebalancer_pipelines.adapters.venues.paper.fill_model import Execution, Liquidity, fill_immediately
from rebalancer_pipelines.adapters.venues.paper.orders import (
    cancel_order,
    has_open_order,
    newest_orders,
    store_order,
    store_trades,
    trade_id_of,
)
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
    OrderReference,
    OrderTicket,
    PriceSource,
    Rejected,
    Unclear,
    VenueOrder,
    Withheld,
)
from rebalancer_pipelines.domain.errors import DeniedError, VenueUnreachableError
from rebalancer_pipelines.domain.market import FeeSchedule, Market, PriceMark
from rebalancer_pipelines.domain.order import Fill, LiquiditySide, OrderSide
from rebalancer_pipelines.domain.portfolio import Holding
from rebalancer_pipelines.domain.values import EXACT, Currency, exact_sum

FEES = FeeSchedule(maker=Decimal("0.0025"), taker=Decimal("0.004"))
"""What Kraken charges without any trading volume."""

ASSUMED_HOUR_VALUE = Decimal(1_000_000)
"""Value that a market is taken to trade in an hour, in quote currency, where the price source cannot tell."""

_CONNECTION_FAILURES = (OperationalError, InterfaceError, PoolTimeoutError)


class PaperVenue:
    """An account at the paper venue.

    Orders fill at the price source's quotes, worsened by their size; fees are Kraken's; balances are rows of the
    venue's own, which the rest of the program reads only through this class, as it would a real exchange's.
    """

    def __init__(
        self,
        engine: Engine,
        account_id: UUID,
        prices: PriceSource,
        clock: Clock,
        *,
        traded_value: Callable[[PriceMark], Decimal | None] | None = None,
    ) -> None:
        """`traded_value` tells what was traded in the hour of a quote, in quote currency, where that is known."""
        self._engine = engine
        self._account_id = account_id
        self._prices = prices
        self._clock = clock
        self._traded_value = traded_value

    @property
    def price_source(self) -> str:
        """The price source's name."""
        return self._prices.name

    @property
    def visibility_lag(self) -> timedelta:
        """None: an order is visible once it is committed."""
        return timedelta(0)

    def clock_skew(self) -> timedelta:
        """None: the venue goes by our own clock."""
        return timedelta(0)

    def key_permissions(self) -> KeyPermissions:
        """Harmless: the venue has no keys, and play money cannot be withdrawn."""
        return KeyPermissions(can_withdraw=False)

    def markets(self) -> Mapping[str, Market]:
        """The price source's markets."""
        return self._prices.markets()

    def fees(self, symbols: Collection[str]) -> FeeSchedule:  # noqa: ARG002 - the port's: elsewhere it depends on them
        """Kraken's zero-volume tier, on every market."""
        return FEES

    def prices(self, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """The price source's quotes."""
        return self._prices.quotes(symbols)

    def balances(self) -> Mapping[Currency, Holding]:
        """What the account holds."""
        with self._reaching() as connection:
            return read_balances(connection, self._account_id)

    def find(self, references: Sequence[OrderReference]) -> Mapping[str, VenueOrder]:
        """The newest order of each client id."""
        with self._reaching() as connection:
            return newest_orders(connection, self._account_id, [known.client_order_id for known in references])

    def cancel(self, reference: OrderReference) -> None:
        """Close the order if it is open, which none is here after it was submitted."""
        with self._reaching() as connection:
            cancel_order(connection, self._account_id, reference.client_order_id)
            connection.commit()

    def movements(self, since: datetime) -> Sequence[Movement]:  # noqa: ARG002 - the port's
        """None: the venue keeps no ledger beside its trades."""
        return ()

    def submit(self, ticket: OrderTicket, clearance: Clearance) -> Acknowledgement:
        """Fill the order at once as far as its limit allows, and cancel the rest.

        Unclear only when the connection was lost while committing: before that, nothing can have been stored.
        """
        try:
            # Outside the transaction: a price may come from the network, and no lock should wait for that.
            market = self._prices.markets().get(ticket.symbol)
            mark = self._prices.quotes([ticket.symbol]).get(ticket.symbol)
        except VenueUnreachableError as error:
            return Rejected(f"EService:Unavailable ({error})")
        try:
            # Outside the transaction too: clearance asks the same database, and what it waits for may wait for us.
            clearance()
        except DeniedError as denial:
            return Withheld(denial)
        committing = False
        try:
            with self._engine.connect() as connection:
                answer = self._place(connection, ticket, market, mark)
                if isinstance(answer, Accepted):
                    committing = True
                    connection.commit()
        except _CONNECTION_FAILURES as error:
            if committing:
                return Unclear(f"the connection to the paper venue was lost while it took the order: {_cause(error)}")
            return Rejected(f"EService:Unavailable (the paper venue's database: {_cause(error)})")
        return answer

    def _place(
        self, connection: Connection, ticket: OrderTicket, market: Market | None, mark: PriceMark | None
    ) -> Accepted | Rejected:
        lock_account(connection, self._account_id)
        balances = read_balances(connection, self._account_id)
        # Only now, as an exchange's engine would: the order may have waited for the lock.
        now = self._clock.now()
        if market is None:
            return Rejected(UNKNOWN_PAIR)
        reason = refusal(ticket, market, now)
        if reason is not None:
            return Rejected(reason)
        if mark is None:
            return Rejected(NO_PRICE)
        if has_open_order(connection, self._account_id, ticket.client_order_id):
            return Rejected(UNUSABLE_CLIENT_ID)
        if not is_covered(ticket, market, FEES, balances):
            return Rejected(INSUFFICIENT_FUNDS)
        return self._execute(connection, ticket, market, mark, now)

    def _execute(
        self, connection: Connection, ticket: OrderTicket, market: Market, mark: PriceMark, now: datetime
    ) -> Accepted:
        executions = fill_immediately(
            ticket.side,
            ticket.quantity,
            ticket.limit_price,
            mark=mark,
            market=market,
            liquidity=self._liquidity(mark),
        )
        filled = exact_sum(execution.quantity for execution in executions)
        order_id = store_order(connection, self._account_id, ticket, market, filled_quantity=filled, now=now)
        fills = [_fill(order_id, number, execution, market, now) for number, execution in enumerate(executions, 1)]
        store_trades(connection, order_id, fills)
        move_balances(connection, self._account_id, _movements(ticket, market, fills))
        return Accepted(str(order_id))

    def _liquidity(self, mark: PriceMark) -> Liquidity:
        known = self._traded_value(mark) if self._traded_value else None
        return Liquidity(ASSUMED_HOUR_VALUE if known is None else known)

    @contextmanager
    def _reaching(self) -> Generator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except _CONNECTION_FAILURES as error:
            raise VenueUnreachableError(f"the paper venue's database does not answer: {_cause(error)}") from error


def _fill(order_id: UUID, number: int, execution: Execution, market: Market, now: datetime) -> Fill:
    notional = EXACT.multiply(execution.quantity, execution.price)
    return Fill(
        trade_id=trade_id_of(order_id, number),
        quantity=execution.quantity,
        price=execution.price,
        notional=notional,
        fee=EXACT.multiply(notional, FEES.taker),
        fee_currency=market.quote_currency,
        liquidity_side=LiquiditySide.TAKER,
        executed_at=now,
    )


def _movements(ticket: OrderTicket, market: Market, fills: Sequence[Fill]) -> dict[Currency, Decimal]:
    """What the trades and their fees change, by currency."""
    if not fills:
        return {}
    base = exact_sum(fill.quantity for fill in fills)
    quote = exact_sum(fill.notional for fill in fills)
    fees = exact_sum(fill.fee for fill in fills)
    if ticket.side is OrderSide.BUY:
        return {market.base_currency: base, market.quote_currency: EXACT.minus(EXACT.add(quote, fees))}
    return {market.base_currency: EXACT.minus(base), market.quote_currency: EXACT.subtract(quote, fees)}


def _cause(error: Exception) -> str:
    """The database's own words, in one line; the driver never repeats a password in them."""
    original = getattr(error, "orig", None) or error
    return " ".join(str(original).split())
