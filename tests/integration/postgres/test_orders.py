"""Order intents and fills: one writer wins every move, and every execution counts once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Barrier

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from rebalancer_pipelines.domain.errors import IllegalTransitionError, LeaseLostError, RebalancerError
from rebalancer_pipelines.domain.order import Fill, Order, OrderState
from rebalancer_pipelines.domain.rebalance import Rebalance
from rebalancer_pipelines.domain.values import Currency

from .stored import (
    EUR,
    NEVER_LEFT,
    NOON,
    Transactions,
    a_fill,
    a_rebalance,
    a_stored_order,
    a_stored_portfolio,
    an_account,
    an_order,
    wait_until_blocked,
)


def move(transactions: Transactions, order: Order, state: OrderState) -> Order:
    with transactions() as work:
        moved = work.orders.move(order, state)
        work.commit()
    return moved


def book(transactions: Transactions, order: Order, *fills: Fill) -> set[str]:
    with transactions() as work:
        new = work.orders.add_fills(order, work.rebalances.by_id(order.rebalance_id).account_id, fills)
        work.commit()
    return set(new)


def stored(transactions: Transactions, order: Order) -> Order:
    with transactions() as work:
        return next(found for found in work.orders.of_rebalance(order.rebalance_id) if found.id == order.id)


def test_orders_come_back_as_they_were_planned_in_their_sequence(transactions: Transactions) -> None:
    rebalance = a_rebalance(transactions)
    quantity = Decimal("0.000000000000000001") + Decimal(123456789)
    orders = [an_order(rebalance, 1, quantity=quantity), an_order(rebalance, 0)]
    with transactions() as work:
        work.orders.add(orders)
        work.commit()
    with transactions() as work:
        assert work.orders.of_rebalance(rebalance.id) == [orders[1], orders[0]]


def test_orders_of_several_rebalances_each_belong_to_their_own(transactions: Transactions) -> None:
    account = an_account(transactions)
    real = a_rebalance(transactions, a_stored_portfolio(transactions, account))
    other = an_account(transactions, "other")
    dry = a_rebalance(transactions, a_stored_portfolio(transactions, other, name="other"), dry_run=True)
    sent, simulated = an_order(real, state=OrderState.SENDING), an_order(dry, state=OrderState.SENDING)
    with transactions() as work:
        work.orders.add([sent, simulated])
        work.commit()
    with transactions() as work:
        assert work.orders.possibly_at_venue(account.id) == [sent]
        assert work.orders.possibly_at_venue(other.id) == []


def test_no_orders_are_no_trouble(transactions: Transactions) -> None:
    with transactions() as work:
        work.orders.add([])
        work.commit()


def test_a_move_stores_what_is_given_and_leaves_the_rest(transactions: Transactions) -> None:
    order = a_stored_order(transactions)
    with transactions() as work:
        sent = work.orders.move(order, OrderState.SENDING, quantity=Decimal("0.4"), not_after=NOON)
        opened = work.orders.move(sent, OrderState.OPEN, venue_order_id="V1")
        work.commit()
    expected = replace(
        order, state=OrderState.OPEN, quantity=Decimal("0.4"), not_after=NOON, venue_order_id="V1", reason=None
    )
    assert opened == expected
    assert stored(transactions, order) == expected


def test_a_move_that_the_table_does_not_know_is_refused(transactions: Transactions) -> None:
    order = a_stored_order(transactions)
    with pytest.raises(IllegalTransitionError):
        move(transactions, order, OrderState.FILLED)
    assert stored(transactions, order).state is OrderState.PLANNED


def test_a_move_from_a_state_that_is_past_is_refused(transactions: Transactions) -> None:
    planned = a_stored_order(transactions)
    move(transactions, planned, OrderState.SENDING)
    with pytest.raises(LeaseLostError, match="no longer PLANNED"):
        move(transactions, planned, OrderState.VOID)
    assert stored(transactions, planned).state is OrderState.SENDING


def test_of_two_that_send_one_order_at_once_one_is_refused(
    transactions: Transactions, threads: ThreadPoolExecutor
) -> None:
    start = Barrier(4)
    planned = a_stored_order(transactions)

    def send(_: int) -> bool:
        with transactions() as work:
            work.orders.of_rebalance(planned.rebalance_id)  # the connection stands before the start
            start.wait()
            try:
                work.orders.move(planned, OrderState.SENDING)
            except LeaseLostError:
                return False
            work.commit()
        return True

    assert sorted(threads.map(send, range(4))) == [False, False, False, True]


def test_a_second_sender_waits_for_the_first_and_sends_when_that_was_undone(
    transactions: Transactions, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    planned = a_stored_order(transactions)
    with transactions() as work:
        work.orders.move(planned, OrderState.SENDING)
        second = threads.submit(move, transactions, planned, OrderState.SENDING)
        wait_until_blocked(engine)
    assert second.result(20).state is OrderState.SENDING


@pytest.mark.parametrize("state", list(OrderState))
def test_orders_that_may_be_at_the_venue_are_found_and_no_others(transactions: Transactions, state: OrderState) -> None:
    rebalance = a_rebalance(transactions)
    a_stored_order(transactions, rebalance, state=state)
    with transactions() as work:
        found = work.orders.possibly_at_venue(rebalance.account_id)
    assert bool(found) == state.may_be_at_venue


def test_a_dry_run_never_leaves_an_order_at_the_venue(transactions: Transactions) -> None:
    rebalance = a_rebalance(transactions, dry_run=True)
    a_stored_order(transactions, rebalance, state=OrderState.UNKNOWN)
    with transactions() as work:
        assert work.orders.possibly_at_venue(rebalance.account_id) == []


def test_a_fill_that_is_reported_again_counts_once(transactions: Transactions) -> None:
    order = a_stored_order(transactions)
    assert book(transactions, order, a_fill("T1")) == {"T1"}
    assert book(transactions, order, a_fill("T1"), a_fill("T2"), a_fill("T2")) == {"T2"}
    assert book(transactions, order, a_fill("T2"), a_fill("T1")) == set()
    assert stored(transactions, order).fills == (a_fill("T1"), a_fill("T2"))


def test_the_same_trade_id_on_two_accounts_is_two_fills(transactions: Transactions) -> None:
    first = a_stored_order(transactions)
    portfolio = a_stored_portfolio(transactions, an_account(transactions, "other"), name="other")
    second = a_stored_order(transactions, a_rebalance(transactions, portfolio))
    assert book(transactions, first, a_fill("T1")) == {"T1"}
    assert book(transactions, second, a_fill("T1")) == {"T1"}


def test_a_move_shows_the_fills_booked_before_it_in_the_same_transaction(transactions: Transactions) -> None:
    order = a_stored_order(transactions, state=OrderState.OPEN)
    with transactions() as work:
        account_id = work.rebalances.by_id(order.rebalance_id).account_id
        assert work.orders.of_rebalance(order.rebalance_id)[0].fills == ()
        work.orders.add_fills(order, account_id, [a_fill(quantity="0.5")])
        assert work.orders.move(order, OrderState.FILLED).fills == (a_fill(quantity="0.5"),)
        work.commit()


def test_fills_never_exceed_what_was_ordered(transactions: Transactions) -> None:
    order = a_stored_order(transactions)
    book(transactions, order, a_fill("T1", "0.3"))
    with pytest.raises(RebalancerError, match=f"more filled for order {order.client_order_id} than its quantity"):
        book(transactions, order, a_fill("T2", "0.1"), a_fill("T3", "0.1000000000000000000000001"))
    assert book(transactions, order, a_fill("T4", "0.2")) == {"T4"}
    assert stored(transactions, order).filled_quantity == order.quantity


def test_one_order_of_many_that_is_overfilled_stops_the_whole_statement(
    transactions: Transactions, engine: Engine
) -> None:
    rebalance = a_rebalance(transactions)
    orders = [an_order(rebalance, 0), an_order(rebalance, 1)]
    with transactions() as work:
        work.orders.add(orders)
        work.commit()
    too_much = [(orders[0], a_fill("T1", "0.5")), (orders[1], a_fill("T2", "0.3")), (orders[1], a_fill("T3", "0.3"))]
    with transactions() as work, pytest.raises(IntegrityError, match=f"the fills of order {orders[1].id} exceed"):
        work.orders.book_parts(rebalance.account_id, too_much)
    with transactions() as work:
        work.orders.book_parts(rebalance.account_id, too_much[:2])
        work.commit()
    with engine.connect() as connection, pytest.raises(IntegrityError, match="exceed its quantity"):
        connection.execute(text("UPDATE fill SET quantity = 1 WHERE trade_id = 'T2'"))
    assert [stored(transactions, order).filled_quantity for order in orders] == [Decimal("0.5"), Decimal("0.3")]


def test_two_writers_of_fills_take_turns_and_cannot_overfill_together(
    transactions: Transactions, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    order = a_stored_order(transactions)
    with transactions() as work:
        account_id = work.rebalances.by_id(order.rebalance_id).account_id
        work.orders.add_fills(order, account_id, [a_fill("T1", "0.3")])
        second = threads.submit(book, transactions, order, a_fill("T2", "0.3"))
        wait_until_blocked(engine)
        work.commit()
    with pytest.raises(RebalancerError, match="than its quantity"):
        second.result(20)
    assert stored(transactions, order).fills == (a_fill("T1", "0.3"),)


def test_many_writers_of_fills_do_not_deadlock(transactions: Transactions, threads: ThreadPoolExecutor) -> None:
    start = Barrier(8)
    order = a_stored_order(transactions)

    def fill(number: int) -> set[str]:
        with transactions() as work:
            account_id = work.rebalances.by_id(order.rebalance_id).account_id
            start.wait()
            new = work.orders.add_fills(order, account_id, [a_fill(f"T{number}", "0.01")])
            work.commit()
        return set(new)

    assert set().union(*threads.map(fill, range(8))) == {f"T{number}" for number in range(8)}


def test_writers_of_the_same_orders_in_another_sequence_do_not_deadlock(
    transactions: Transactions, threads: ThreadPoolExecutor
) -> None:
    start = Barrier(4)
    rebalance = a_rebalance(transactions)
    orders = [an_order(rebalance, sequence) for sequence in range(20)]
    with transactions() as work:
        work.orders.add(orders)
        work.commit()

    def fill(number: int) -> None:
        mine = orders if number % 2 else orders[::-1]
        parts = [(order, a_fill(f"T{number}-{order.sequence}", "0.01")) for order in mine]
        with transactions() as work:
            start.wait()
            work.orders.book_parts(rebalance.account_id, parts)
            work.commit()

    list(threads.map(fill, range(4)))
    assert {stored(transactions, order).filled_quantity for order in orders} == {Decimal("0.04")}


def test_what_a_fill_moved_is_kept_as_the_venue_rounded_it(transactions: Transactions) -> None:
    order = a_stored_order(transactions)
    fill = a_fill(notional=Decimal("10.00999"))
    book(transactions, order, fill)
    assert stored(transactions, order).fills == (fill,)
    assert stored(transactions, order).filled_notional == Decimal("10.00999")


def a_dry_run_elsewhere(transactions: Transactions, rebalance: Rebalance) -> Rebalance:
    """A finished real rebalance leaves its account to a dry run of the same portfolio."""
    with transactions() as work:
        work.rebalances.finish(rebalance.id, NOON)
        portfolio = work.portfolios.by_id(rebalance.portfolio_id)
        work.commit()
    return a_rebalance(transactions, portfolio, dry_run=True)


def test_the_newest_fill_of_an_account_is_found_and_simulated_ones_are_not(transactions: Transactions) -> None:
    rebalance = a_rebalance(transactions)
    hour = timedelta(hours=1)
    with transactions() as work:
        assert work.orders.newest_fill_at(rebalance.account_id) is None
    order = a_stored_order(transactions, rebalance)
    book(transactions, order, a_fill("T1", executed_at=NOON + hour), a_fill("T2", executed_at=NOON))
    simulated = a_stored_order(transactions, a_dry_run_elsewhere(transactions, rebalance))
    book(transactions, simulated, a_fill("T3", executed_at=NOON + 2 * hour))
    portfolio = a_stored_portfolio(transactions, an_account(transactions, "other"), name="other")
    elsewhere = a_stored_order(transactions, a_rebalance(transactions, portfolio))
    book(transactions, elsewhere, a_fill("T4", executed_at=NOON + 3 * hour))
    with transactions() as work:
        assert work.orders.newest_fill_at(rebalance.account_id) == NOON + hour


def test_trades_of_our_orders_are_told_from_others(transactions: Transactions) -> None:
    order = a_stored_order(transactions)
    portfolio = a_stored_portfolio(transactions, an_account(transactions, "other"), name="other")
    elsewhere = a_stored_order(transactions, a_rebalance(transactions, portfolio))
    book(transactions, order, a_fill("T1"), a_fill("T2"))
    book(transactions, elsewhere, a_fill("T3"))
    with transactions() as work:
        account_id = work.rebalances.by_id(order.rebalance_id).account_id
        assert set(work.orders.known_trades(account_id, ["T2", "T3", "T4"])) == {"T2"}
        assert set(work.orders.known_trades(account_id, [])) == set()


def touch(engine: Engine, order: Order, moment: datetime) -> None:
    """Let the order's last change be at that moment."""
    with engine.begin() as connection:
        change = text("UPDATE order_intent SET updated_at = :moment WHERE id = :id")
        connection.execute(change, {"moment": moment, "id": order.id})


def sent_since(transactions: Transactions, rebalance: Rebalance, since: datetime) -> tuple[int, Decimal]:
    with transactions() as work:
        return (
            work.orders.count_sent(rebalance.account_id, since),
            work.orders.notional_sent(rebalance.account_id, EUR, since),
        )


@pytest.mark.parametrize("state", list(OrderState))
def test_an_order_counts_as_sent_once_it_may_have_left(
    transactions: Transactions, engine: Engine, state: OrderState
) -> None:
    rebalance = a_rebalance(transactions)
    order = a_stored_order(transactions, rebalance, state=state)
    touch(engine, order, NOON)
    stayed = state in NEVER_LEFT
    in_full = order.quantity * order.limit_price if state.may_be_at_venue else Decimal(0)
    assert sent_since(transactions, rebalance, NOON) == (0 if stayed else 1, in_full)
    assert sent_since(transactions, rebalance, NOON + timedelta(microseconds=1)) == (0, 0)


def test_an_order_is_worth_its_fills_and_in_full_while_it_may_trade(transactions: Transactions) -> None:
    rebalance = a_rebalance(transactions)
    limits = {"quantity": Decimal(2), "limit_price": Decimal(100)}
    done = a_stored_order(transactions, rebalance, state=OrderState.PARTIALLY_FILLED, **limits)
    book(transactions, done, a_fill("T1", notional=Decimal("10.01")), a_fill("T2", notional=Decimal("10.02")))
    assert sent_since(transactions, rebalance, NOON) == (1, Decimal("20.03"))

    open_order = a_stored_order(transactions, rebalance, sequence=1, state=OrderState.OPEN, **limits)
    book(transactions, open_order, a_fill("T3", notional=Decimal(30)))
    assert sent_since(transactions, rebalance, NOON) == (2, Decimal("220.03"))

    dearer = a_stored_order(transactions, rebalance, sequence=2, state=OrderState.UNKNOWN, **limits)
    book(transactions, dearer, a_fill("T4", quantity="2", notional=Decimal(201)))
    assert sent_since(transactions, rebalance, NOON) == (3, Decimal("421.03"))


def test_simulated_orders_other_currencies_and_other_accounts_do_not_add_to_what_was_sent(
    transactions: Transactions,
) -> None:
    rebalance = a_rebalance(transactions)
    a_stored_order(transactions, rebalance, state=OrderState.OPEN, quote_currency=Currency("USD"))
    simulated = a_dry_run_elsewhere(transactions, rebalance)
    a_stored_order(transactions, simulated, state=OrderState.OPEN)
    portfolio = a_stored_portfolio(transactions, an_account(transactions, "other"), name="other")
    a_stored_order(transactions, a_rebalance(transactions, portfolio), state=OrderState.OPEN)
    assert sent_since(transactions, rebalance, NOON) == (1, 0)


def test_a_move_is_a_change_that_counts_from_now(transactions: Transactions, engine: Engine) -> None:
    rebalance = a_rebalance(transactions)
    order = a_stored_order(transactions, rebalance)
    touch(engine, order, NOON)
    with engine.connect() as connection:
        now = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    with transactions() as work:
        work.orders.move(order, OrderState.SENDING, not_after=NOON)
        work.commit()
    assert sent_since(transactions, rebalance, now)[0] == 1
