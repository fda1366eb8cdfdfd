"""Leases: who may trade an account, decided by the database's clock and fenced by the epoch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select

from rebalancer_pipelines.adapters.postgres.tables import AccountRow
from rebalancer_pipelines.domain.errors import LeaseLostError
from rebalancer_pipelines.domain.rebalance import Lease

from .stored import ALREADY_OVER, MINUTE, Transactions, a_lease, an_account, wait_until_blocked


def take(transactions: Transactions, account_id: UUID) -> Lease | None:
    with transactions() as work:
        lease = work.accounts.take_lease(account_id, MINUTE)
        work.commit()
    return lease


def test_a_held_lease_is_not_given_to_another(transactions: Transactions) -> None:
    account = an_account(transactions)
    a_lease(transactions, account.id)
    assert take(transactions, account.id) is None


def test_leases_of_two_accounts_do_not_touch_each_other(transactions: Transactions) -> None:
    first, second = an_account(transactions, "first"), an_account(transactions, "second")
    a_lease(transactions, first.id)
    assert take(transactions, second.id) is not None


def test_a_lease_that_ran_out_is_taken_over_with_a_higher_epoch(transactions: Transactions) -> None:
    account = an_account(transactions)
    old = a_lease(transactions, account.id, ALREADY_OVER)
    new = take(transactions, account.id)
    assert new is not None
    assert new.epoch > old.epoch


def test_a_lease_ends_by_the_clock_of_the_database(transactions: Transactions, engine: Engine) -> None:
    account = an_account(transactions)
    a_lease(transactions, account.id, timedelta(seconds=90))
    with engine.connect() as connection:
        left = connection.execute(select(AccountRow.lease_until - func.clock_timestamp())).scalar_one()
    assert timedelta(seconds=60) < left <= timedelta(seconds=90)


def test_a_lease_given_back_is_free_at_once_and_its_epoch_writes_nothing_more(transactions: Transactions) -> None:
    account = an_account(transactions)
    old = a_lease(transactions, account.id)
    with transactions() as work:
        work.accounts.release_lease(old)
        work.commit()
    with transactions() as work, pytest.raises(LeaseLostError):
        work.accounts.fence(old)
    assert take(transactions, account.id) is not None


def test_giving_back_a_lost_lease_leaves_the_new_holder_alone(transactions: Transactions) -> None:
    account = an_account(transactions)
    old = a_lease(transactions, account.id, ALREADY_OVER)
    new = a_lease(transactions, account.id)
    with transactions() as work:
        work.accounts.release_lease(old)
        work.commit()
    assert take(transactions, account.id) is None
    with transactions() as work:
        work.accounts.fence(new)


def test_renewing_keeps_a_lease_that_had_run_out_when_nobody_took_it(transactions: Transactions) -> None:
    account = an_account(transactions)
    lease = a_lease(transactions, account.id, ALREADY_OVER)
    with transactions() as work:
        work.accounts.renew_lease(lease, MINUTE)
        work.commit()
    assert take(transactions, account.id) is None


def test_a_stale_epoch_can_neither_renew_nor_write(transactions: Transactions) -> None:
    account = an_account(transactions)
    old = a_lease(transactions, account.id, ALREADY_OVER)
    a_lease(transactions, account.id)
    with transactions() as work, pytest.raises(LeaseLostError, match="another worker holds account"):
        work.accounts.renew_lease(old, MINUTE)
    with transactions() as work, pytest.raises(LeaseLostError, match="another worker holds account"):
        work.accounts.fence(old)


def test_of_many_takers_at_once_one_gets_the_lease(transactions: Transactions, threads: ThreadPoolExecutor) -> None:
    start = Barrier(8)
    account = an_account(transactions)

    def race(_: int) -> Lease | None:
        with transactions() as work:
            work.accounts.by_id(account.id)  # the connection stands before the start
            start.wait()
            lease = work.accounts.take_lease(account.id, MINUTE)
            work.commit()
        return lease

    leases = [lease for lease in threads.map(race, range(8)) if lease is not None]
    assert len(leases) == 1


def test_a_takeover_waits_for_a_fenced_transaction(
    transactions: Transactions, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    account = an_account(transactions)
    old = a_lease(transactions, account.id, ALREADY_OVER)
    with transactions() as work:
        work.accounts.fence(old)
        takeover = threads.submit(take, transactions, account.id)
        wait_until_blocked(engine)
        work.activity.add("written", "under the old epoch", {}, account.created_at)
        assert not takeover.done()
        work.commit()
    new = takeover.result(20)
    assert new is not None
    assert new.epoch > old.epoch


def test_a_fence_behind_a_takeover_finds_its_epoch_stale(
    transactions: Transactions, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    account = an_account(transactions)
    old = a_lease(transactions, account.id, ALREADY_OVER)

    def write_under_the_old_epoch() -> None:
        with transactions() as work:
            work.accounts.fence(old)
            work.commit()

    with transactions() as work:
        assert work.accounts.take_lease(account.id, MINUTE) is not None
        late = threads.submit(write_under_the_old_epoch)
        wait_until_blocked(engine)
        work.commit()
    with pytest.raises(LeaseLostError):
        late.result(20)


def test_a_takeover_that_is_undone_leaves_the_old_holder_in_place(
    transactions: Transactions, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    account = an_account(transactions)
    old = a_lease(transactions, account.id, ALREADY_OVER)

    def write_under_the_old_epoch() -> None:
        with transactions() as work:
            work.accounts.fence(old)
            work.commit()

    with transactions() as work:
        work.accounts.take_lease(account.id, MINUTE)
        late = threads.submit(write_under_the_old_epoch)
        wait_until_blocked(engine)
    late.result(20)


def test_two_transactions_of_one_holder_do_not_wait_for_each_other(transactions: Transactions) -> None:
    account = an_account(transactions)
    lease = a_lease(transactions, account.id)
    with transactions() as first, transactions() as second:
        first.accounts.fence(lease)
        second.accounts.fence(lease)
