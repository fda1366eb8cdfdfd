"""Stored portfolios: they come back as they were, and go only when nothing of theirs is at a venue."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, text

from rebalancer_pipelines.domain.calendar import RebalanceInterval
from rebalancer_pipelines.domain.drift import DriftBand, DriftBandKind
from rebalancer_pipelines.domain.errors import InvalidInputError, LeaseLostError, NotFoundError
from rebalancer_pipelines.domain.order import OrderState
from rebalancer_pipelines.domain.portfolio import RebalancePolicy
from rebalancer_pipelines.domain.rebalance import RebalanceTimes
from rebalancer_pipelines.domain.values import Currency
from rebalancer_pipelines.domain.weights import TargetWeights

from .stored import (
    NOON,
    Transactions,
    a_portfolio,
    a_rebalance,
    a_stored_order,
    a_stored_portfolio,
    an_account,
    wait_until_blocked,
)

_EVERYTHING_SET = {
    "description": "Für später, 'quoted' \\ and ☂",
    "valuation_currency": Currency("USD"),
    "weights": TargetWeights.parse("BTC=33.333333333333333333,ETH,USD=0,SOL"),
    "policy": RebalancePolicy(
        threshold=Decimal("0.000000000000000001"),
        band=DriftBand(Decimal("2.5"), DriftBandKind.RELATIVE),
        max_orders=3,
        cash_reserve=Decimal(0),
    ),
    "interval": RebalanceInterval.MONTHLY,
    "time_zone": ZoneInfo("Europe/Berlin"),
    "enabled": False,
    "anchor_at": NOON - timedelta(days=1),
    "last_rebalanced_at": NOON + timedelta(microseconds=1),
    "next_rebalance_at": NOON + timedelta(days=1),
}


@pytest.mark.parametrize("changes", [{}, _EVERYTHING_SET], ids=["defaults", "everything set"])
def test_a_portfolio_comes_back_as_it_was_stored(transactions: Transactions, changes: dict) -> None:
    portfolio = a_stored_portfolio(transactions, **changes)
    with transactions() as work:
        assert work.portfolios.get(portfolio.name) == portfolio
        assert work.portfolios.by_id(portfolio.id) == portfolio


def test_lists_are_by_name_and_by_account(transactions: Transactions) -> None:
    first, second = an_account(transactions, "first"), an_account(transactions, "second")
    z = a_stored_portfolio(transactions, first, name="z")
    a = a_stored_portfolio(transactions, second, name="a")
    m = a_stored_portfolio(transactions, first, name="m")
    with transactions() as work:
        assert work.portfolios.all() == [a, m, z]
        assert work.portfolios.on_account(first.id) == [m, z]


def test_a_taken_name_is_refused_and_what_was_done_before_it_stays_possible(transactions: Transactions) -> None:
    taken = a_stored_portfolio(transactions)
    with transactions() as work:
        work.activity.add("before", "x", {}, NOON)
        other = a_portfolio(work.accounts.get("main"), weights=TargetWeights.parse("ETH=100"))
        with pytest.raises(InvalidInputError, match="name: 'long-term' is taken"):
            work.portfolios.add(other)
        work.portfolios.add(replace(other, name="free"))
        work.commit()
    with transactions() as work:
        assert work.portfolios.get("long-term") == taken
        assert work.portfolios.get("free").id == other.id


def test_of_two_that_take_one_name_at_once_one_is_told_so(
    transactions: Transactions, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    account = an_account(transactions)
    with transactions() as work:
        work.portfolios.add(a_portfolio(account))
        second = threads.submit(a_stored_portfolio, transactions, account)
        wait_until_blocked(engine)
        work.commit()
    with pytest.raises(InvalidInputError, match="is taken"):
        second.result(20)


def test_an_unknown_name_is_answered_with_the_known_ones(transactions: Transactions) -> None:
    with transactions() as work, pytest.raises(NotFoundError, match="rebalancer portfolio create"):
        work.portfolios.get("missing")
    account = an_account(transactions)
    a_stored_portfolio(transactions, account, name="b")
    a_stored_portfolio(transactions, account, name="a")
    with transactions() as work, pytest.raises(NotFoundError, match="'missing' is unknown; there is a, b"):
        work.portfolios.get("missing")


def test_an_update_replaces_fields_and_weights(transactions: Transactions) -> None:
    portfolio = a_stored_portfolio(transactions)
    given = replace(portfolio, **_EVERYTHING_SET)
    # A rebalance that finishes meanwhile moves its own times: an update must not set them back.
    kept = replace(
        given, last_rebalanced_at=portfolio.last_rebalanced_at, next_rebalance_at=portfolio.next_rebalance_at
    )
    with transactions() as work:
        work.portfolios.get(portfolio.name)
        work.portfolios.update(given)
        assert work.portfolios.get(portfolio.name) == kept
        work.commit()
    with transactions() as work:
        assert work.portfolios.get(portfolio.name) == kept


def test_an_update_touches_no_other_portfolio(transactions: Transactions) -> None:
    account = an_account(transactions)
    other = a_stored_portfolio(transactions, account, name="other")
    portfolio = a_stored_portfolio(transactions, account)
    with transactions() as work:
        work.portfolios.update(replace(portfolio, **_EVERYTHING_SET))
        work.commit()
    with transactions() as work:
        assert work.portfolios.get("other") == other


def test_what_was_deleted_meanwhile_is_named(transactions: Transactions) -> None:
    account = an_account(transactions)
    missing = a_portfolio(account)
    with transactions() as work:
        with pytest.raises(NotFoundError, match="'long-term' is not there any more"):
            work.portfolios.update(missing)
        with pytest.raises(NotFoundError, match="deleted meanwhile"):
            work.portfolios.by_id(missing.id)


def test_times_move_one_by_one(transactions: Transactions) -> None:
    portfolio = a_stored_portfolio(transactions, next_rebalance_at=NOON)
    later = NOON + timedelta(days=7)
    with transactions() as work:
        work.portfolios.mark_rebalanced([RebalanceTimes(portfolio.id, None, later)])
        moved = work.portfolios.by_id(portfolio.id)
        assert (moved.last_rebalanced_at, moved.next_rebalance_at) == (None, later)
        work.portfolios.mark_rebalanced([RebalanceTimes(portfolio.id, NOON, None)])
        moved = work.portfolios.by_id(portfolio.id)
        assert (moved.last_rebalanced_at, moved.next_rebalance_at) == (NOON, later)


@pytest.mark.parametrize("state", list(OrderState))
def test_a_portfolio_stays_while_an_order_of_its_may_be_at_the_venue(
    transactions: Transactions, state: OrderState
) -> None:
    portfolio = a_stored_portfolio(transactions)
    order = a_stored_order(transactions, a_rebalance(transactions, portfolio), state=state)
    # What rides on a net order is at the venue with that.
    stays = state.may_be_at_venue or state is OrderState.NETTED
    with transactions() as work:
        if stays:
            with pytest.raises(InvalidInputError, match=f"'long-term' has order {order.client_order_id} at its venue"):
                work.portfolios.delete(portfolio.id)
        else:
            work.portfolios.delete(portfolio.id)
        work.commit()
    with transactions() as work:
        assert [p.id for p in work.portfolios.all()] == ([portfolio.id] if stays else [])


def test_a_dry_run_keeps_no_portfolio(transactions: Transactions) -> None:
    portfolio = a_stored_portfolio(transactions)
    a_stored_order(transactions, a_rebalance(transactions, portfolio, dry_run=True), state=OrderState.UNKNOWN)
    with transactions() as work:
        work.portfolios.delete(portfolio.id)
        assert work.portfolios.all() == []


def test_an_order_of_another_portfolio_keeps_only_that_one(transactions: Transactions) -> None:
    account = an_account(transactions)
    free = a_stored_portfolio(transactions, account, name="free")
    busy = a_stored_portfolio(transactions, account, name="busy")
    a_stored_order(transactions, a_rebalance(transactions, busy), state=OrderState.OPEN)
    with transactions() as work:
        work.portfolios.delete(free.id)
        assert [p.name for p in work.portfolios.all()] == ["busy"]


def test_a_portfolio_takes_everything_of_its_own_with_it(transactions: Transactions, engine: Engine) -> None:
    portfolio = a_stored_portfolio(transactions)
    a_stored_order(transactions, a_rebalance(transactions, portfolio), state=OrderState.VOID)
    with transactions() as work:
        work.portfolios.delete(portfolio.id)
        work.commit()
    with engine.connect() as connection:
        for table in ("target_weight", "rebalance", "order_intent", "fill", "rebalance_history"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0, table


def test_a_delete_waits_for_an_order_that_is_being_sent_and_is_refused(
    transactions: Transactions, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    portfolio = a_stored_portfolio(transactions)
    order = a_stored_order(transactions, a_rebalance(transactions, portfolio))

    def delete() -> None:
        with transactions() as work:
            work.portfolios.delete(portfolio.id)
            work.commit()

    with transactions() as work:
        work.orders.move(order, OrderState.SENDING)
        deletion = threads.submit(delete)
        wait_until_blocked(engine)
        work.commit()
    with pytest.raises(InvalidInputError, match="at its venue"):
        deletion.result(20)


def test_an_order_is_not_sent_once_its_portfolio_is_being_deleted(
    transactions: Transactions, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    portfolio = a_stored_portfolio(transactions)
    order = a_stored_order(transactions, a_rebalance(transactions, portfolio))

    def send() -> None:
        with transactions() as work:
            work.orders.move(order, OrderState.SENDING)
            work.commit()

    with transactions() as work:
        work.portfolios.delete(portfolio.id)
        sending = threads.submit(send)
        wait_until_blocked(engine)
        work.commit()
    with pytest.raises(LeaseLostError):
        sending.result(20)


def test_who_pauses_a_portfolio_and_who_records_its_failure_do_not_wait_for_each_other(
    transactions: Transactions, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    portfolio = a_stored_portfolio(transactions, enabled=True, next_rebalance_at=NOON)

    def pause() -> None:
        with transactions() as work:
            work.portfolios.pause(portfolio.id, "a test", NOON)
            work.commit()

    with transactions() as work:
        work.portfolios.mark_rebalanced([RebalanceTimes(portfolio.id, None, None, answered_until=NOON)])
        pausing = threads.submit(pause)
        wait_until_blocked(engine)
        assert work.portfolios.count_failure(portfolio.id) == 1
        work.commit()
    pausing.result(20)
    with transactions() as work:
        assert work.portfolios.by_id(portfolio.id).paused_reason == "a test"


def test_deleting_what_is_not_there_changes_nothing(transactions: Transactions) -> None:
    portfolio = a_stored_portfolio(transactions)
    with transactions() as work:
        work.portfolios.delete(uuid4())
        assert work.portfolios.all() == [portfolio]
