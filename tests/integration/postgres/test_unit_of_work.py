"""The unit of work: all of it or nothing, always read as stored, and clear words when the database goes away."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine, create_engine, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from rebalancer_pipelines.adapters.postgres.database import DatabaseUnavailableError
from rebalancer_pipelines.adapters.postgres.tables import AccountRow
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from rebalancer_pipelines.domain.order import OrderState
from rebalancer_pipelines.domain.portfolio import TradingState

from .stored import NOON, Transactions, a_fill, a_rebalance, a_stored_order, an_account

_END_OTHERS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def end_all_sessions(engine: Engine) -> None:
    """What a server does to everybody when it is restarted."""
    with engine.connect() as connection:
        connection.execute(_END_OTHERS)


def names(transactions: Transactions) -> list[str]:
    with transactions() as work:
        return [account.name for account in work.accounts.all()]


def test_what_is_not_committed_is_undone(transactions: Transactions) -> None:
    with transactions() as work:
        work.accounts.add("main", "paper", "recorded", NOON)
        assert [account.name for account in work.accounts.all()] == ["main"]
    assert names(transactions) == []


def test_an_error_undoes_everything_and_is_passed_on(transactions: Transactions) -> None:
    def add_and_fail() -> None:
        with transactions() as work:
            work.accounts.add("main", "paper", "recorded", NOON)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        add_and_fail()
    assert names(transactions) == []


def test_what_follows_a_commit_is_a_transaction_of_its_own(transactions: Transactions) -> None:
    with transactions() as work:
        work.accounts.add("kept", "paper", "recorded", NOON)
        work.commit()
        work.accounts.add("undone", "paper", "recorded", NOON)
    assert names(transactions) == ["kept"]


def test_others_see_nothing_before_the_commit(transactions: Transactions) -> None:
    with transactions() as work:
        work.accounts.add("main", "paper", "recorded", NOON)
        assert names(transactions) == []
        work.commit()
        assert names(transactions) == ["main"]


def test_a_move_with_its_fills_and_entries_is_undone_as_one(transactions: Transactions) -> None:
    order = a_stored_order(transactions, state=OrderState.OPEN)
    with transactions() as work:
        account_id = work.rebalances.by_id(order.rebalance_id).account_id
        work.orders.add_fills(order, account_id, [a_fill()])
        work.orders.move(order, OrderState.PARTIALLY_FILLED)
    with transactions() as work:
        assert work.orders.of_rebalance(order.rebalance_id) == [order]


def test_a_second_read_shows_what_others_have_stored_since_the_first(transactions: Transactions) -> None:
    account = an_account(transactions)
    with transactions() as reader:
        # Whoever still holds a row keeps it in the session's memory, from where it must not be served again.
        remembered = reader._session.scalars(select(AccountRow)).all()
        assert reader.accounts.by_id(account.id).trading_state is TradingState.ACTIVE
        with transactions() as writer:
            writer.accounts.set_trading_state(account.id, TradingState.HALTED, "stop", NOON)
            writer.commit()
        assert reader.accounts.by_id(account.id).trading_state is TradingState.HALTED
        assert reader.accounts.all()[0].trading_state_reason == "stop"
        assert len(remembered) == 1


def test_a_second_read_shows_what_oneself_has_changed_since_the_first(transactions: Transactions) -> None:
    rebalance = a_rebalance(transactions)
    with transactions() as work:
        assert work.rebalances.by_id(rebalance.id).plan_hash is None
        work.rebalances.store_plan(rebalance.id, "abc", {"orders": []})
        assert work.rebalances.by_id(rebalance.id).plan_hash == "abc"


def test_a_session_that_is_ended_under_way_is_one_line_and_undone(transactions: Transactions, engine: Engine) -> None:
    def add_and_read_on() -> None:
        with transactions() as work:
            work.accounts.add("main", "paper", "recorded", NOON)
            end_all_sessions(engine)
            work.accounts.all()

    with pytest.raises(DatabaseUnavailableError, match=r"^DATABASE_URL: '127\.0\.0\.1:\d+/ready_\d+' cannot be used: "):
        add_and_read_on()
    assert names(transactions) == []


def test_a_session_that_is_ended_before_its_commit_is_not_reported_as_committed(
    transactions: Transactions, engine: Engine
) -> None:
    def add_and_commit() -> None:
        with transactions() as work:
            work.accounts.add("main", "paper", "recorded", NOON)
            end_all_sessions(engine)
            work.commit()

    with pytest.raises(DatabaseUnavailableError):
        add_and_commit()
    assert names(transactions) == []


def test_a_connection_that_died_in_the_pool_is_replaced_unseen(transactions: Transactions, engine: Engine) -> None:
    an_account(transactions)
    end_all_sessions(engine)
    assert names(transactions) == ["main"]


def test_a_fault_of_ours_is_not_blamed_on_the_database(engine: Engine) -> None:
    with pytest.raises(DBAPIError, match="division by zero"), PostgresUnitOfWork(engine) as work:
        work._session.execute(text("SELECT 1 / 0"))


def test_of_two_that_wait_for_each_other_one_is_undone_in_one_line(
    transactions: Transactions, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    first, second = an_account(transactions, "first"), an_account(transactions, "second")

    def lock_second_then_first() -> None:
        with transactions() as work:
            work.accounts.lock(second.id)
            both_hold_one.wait()
            work.accounts.lock(first.id)

    def lock_first_then_second() -> None:
        with transactions() as work:
            work.accounts.lock(first.id)
            both_hold_one.wait()
            work.accounts.lock(second.id)

    both_hold_one = Barrier(2)
    waiting = [threads.submit(lock_second_then_first), threads.submit(lock_first_then_second)]
    errors = [error for error in (future.exception(20) for future in waiting) if error is not None]
    assert [type(error) for error in errors] == [DatabaseUnavailableError]
    assert str(errors[0]).endswith("two sessions waited for each other and this one was undone; try again")


def test_a_row_that_another_has_changed_meanwhile_is_one_line(transactions: Transactions) -> None:
    account = an_account(transactions)

    def change_what_another_changes() -> None:
        with transactions() as work:
            work._session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            work.accounts.by_id(account.id)
            with transactions() as other:
                other.accounts.set_live_trading(account.id, allowed=True)
                other.commit()
            work.accounts.set_live_trading(account.id, allowed=False)

    with pytest.raises(DatabaseUnavailableError, match="another session changed the same rows and this one was undone"):
        change_what_another_changes()


def test_a_lock_that_is_not_had_in_time_is_one_line(transactions: Transactions) -> None:
    account = an_account(transactions)

    def wait_shortly() -> None:
        with transactions() as work:
            work._session.execute(text("SET LOCAL lock_timeout = '50ms'"))
            work.accounts.lock(account.id)

    with transactions() as holder:
        holder.accounts.lock(account.id)
        with pytest.raises(DatabaseUnavailableError, match="another session held the same rows for too long"):
            wait_shortly()


def test_a_pool_that_is_used_up_is_one_line(engine: Engine) -> None:
    small = create_engine(engine.url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0)
    with (
        small.connect(),
        pytest.raises(DatabaseUnavailableError, match="has taken all the connections it allows itself; try again"),
        PostgresUnitOfWork(small) as work,
    ):
        work.accounts.all()
    small.dispose()
