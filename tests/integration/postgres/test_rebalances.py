"""Rebalances: one at a time per account, once per due time and run, with the evidence that they acted on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from threading import Barrier

import pytest
from sqlalchemy.exc import IntegrityError

from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, RebalancerError
from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.portfolio import Holding
from rebalancer_pipelines.domain.rebalance import (
    PositionPhase,
    Rebalance,
    RebalanceStatus,
    TriggeredBy,
    WeighedPosition,
)
from rebalancer_pipelines.domain.values import Currency

from .stored import BTC, EUR, NOON, Transactions, a_lease, a_rebalance, a_stored_portfolio, an_account


def finish(transactions: Transactions, rebalance: Rebalance) -> bool:
    with transactions() as work:
        closed = work.rebalances.finish(rebalance.id, NOON + timedelta(minutes=1))
        work.commit()
    return closed


def test_a_rebalance_is_opened_under_its_lease_and_found_again(transactions: Transactions) -> None:
    portfolio = a_stored_portfolio(transactions)
    lease = a_lease(transactions, portfolio.account_id)
    rebalance = a_rebalance(
        transactions,
        portfolio,
        lease=lease,
        dry_run=True,
        triggered_by=TriggeredBy.SENSOR,
        dagster_run_id="run",
        scheduled_for=NOON,
    )
    assert rebalance.lease == lease
    assert (rebalance.status, rebalance.dry_run) == (RebalanceStatus.ACTIVE, True)
    assert (rebalance.triggered_by, rebalance.scheduled_for) == (TriggeredBy.SENSOR, NOON)
    with transactions() as work:
        assert work.rebalances.by_id(rebalance.id) == rebalance
        assert work.rebalances.of_run("run", portfolio.id) == rebalance
        assert work.rebalances.of_run("other run", portfolio.id) is None
        assert work.rebalances.active_on(portfolio.account_id) == [rebalance]


def test_an_account_has_one_active_rebalance(transactions: Transactions) -> None:
    account = an_account(transactions)
    first = a_rebalance(transactions, a_stored_portfolio(transactions, account, name="first"), dagster_run_id="busy")
    second = a_stored_portfolio(transactions, account, name="second")
    with pytest.raises(DeniedError, match="run busy has a rebalance under way on the account of second") as caught:
        a_rebalance(transactions, second)
    assert caught.value.reason is DenialReason.ACCOUNT_BUSY
    finish(transactions, first)
    a_rebalance(transactions, second)


def test_of_many_that_open_one_at_once_one_does(transactions: Transactions, threads: ThreadPoolExecutor) -> None:
    start = Barrier(6)
    portfolio = a_stored_portfolio(transactions)

    def race(_: int) -> bool:
        start.wait()
        try:
            a_rebalance(transactions, portfolio, scheduled_for=NOON)
        except RebalancerError:
            return False
        return True

    assert sum(threads.map(race, range(6))) == 1


def test_a_due_time_is_claimed_once_by_a_portfolio(transactions: Transactions) -> None:
    account = an_account(transactions)
    portfolio = a_stored_portfolio(transactions, account)
    other = a_stored_portfolio(transactions, account, name="other")
    finish(transactions, a_rebalance(transactions, portfolio, scheduled_for=NOON))
    with pytest.raises(RebalancerError, match="long-term has been rebalanced for this due time before"):
        a_rebalance(transactions, portfolio, scheduled_for=NOON)
    finish(transactions, a_rebalance(transactions, other, scheduled_for=NOON))
    finish(transactions, a_rebalance(transactions, portfolio, scheduled_for=NOON + timedelta(days=7)))
    for _ in range(2):
        finish(transactions, a_rebalance(transactions, portfolio, scheduled_for=None))


def test_a_run_opens_one_rebalance_of_a_portfolio(transactions: Transactions) -> None:
    account = an_account(transactions)
    portfolio = a_stored_portfolio(transactions, account)
    finish(transactions, a_rebalance(transactions, portfolio, dagster_run_id="run"))
    with pytest.raises(RebalancerError, match="run run has started a rebalance of long-term before"):
        a_rebalance(transactions, portfolio, dagster_run_id="run")
    a_rebalance(transactions, a_stored_portfolio(transactions, account, name="other"), dagster_run_id="run")


def test_a_rebalance_is_finished_once(transactions: Transactions) -> None:
    rebalance = a_rebalance(transactions)
    assert finish(transactions, rebalance)
    assert not finish(transactions, rebalance)
    with transactions() as work:
        assert work.rebalances.active_on(rebalance.account_id) == []
        assert work.rebalances.by_id(rebalance.id) == replace(
            rebalance, status=RebalanceStatus.FINISHED, finished_at=NOON + timedelta(minutes=1)
        )


def test_balances_and_prices_are_kept_to_the_last_digit(transactions: Transactions) -> None:
    rebalance = a_rebalance(transactions)
    balances = {
        BTC: Holding(Decimal("1.000000000000000001"), Decimal(0)),
        EUR: Holding(Decimal("0.10"), Decimal("0.1")),
    }
    marks = [
        PriceMark(
            "BTC/EUR", Decimal("100.00000001"), Decimal("100.00000002"), "recorded", NOON, NOON.replace(year=2018)
        ),
        PriceMark("ETH/EUR", Decimal("0.000000000001"), Decimal("0.000000000001"), "live", NOON),
    ]
    with transactions() as work:
        work.rebalances.store_balances(rebalance.id, balances)
        work.rebalances.store_prices(rebalance.id, marks)
        work.commit()
    with transactions() as work:
        assert work.rebalances.balances(rebalance.id) == balances
        assert work.rebalances.prices(rebalance.id) == {mark.symbol: mark for mark in marks}


def test_an_account_that_holds_nothing_and_a_portfolio_of_cash_are_no_trouble(transactions: Transactions) -> None:
    rebalance = a_rebalance(transactions)
    with transactions() as work:
        work.rebalances.store_balances(rebalance.id, {})
        work.rebalances.store_prices(rebalance.id, [])
        work.rebalances.store_positions(rebalance.id, PositionPhase.BEFORE, [])
        assert work.rebalances.balances(rebalance.id) == {}
        assert work.rebalances.prices(rebalance.id) == {}
        assert work.rebalances.positions(rebalance.id, PositionPhase.BEFORE) == []


def test_positions_are_kept_by_phase_and_listed_by_currency(transactions: Transactions) -> None:
    rebalance = a_rebalance(transactions)

    def position(currency: Currency, value: str) -> WeighedPosition:
        return WeighedPosition(currency, *(Decimal(number) for number in ("1", "0.5", "100", value, "60.000001", "60")))

    before, after = [position(BTC, "100"), position(EUR, "1")], [position(BTC, "99.9")]
    with transactions() as work:
        work.rebalances.store_positions(rebalance.id, PositionPhase.BEFORE, before[::-1])
        work.rebalances.store_positions(rebalance.id, PositionPhase.AFTER, after)
        work.commit()
    with transactions() as work:
        assert work.rebalances.positions(rebalance.id, PositionPhase.BEFORE) == before
        assert work.rebalances.positions(rebalance.id, PositionPhase.AFTER) == after


def test_evidence_is_never_replaced(transactions: Transactions) -> None:
    rebalance = a_rebalance(transactions)
    with transactions() as work:
        work.rebalances.store_balances(rebalance.id, {EUR: Holding(Decimal(1), Decimal(1))})
        work.commit()
    with transactions() as work, pytest.raises(IntegrityError):
        work.rebalances.store_balances(rebalance.id, {EUR: Holding(Decimal(2), Decimal(2))})


def test_value_and_plan_are_kept(transactions: Transactions) -> None:
    rebalance = a_rebalance(transactions)
    document = {"orders": [{"quantity": "0.10", "nested": {"n": None, "t": "ü☂"}}], "hash": "abc"}
    with transactions() as work:
        assert work.rebalances.plan_document(rebalance.id) is None
        work.rebalances.store_value(rebalance.id, Decimal("1234.56789"))
        work.rebalances.store_plan(rebalance.id, "abc", document)
        work.commit()
    with transactions() as work:
        assert work.rebalances.plan_document(rebalance.id) == document
        stored = work.rebalances.by_id(rebalance.id)
        assert (stored.portfolio_value, stored.plan_hash) == (Decimal("1234.56789"), "abc")
