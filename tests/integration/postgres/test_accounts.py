"""Stored accounts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from rebalancer_pipelines.domain.errors import InvalidInputError, NotFoundError
from rebalancer_pipelines.domain.portfolio import TradingState

from .stored import EUR, NOON, Transactions, a_lease, a_stored_portfolio, an_account, an_entry, wait_until_blocked


def test_an_account_comes_back_as_it_was_opened(transactions: Transactions) -> None:
    account = an_account(transactions)
    assert (account.name, account.venue, account.price_source) == ("main", "paper", "recorded")
    assert (account.trading_state, account.trading_state_reason) == (TradingState.ACTIVE, None)
    assert account.created_at == NOON
    with transactions() as work:
        assert work.accounts.get("main") == work.accounts.by_id(account.id) == account


def test_accounts_are_listed_by_name(transactions: Transactions) -> None:
    z, a = an_account(transactions, "z"), an_account(transactions, "a")
    with transactions() as work:
        assert work.accounts.all() == [a, z]


def test_a_taken_name_is_refused_and_what_was_done_before_it_stays_possible(transactions: Transactions) -> None:
    an_account(transactions)
    with transactions() as work:
        work.accounts.add("before", "paper", "recorded", NOON)
        with pytest.raises(InvalidInputError, match="name: 'main' is taken by another account"):
            work.accounts.add("main", "paper", "recorded", NOON)
        work.commit()
    with transactions() as work:
        assert [account.name for account in work.accounts.all()] == ["before", "main"]


def test_an_unknown_name_is_answered_with_the_known_ones(transactions: Transactions) -> None:
    with transactions() as work, pytest.raises(NotFoundError, match="rebalancer account add"):
        work.accounts.get("missing")
    an_account(transactions, "b")
    an_account(transactions, "a")
    with transactions() as work, pytest.raises(NotFoundError, match="'missing' is unknown; there is a, b"):
        work.accounts.get("missing")


def test_what_was_deleted_meanwhile_is_named(transactions: Transactions) -> None:
    with transactions() as work:
        with pytest.raises(NotFoundError, match="deleted meanwhile"):
            work.accounts.by_id(uuid4())
        with pytest.raises(NotFoundError, match="deleted meanwhile"):
            work.accounts.set_trading_state(uuid4(), TradingState.HALTED, "stop")


def test_trading_is_stopped_with_a_reason_and_allowed_again(transactions: Transactions) -> None:
    account, other = an_account(transactions), an_account(transactions, "other")
    with transactions() as work:
        work.accounts.set_trading_state(account.id, TradingState.HALTED, "the books differ")
        halted = work.accounts.by_id(account.id)
        assert (halted.trading_state, halted.trading_state_reason) == (TradingState.HALTED, "the books differ")
        assert work.accounts.by_id(other.id) == other
        work.accounts.set_trading_state(account.id, TradingState.ACTIVE, None)
        assert work.accounts.by_id(account.id) == account


def test_an_account_stays_while_portfolios_use_it(transactions: Transactions) -> None:
    account, other = an_account(transactions), an_account(transactions, "other")
    a_stored_portfolio(transactions, account, name="b")
    a_stored_portfolio(transactions, account, name="a")
    with transactions() as work:
        with pytest.raises(InvalidInputError, match="account: 'main' is used by a, b; delete them first"):
            work.accounts.delete(account.id)
        work.accounts.delete(other.id)
        work.commit()
    with transactions() as work:
        assert work.accounts.all() == [account]


def test_who_moves_money_between_books_takes_turns(
    transactions: Transactions, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    account = an_account(transactions)

    def book_what_is_missing() -> None:
        with transactions() as work:
            work.accounts.lock(account.id)
            if work.ledger.books(account.id).is_untouched:
                work.ledger.append([an_entry(account.id, amount="5")])
            work.commit()

    with transactions() as work:
        work.accounts.lock(account.id)
        second = threads.submit(book_what_is_missing)
        wait_until_blocked(engine)
        work.ledger.append([an_entry(account.id, amount="5")])
        work.commit()
    second.result(20)
    with transactions() as work:
        assert work.ledger.books(account.id).total() == {EUR: Decimal(5)}


def test_a_fenced_transaction_can_lock_its_account_while_another_waits_for_it(
    transactions: Transactions, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    account = an_account(transactions)
    lease = a_lease(transactions, account.id)

    def lock() -> None:
        with transactions() as work:
            work.accounts.lock(account.id)
            work.commit()

    with transactions() as work:
        work.accounts.fence(lease)
        other = threads.submit(lock)
        wait_until_blocked(engine)
        work.accounts.lock(account.id)
        assert not other.done()
        work.commit()
    other.result(20)


def test_a_locked_account_stops_nobody_who_only_refers_to_it(transactions: Transactions) -> None:
    account = an_account(transactions)
    with transactions() as work:
        work.accounts.lock(account.id)
        with transactions() as other:
            other.ledger.append([an_entry(account.id)])
            other.commit()
