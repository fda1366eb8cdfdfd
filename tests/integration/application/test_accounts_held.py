"""Who may trade an account: one at a time, and nobody for ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from rebalancer_pipelines.adapters.assembly import open_ports
from rebalancer_pipelines.application.lease import release_lease, take_lease
from rebalancer_pipelines.application.portfolios import allocate_money, create_portfolio, delete_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.execute import execute_orders
from rebalancer_pipelines.application.rebalance.observe_prices import observe_prices
from rebalancer_pipelines.application.rebalance.propose import propose_rebalance
from rebalancer_pipelines.application.rebalance.stage import load_stage
from rebalancer_pipelines.application.rebalance.start import RebalanceRequest, start_rebalance
from rebalancer_pipelines.application.rebalance.value_portfolio import value_portfolio
from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.domain.errors import DeniedError, InvalidInputError, LeaseLostError, RebalancerError
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.rebalance import TriggeredBy
from rebalancer_pipelines.domain.values import Currency
from tests.support.paper_account import open_paper_account
from tests.support.rebalancing import rebalance
from tests.support.stored import MORNING, Stored

EUR = Currency("EUR")


@pytest.fixture
def account(ports: Ports, stored: Stored) -> Account:
    stored.show_recording(MORNING)
    account = open_paper_account(ports, {EUR: Decimal(1000)})
    for name in ("core", "other"):
        fields = {"name": name, "account": "main", "weights": "BTC=50,EUR=50", "enabled": True}
        create_portfolio(ports, fields, allocations={EUR: Decimal(500)})
    return account


def impatient(ports: Ports) -> Ports:
    return replace(ports, lease_patience=timedelta(0))


def test_whoever_comes_while_it_is_held_is_told_and_leaves_a_row(
    ports: Ports, account: Account, stored: Stored
) -> None:
    lease = take_lease(ports, account)
    with pytest.raises(DeniedError, match="ACCOUNT_BUSY: account main is held by another rebalance"):
        rebalance(impatient(ports), "core")
    (row,) = stored.history("core")
    assert [error["code"] for error in row["errors"]] == ["ACCOUNT_BUSY"]
    assert stored.held_leases() == ["main"]
    release_lease(ports, lease)
    assert rebalance(ports, "core").success


def test_books_are_not_changed_under_a_running_rebalance(ports: Ports, account: Account, stored: Stored) -> None:
    take_lease(ports, account)
    before = stored.everything()
    with pytest.raises(DeniedError, match="ACCOUNT_BUSY"):
        allocate_money(impatient(ports), "core", {EUR: Decimal(1)}, source="other")
    with pytest.raises(DeniedError, match="ACCOUNT_BUSY"):
        delete_portfolio(impatient(ports), "core")
    assert stored.everything() == before


def test_a_lease_that_ran_out_is_taken_over_and_its_holder_writes_nothing_more(
    ports: Ports, account: Account, ready_database: str, stored: Stored
) -> None:
    request = RebalanceRequest("core", dry_run=False, triggered_by=TriggeredBy.MANUAL, dagster_run_id="slow")
    start_rebalance(ports, request)
    for use_case in (observe_prices, value_portfolio, propose_rebalance):
        use_case(ports, load_stage(ports, "slow", "core"))
    slow = load_stage(ports, "slow", "core")

    # The holder is paused for longer than its lease; another process takes the account over.
    stored.change("UPDATE account SET lease_until = clock_timestamp() - interval '1 second'")
    with open_ports(ready_database) as others:
        assert rebalance(others, "other").success
    assert [row["errors"][0]["code"] for row in stored.history("core")] == ["INTERRUPTED"]
    settled = stored.everything()

    with pytest.raises(LeaseLostError):
        execute_orders(ports, slow)
    assert stored.everything() == settled
    assert stored.ledger_sums() == stored.venue_balances()
    assert stored.row("SELECT count(*) AS sent FROM paper_order") == {"sent": 1}


def test_an_old_lease_is_worth_nothing_and_takes_nothing_from_the_new_holder(
    ports: Ports, account: Account, stored: Stored
) -> None:
    old = take_lease(ports, account)
    stored.change("UPDATE account SET lease_until = clock_timestamp() - interval '1 second'")
    new = take_lease(ports, account)
    for use in (lambda held, lease: held.fence(lease), lambda held, lease: held.renew_lease(lease, timedelta(hours=1))):
        with ports.transactions() as work:
            use(work.accounts, new)
        with ports.transactions() as work, pytest.raises(LeaseLostError):
            use(work.accounts, old)
    release_lease(ports, old)
    assert stored.held_leases() == ["main"]
    release_lease(ports, new)
    assert stored.held_leases() == []


def test_a_closed_rebalance_is_not_taken_up_again(ports: Ports, account: Account) -> None:
    rebalance(ports, "core")
    with ports.transactions() as work:
        ((_, record),) = work.history.newest(None, 1)
    with pytest.raises(RebalancerError, match="is closed; launch a new run instead"):
        load_stage(ports, str(record.dagster_run_id), "core")


def test_a_halted_account_leaves_the_lease_to_others(ports: Ports, account: Account, stored: Stored) -> None:
    stored.change("UPDATE account SET trading_state = 'halted', trading_state_reason = 'for a test'")
    with pytest.raises(DeniedError, match="ACCOUNT_HALTED: account main is halted: for a test"):
        rebalance(ports, "core")
    assert stored.held_leases() == []
    assert [row["success"] for row in stored.history("core")] == [False]


def test_a_failing_first_attempt_of_a_lease_is_released(ports: Ports, account: Account, stored: Stored) -> None:
    """An unknown venue stops a rebalance before it starts; the next one finds the account free."""
    stored.change("UPDATE account SET venue = 'closed-down'")
    with pytest.raises(InvalidInputError, match="closed-down"):
        rebalance(ports, "core")
    stored.change("UPDATE account SET venue = 'paper'")
    assert stored.held_leases() == []
    assert rebalance(ports, "core").success
    assert [row["success"] for row in stored.history("core")] == [False, True]


def test_recovery_leaves_an_account_to_its_holder(ports: Ports, account: Account, stored: Stored) -> None:
    request = RebalanceRequest("core", dry_run=False, triggered_by=TriggeredBy.MANUAL, dagster_run_id="left")
    start_rebalance(ports, request)
    before = stored.everything()
    assert recover_abandoned_accounts(ports) == []
    assert stored.everything() == before
