"""Rebalances: one at a time per account, once per due time and run, with the evidence that they acted on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, RebalancerError
from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.portfolio import Holding, Portfolio
from rebalancer_pipelines.domain.rebalance import (
    PositionPhase,
    Rebalance,
    RebalanceStatus,
    TriggeredBy,
    WeighedPosition,
)
from rebalancer_pipelines.domain.values import Currency
from tests.support.builders import a_price

from .stored import BTC, EUR, NOON, Transactions, a_lease, a_rebalance, a_stored_portfolio, an_account

HOUR = timedelta(hours=1)
MOMENT = timedelta(seconds=1)


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
        confirmed=[DenialReason.TURNOVER, DenialReason.MAX_NOTIONAL],
    )
    assert rebalance.lease == lease
    assert rebalance.confirmed == {DenialReason.TURNOVER, DenialReason.MAX_NOTIONAL}
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


def test_nothing_is_confirmed_unless_it_was(transactions: Transactions) -> None:
    assert a_rebalance(transactions).confirmed == frozenset()


def started(transactions: Transactions, portfolio: Portfolio, now: datetime, **changes: Any) -> Rebalance:
    rebalance = a_rebalance(transactions, portfolio, now=now, **changes)
    finish(transactions, rebalance)
    with transactions() as work:
        return work.rebalances.by_id(rebalance.id)


def test_the_newest_start_since_a_moment_is_found(transactions: Transactions) -> None:
    account = an_account(transactions)
    portfolio = a_stored_portfolio(transactions, account)
    other = a_stored_portfolio(transactions, account, name="other")
    first = started(transactions, portfolio, NOON)
    second = started(transactions, portfolio, NOON + HOUR)
    dry = started(transactions, portfolio, NOON + 2 * HOUR, dry_run=True)
    started(transactions, other, NOON + 3 * HOUR)
    with transactions() as work:
        assert work.rebalances.started_since(portfolio.id, NOON, dry_run=False) == second
        assert work.rebalances.started_since(portfolio.id, NOON + HOUR, dry_run=False) == second
        assert work.rebalances.started_since(portfolio.id, NOON + HOUR, dry_run=True) == dry
        assert work.rebalances.started_since(portfolio.id, NOON + 2 * HOUR, dry_run=False) is None
    assert first.started_at == NOON


def test_the_price_kept_last_is_told_market_by_market(transactions: Transactions) -> None:
    account, other = an_account(transactions), an_account(transactions, "other")
    portfolios = [a_stored_portfolio(transactions, account, name=name) for name in ("first", "second")]
    elsewhere = a_stored_portfolio(transactions, other, name="elsewhere")

    def keep(portfolio: Portfolio, now: datetime, *, dry_run: bool = False, **bids: str) -> None:
        rebalance = started(transactions, portfolio, now, dry_run=dry_run)
        marks = [PriceMark(f"{base}/EUR", Decimal(bid), Decimal(bid), "test", now) for base, bid in bids.items()]
        with transactions() as work:
            work.rebalances.store_prices(rebalance.id, marks)
            work.commit()

    keep(portfolios[0], NOON + HOUR, BTC="101", ETH="11")
    keep(portfolios[0], NOON, BTC="100", ETH="10", XRP="1")
    keep(portfolios[1], NOON + 2 * HOUR, ETH="12")
    keep(portfolios[1], NOON + 3 * HOUR)
    keep(portfolios[0], NOON + 4 * HOUR, dry_run=True, BTC="888")
    keep(elsewhere, NOON + 4 * HOUR, BTC="999", LTC="9")
    with transactions() as work:
        found = work.rebalances.newest_prices(account.id, ["BTC/EUR", "ETH/EUR", "LTC/EUR", "XRP/EUR"])
        assert {symbol: (mark.bid, mark.observed_at) for symbol, mark in found.items()} == {
            "BTC/EUR": (101, NOON + HOUR),
            "ETH/EUR": (12, NOON + 2 * HOUR),
            "XRP/EUR": (1, NOON),
        }
        assert set(work.rebalances.newest_prices(account.id, {"ETH/EUR"})) == {"ETH/EUR"}
        assert work.rebalances.newest_prices(account.id, []) == {}


def test_the_highest_value_since_a_moment_is_found_with_its_time(transactions: Transactions) -> None:
    account = an_account(transactions)
    portfolio = a_stored_portfolio(transactions, account)
    other = a_stored_portfolio(transactions, account, name="other")

    def see(owner: Portfolio, now: datetime, value: str | None) -> None:
        rebalance = started(transactions, owner, now)
        with transactions() as work:
            # The prices are read a moment after the start.
            work.rebalances.store_prices(rebalance.id, [a_price(observed_at=now + MOMENT)])
            if value is not None:
                work.rebalances.store_value(rebalance.id, Decimal(value))
            work.commit()

    see(portfolio, NOON, "1000.5")
    see(portfolio, NOON + HOUR, "900")
    see(portfolio, NOON + 2 * HOUR, "900.00")
    see(portfolio, NOON + 3 * HOUR, None)
    see(other, NOON + 4 * HOUR, "5000")
    with transactions() as work:
        assert work.rebalances.highest_value(portfolio.id, NOON) == (NOON + MOMENT, Decimal("1000.5"))
        assert work.rebalances.highest_value(portfolio.id, NOON + HOUR) == (NOON + 2 * HOUR + MOMENT, Decimal(900))
        assert work.rebalances.highest_value(portfolio.id, NOON + 3 * HOUR) is None
