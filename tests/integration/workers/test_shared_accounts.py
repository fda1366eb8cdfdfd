"""A thousand portfolios on fifty accounts, shared out among two machines that get in each other's way everywhere."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import dagster as dg

from rebalancer_pipelines.application.claims import claim_due
from rebalancer_pipelines.application.ports import Ports
from tests.support.automation import create_enabled
from tests.support.run_workers import machine
from tests.support.stored import Stored
from tests.support.venue_journal import TURNS

from .conftest import Installation

_ACCOUNTS, _ON_EACH, _BATCH = 50, 20, 250


def test_no_account_is_traded_by_two_machines_at_once(
    installation: Installation, ports: Ports, ready_database: str, redis_url: str, stored: Stored, tmp_path: Path
) -> None:
    names = [[f"account-{account}-portfolio-{number}" for number in range(_ON_EACH)] for account in range(_ACCOUNTS)]
    for account, on_account in enumerate(names):
        create_enabled(ports, *on_account, account=f"account-{account}")
    # In an order that deals every account's portfolios out to all batches.
    stored.change(
        "UPDATE portfolio_due SET next_rebalance_at = now() - interval '1 hour' "
        "+ split_part(portfolio.name, '-', 4)::int * interval '1 minute' "
        "FROM portfolio WHERE portfolio.id = portfolio_id"
    )
    batches = []
    while (batch := claim_due(ports, limit=_BATCH)) is not None:
        batches.append(batch)
    assert [len({claim.account_id for claim in batch.claims}) for batch in batches] == [_ACCOUNTS] * len(batches)
    with (
        machine(tmp_path / "one", ready_database, redis_url) as one,
        machine(tmp_path / "two", ready_database, redis_url) as two,
    ):
        runs = [installation.launch_batch(batch) for batch in batches]
        installation.wait_for(*runs)
    assert {installation.run(run_id).status for run_id in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert any(one.has_executed(run_id) for run_id in runs)
    assert any(two.has_executed(run_id) for run_id in runs)

    turns = stored.rows(TURNS)
    assert len(turns) == _ACCOUNTS * len(batches)
    for earlier, later in pairwise(turns):
        if earlier["account"] == later["account"]:
            assert earlier["last_filled"] < later["first_sent"], (earlier, later)
    outcomes = stored.rows(
        "SELECT portfolio.name, count(*) AS attempts, bool_and(success) AS success FROM rebalance_history "
        "JOIN portfolio ON portfolio.id = portfolio_id GROUP BY portfolio.name"
    )
    assert {row["name"] for row in outcomes} == {name for on_account in names for name in on_account}
    assert {(row["attempts"], row["success"]) for row in outcomes} == {(1, True)}
    assert stored.ledger_sums() == stored.venue_balances()
    assert stored.held_leases() == []
