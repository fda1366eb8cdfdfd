"""What only the paper venue promises: conserved value, and one transaction per call on a real database."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import QueuePool

from rebalancer_pipelines.adapters.postgres.tables import AccountRow, PaperBalanceRow, PaperOrderRow, PaperTradeRow
from rebalancer_pipelines.adapters.prices.recorded import RecordedPrices
from rebalancer_pipelines.adapters.venues.paper.balances import lock_account
from rebalancer_pipelines.adapters.venues.paper.venue import FEES, PaperVenue
from rebalancer_pipelines.adapters.venues.registry import VenueRegistry
from rebalancer_pipelines.application.ports import (
    Accepted,
    Acknowledgement,
    OrderTicket,
    Rejected,
    Unclear,
    VenueOrder,
)
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.order import OrderSide, OrderState
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.values import Currency
from tests.contract.conftest import NOON, open_paper_account
from tests.support.builders import a_reference, cleared
from tests.support.fixed_prices import FixedPrices, a_market
from tests.support.manual_clock import ManualClock

BTC, ETH, EUR = Currency("BTC"), Currency("ETH"), Currency("EUR")
WIDE = Context(prec=120)
_numbers = count(1)


@pytest.fixture
def prices(clock: ManualClock) -> FixedPrices:
    prices = FixedPrices(clock, a_market(), a_market("ETH/EUR", price_increment=Decimal("0.01")))
    prices.quote("BTC/EUR", "29990.0", "30000.0")
    prices.quote("ETH/EUR", "1999.50", "2000.00")
    return prices


@pytest.fixture
def venue(engine: Engine, account: Account, prices: FixedPrices, clock: ManualClock) -> PaperVenue:
    VenueRegistry(engine, clock).fund(account, {EUR: Decimal(1000)})
    return PaperVenue(engine, account.id, prices, clock)


def ticket(client_order_id: str = "order-1", **changes: object) -> OrderTicket:
    fields = {
        "client_order_id": client_order_id,
        "symbol": "BTC/EUR",
        "side": OrderSide.BUY,
        "quantity": Decimal("0.01"),
        "limit_price": Decimal("30300.0"),
        "not_after": NOON + timedelta(seconds=10),
    }
    return OrderTicket(**{**fields, **changes})  # type: ignore[arg-type]


def send(venue: PaperVenue, order: OrderTicket) -> Acknowledgement:
    return venue.submit(order, cleared)


def look_up(venue: PaperVenue, client_order_id: str = "order-1") -> VenueOrder | None:
    return venue.find([a_reference(ticket(client_order_id))]).get(client_order_id)


def find(venue: PaperVenue, client_order_id: str = "order-1") -> VenueOrder:
    found = look_up(venue, client_order_id)
    assert found is not None
    return found


def orders_of(engine: Engine, account: Account) -> int:
    with engine.connect() as connection:
        query = select(func.count()).select_from(PaperOrderRow).where(PaperOrderRow.account_id == account.id)
        return connection.scalar(query) or 0


def store_open_order(engine: Engine, account: Account, client_order_id: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            insert(PaperOrderRow).values(
                account_id=account.id,
                client_order_id=client_order_id,
                symbol="BTC/EUR",
                base_currency="BTC",
                quote_currency="EUR",
                side="buy",
                quantity=1,
                limit_price=1,
                status="open",
                created_at=NOON,
            )
        )


def test_a_large_order_trades_in_several_slices_at_real_prices(
    engine: Engine, account: Account, clock: ManualClock
) -> None:
    registry = VenueRegistry(engine, clock)
    registry.fund(account, {EUR: Decimal(1_000_000)})
    recorded = RecordedPrices(clock, lambda _: datetime(2018, 10, 1, tzinfo=UTC))
    venue = PaperVenue(engine, account.id, recorded, clock, traded_value=recorded.traded_value)
    mark = venue.prices(["BTC/EUR"])["BTC/EUR"]
    assert isinstance(send(venue, ticket(quantity=Decimal(10), limit_price=mark.ask + 100, symbol="BTC/EUR")), Accepted)
    found = find(venue)
    assert found.closed_as is OrderState.FILLED
    assert len(found.fills) == 3
    assert [fill.price for fill in found.fills] == sorted({fill.price for fill in found.fills})
    assert found.fills[0].price == mark.ask


def test_an_hour_without_a_recorded_price_takes_no_order(engine: Engine, account: Account, clock: ManualClock) -> None:
    VenueRegistry(engine, clock).fund(account, {EUR: Decimal(1000)})
    recorded = RecordedPrices(clock, lambda _: datetime(2019, 1, 7, 12, tzinfo=UTC))
    answer = send(PaperVenue(engine, account.id, recorded, clock), ticket())
    assert answer == Rejected("EService:Market in cancel_only mode: it has no price at this moment")


def test_locked_units_are_neither_sold_nor_spent(engine: Engine, account: Account, venue: PaperVenue) -> None:
    with engine.begin() as connection:
        connection.execute(
            update(PaperBalanceRow).where(PaperBalanceRow.account_id == account.id).values(locked=Decimal(900))
        )
    assert venue.balances()[EUR].free == Decimal(100)
    assert send(venue, ticket()) == Rejected("EOrder:Insufficient funds")


def test_a_client_id_is_taken_while_its_order_is_open(engine: Engine, account: Account, venue: PaperVenue) -> None:
    store_open_order(engine, account, "order-1")
    found = find(venue)
    assert found.closed_as is None
    assert send(venue, ticket("order-1")) == Rejected("EGeneral:Invalid arguments:cl_ord_id")
    assert isinstance(send(venue, ticket("order-2")), Accepted)
    venue.cancel(a_reference(ticket("order-1")))
    found = find(venue)
    assert (found.closed_as, found.reason) == (OrderState.CANCELED, "User requested")
    assert isinstance(send(venue, ticket("order-1")), Accepted)


def test_cancelling_leaves_orders_of_other_ids_and_accounts_alone(
    engine: Engine, account: Account, venue: PaperVenue, prices: FixedPrices, clock: ManualClock
) -> None:
    other = open_paper_account(engine, "a third account")
    for owner, client_order_id in ((account, "order-1"), (account, "order-2"), (other, "order-1")):
        store_open_order(engine, owner, client_order_id)
    venue.cancel(a_reference(ticket("order-1")))
    assert find(venue).closed_as is OrderState.CANCELED
    assert find(venue, "order-2").closed_as is None
    assert find(PaperVenue(engine, other.id, prices, clock)).closed_as is None


def test_a_deadline_holds_to_the_moment(venue: PaperVenue, clock: ManualClock) -> None:
    clock.sleep(timedelta(seconds=10))
    assert isinstance(send(venue, ticket("in-time")), Accepted)
    clock.sleep(timedelta(microseconds=1))
    assert send(venue, ticket("late")) == Rejected("EService:Deadline elapsed")


def test_orders_found_together_have_each_their_own_trades(venue: PaperVenue) -> None:
    quantities = {"order-1": "0.001", "order-2": "0.002", "order-3": "0.003"}
    for client_order_id, quantity in quantities.items():
        send(venue, ticket(client_order_id, quantity=Decimal(quantity)))
    found = venue.find([a_reference(ticket(client_order_id)) for client_order_id in quantities])
    assert {name: [str(fill.quantity) for fill in order.fills] for name, order in found.items()} == {
        name: [quantity] for name, quantity in quantities.items()
    }


def test_clearance_finds_nothing_of_the_venue_in_its_way(
    module_database: str, account: Account, venue: PaperVenue, prices: FixedPrices, clock: ManualClock
) -> None:
    """It asks the same database, so the order must not hold its only connection or a lock meanwhile."""
    url = module_database.replace("postgresql://", "postgresql+psycopg://")
    small = create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0)

    def look() -> None:
        with small.begin() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
            connection.execute(select(AccountRow).where(AccountRow.id == account.id).with_for_update())
            lock_account(connection, account.id)

    assert isinstance(PaperVenue(small, account.id, prices, clock).submit(ticket(), look), Accepted)
    small.dispose()


def test_it_keeps_no_ledger(venue: PaperVenue) -> None:
    send(venue, ticket())
    assert venue.movements(NOON - timedelta(days=1)) == ()


def test_accounts_do_not_see_each_other(
    engine: Engine, venue: PaperVenue, prices: FixedPrices, clock: ManualClock
) -> None:
    other = open_paper_account(engine, "another account")
    send(venue, ticket())
    stranger = PaperVenue(engine, other.id, prices, clock)
    assert look_up(stranger) is None
    assert stranger.balances() == {}
    assert send(stranger, ticket()) == Rejected("EOrder:Insufficient funds")


def test_a_new_connection_shows_the_same(
    engine: Engine, account: Account, venue: PaperVenue, prices: FixedPrices, clock: ManualClock
) -> None:
    send(venue, ticket())
    again = PaperVenue(engine, account.id, prices, clock)
    assert find(again) == find(venue)
    assert again.balances() == venue.balances()


def test_orders_at_once_cannot_spend_the_same_money(engine: Engine, account: Account, venue: PaperVenue) -> None:
    """1,000 EUR pay for three orders of 304 EUR; the account had no BTC row that any of them could wait for."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: send(venue, ticket(f"order-{n}")), range(8)))
    assert sum(isinstance(answer, Accepted) for answer in answers) == 3
    assert set(answers) - {a for a in answers if isinstance(a, Accepted)} == {Rejected("EOrder:Insufficient funds")}
    totals = {currency: holding.total for currency, holding in venue.balances().items()}
    assert totals == {EUR: Decimal(1000) - 3 * Decimal("301.2"), BTC: Decimal("0.03")}
    assert orders_of(engine, account) == 3


def test_buys_and_sells_at_once_see_what_the_others_added(venue: PaperVenue) -> None:
    """Whoever waits for the lock reads the balances afterwards, with rows that were added meanwhile."""
    orders = [ticket(f"buy-{n}", quantity=Decimal("0.001")) for n in range(8)]
    orders += [
        ticket(f"eth-{n}", symbol="ETH/EUR", quantity=Decimal("0.01"), limit_price=Decimal(2020)) for n in range(8)
    ]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda order: send(venue, order), orders))
    assert all(isinstance(answer, Accepted) for answer in answers)
    totals = {currency: holding.total for currency, holding in venue.balances().items()}
    spent = Decimal("1.004") * (8 * Decimal(30) + 8 * Decimal(20))
    assert totals == {EUR: Decimal(1000) - spent, BTC: Decimal("0.008"), ETH: Decimal("0.08")}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_value_is_conserved_to_the_last_digit(engine: Engine, data: st.DataObject) -> None:
    """Whatever is sent, balances change by exactly the trades and fees shown, and never fall below zero."""
    clock = ManualClock(NOON)
    prices = FixedPrices(clock, a_market(), a_market("ETH/EUR", price_increment=Decimal("0.01")))
    account = open_paper_account(engine, f"conservation-{next(_numbers)}")
    deposits = {EUR: Decimal(100_000), BTC: Decimal("1.23456789"), ETH: Decimal("7.00000001")}
    VenueRegistry(engine, clock).fund(account, deposits)
    venue = PaperVenue(
        engine, account.id, prices, clock, traded_value=lambda _: data.draw(st.decimals(0, 10_000_000, places=6))
    )
    expected = dict(deposits)
    trade_ids: list[str] = []
    for number in range(data.draw(st.integers(1, 5))):
        symbol = data.draw(st.sampled_from(["BTC/EUR", "ETH/EUR"]))
        tick = Decimal("0.1") if symbol == "BTC/EUR" else Decimal("0.01")
        bid = tick * data.draw(st.integers(10_000, 400_000))
        prices.quote(symbol, bid, bid + tick * data.draw(st.integers(1, 100)))
        side = data.draw(st.sampled_from(OrderSide))
        order = ticket(
            f"order-{number}",
            symbol=symbol,
            side=side,
            quantity=data.draw(st.decimals("0.00005", "8", places=8)),
            limit_price=bid + tick * data.draw(st.integers(-200, 2000)),
        )
        answer = send(venue, order)
        found = look_up(venue, order.client_order_id)
        assert (found is not None) == isinstance(answer, Accepted)
        for fill in found.fills if found else ():
            sign = 1 if side is OrderSide.BUY else -1
            base = Currency(symbol[:3])
            notional = WIDE.multiply(fill.quantity, fill.price)
            assert fill.notional == notional
            assert fill.fee == WIDE.multiply(notional, FEES.taker)
            assert sign * fill.price <= sign * order.limit_price
            expected[base] = WIDE.add(expected[base], sign * fill.quantity)
            expected[EUR] = WIDE.subtract(expected[EUR], WIDE.add(sign * notional, fill.fee))
            trade_ids.append(fill.trade_id)
        totals = {currency: holding.total for currency, holding in venue.balances().items()}
        assert totals == expected
        assert min(totals.values()) >= 0
    assert len(set(trade_ids)) == len(trade_ids)


_KILL = """
CREATE FUNCTION kill_backend() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$
"""


@pytest.fixture
def killed_at_commit(engine: Engine) -> Iterator[None]:
    """The server ends the connection of whoever stores an order, while it commits."""
    yield from _with_trigger(
        engine,
        "CREATE CONSTRAINT TRIGGER killer AFTER INSERT ON paper_order "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION kill_backend()",
    )


@pytest.fixture
def killed_before_commit(engine: Engine) -> Iterator[None]:
    """The server ends the connection of whoever stores an order, before it commits."""
    yield from _with_trigger(
        engine, "CREATE TRIGGER killer AFTER INSERT ON paper_order FOR EACH ROW EXECUTE FUNCTION kill_backend()"
    )


def _with_trigger(engine: Engine, trigger: str) -> Iterator[None]:
    with engine.begin() as connection:
        connection.execute(text(_KILL))
        connection.execute(text(trigger))
    yield
    with engine.begin() as connection:
        connection.execute(text("DROP FUNCTION kill_backend() CASCADE"))


@pytest.mark.usefixtures("killed_at_commit")
def test_a_connection_lost_while_committing_leaves_the_order_unclear(
    engine: Engine, account: Account, venue: PaperVenue
) -> None:
    answer = send(venue, ticket())
    assert isinstance(answer, Unclear)
    assert "\n" not in answer.reason
    assert orders_of(engine, account) == 0
    assert venue.balances()[EUR].total == Decimal(1000)


@pytest.mark.usefixtures("killed_before_commit")
def test_a_connection_lost_before_committing_is_a_refusal(engine: Engine, account: Account, venue: PaperVenue) -> None:
    answer = send(venue, ticket())
    assert isinstance(answer, Rejected)
    assert answer.reason.startswith("EService:Unavailable")
    assert "\n" not in answer.reason
    assert orders_of(engine, account) == 0


def test_no_database_is_no_empty_account(account: Account, prices: FixedPrices, clock: ManualClock) -> None:
    nowhere = create_engine("postgresql+psycopg://nobody:secret@127.0.0.1:1/none")
    venue = PaperVenue(nowhere, account.id, prices, clock)
    for question in (venue.balances, lambda: find(venue), lambda: venue.cancel(a_reference(ticket()))):
        with pytest.raises(VenueUnreachableError) as caught:
            question()
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)
    assert isinstance(send(venue, ticket()), Rejected)


def test_an_exhausted_pool_is_no_empty_account(
    module_database: str, account: Account, prices: FixedPrices, clock: ManualClock
) -> None:
    url = module_database.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0)
    venue = PaperVenue(engine, account.id, prices, clock)
    with engine.connect():
        with pytest.raises(VenueUnreachableError):
            venue.balances()
        assert isinstance(send(venue, ticket()), Rejected)
    assert venue.balances() == {}
    engine.dispose()


def test_a_refused_order_leaves_no_lock_behind(engine: Engine, account: Account, venue: PaperVenue) -> None:
    send(venue, ticket(quantity=Decimal(1)))
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
        connection.execute(
            update(PaperBalanceRow).where(PaperBalanceRow.account_id == account.id).values(locked=Decimal(0))
        )


def test_the_database_refuses_the_same_trade_twice(engine: Engine, account: Account, venue: PaperVenue) -> None:
    send(venue, ticket())
    with engine.connect() as connection:
        row = connection.execute(
            select(PaperTradeRow.trade_id, PaperTradeRow.order_id)
            .join(PaperOrderRow, PaperOrderRow.id == PaperTradeRow.order_id)
            .where(PaperOrderRow.account_id == account.id)
        ).one()
        again = {"quantity": 1, "price": 1, "fee": 0, "fee_currency": "EUR", "executed_at": NOON}
        with pytest.raises(IntegrityError, match="trade_id"):
            connection.execute(insert(PaperTradeRow).values(**row._mapping, **again))
