"""What Dagster loads: complete, valid, and without a database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from rebalancer_pipelines.definitions import build_definitions, defs
from rebalancer_pipelines.orchestration.partitions import DAYS, PORTFOLIOS
from rebalancer_pipelines.orchestration.resources import Rebalancer

_REPOSITORY = Path(__file__).parents[3]
_GRAPH = {
    "account_balances": set[str](),
    "market_prices": {"account_balances"},
    "portfolio_value": {"market_prices"},
    "planned_orders": {"portfolio_value"},
    "executed_orders": {"planned_orders"},
    "rebalance_history": {"executed_orders"},
    "daily_bars": set[str](),
    "hourly_bars": set[str](),
    "daily_portfolio_value": {"daily_bars", "rebalance_history"},
}
_BLOCKING = {
    "ledger_equals_venue_balances": True,
    "prices_are_fresh_and_positive": True,
    "weights_sum_to_100": True,
    "plan_conserves_value": True,
    "plan_within_limits": True,
    "executed_matches_planned": False,
    "ledger_equals_venue_balances_after": False,
    "drift_after_not_above_drift_before": False,
    "rebalance_succeeded": True,
    "no_gaps": False,
    "every_day_has_a_value": False,
}


def test_they_load_where_no_database_is() -> None:
    environment = {
        key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "REDIS_URL", "DAGSTER_HOME"}
    }
    program = (
        "import dagster, rebalancer_pipelines.definitions as d; dagster.Definitions.validate_loadable(d.defs); "
        "print(sorted(job.name for job in d.defs.resolve_all_job_defs() if not job.name.startswith('__')))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        cwd=_REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.split() == [
        "['daily_digest',",
        "'portfolio_history',",
        "'price_history',",
        "'prune_event_log',",
        "'rebalance',",
        "'rebalance_batch',",
        "'rehearse_demo']",
    ]


def test_loading_them_loads_nothing_that_only_some_runs_need() -> None:
    """Every launched run loads them anew."""
    slow = ("ccxt", "pandas", "celery", "apprise")
    program = f"import sys, rebalancer_pipelines.definitions; print([m for m in {slow} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert loaded.stdout == "[]\n"


def test_they_are_valid_over_any_resource() -> None:
    dg.Definitions.validate_loadable(build_definitions(Rebalancer(database_url="postgresql://127.0.0.1:1/none")))


def test_the_assets_depend_on_each_other_in_one_line() -> None:
    graph = defs.resolve_asset_graph()
    names = {key.to_user_string(): key for key in graph.get_all_asset_keys()}
    assert {
        name: {parent.to_user_string() for parent in graph.get(key).parent_keys} for name, key in names.items()
    } == _GRAPH


def test_every_asset_is_described_and_partitioned_by_portfolio_or_by_day() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description
        assert node.partitions_def in (PORTFOLIOS, DAYS)


def test_a_range_of_days_is_one_run() -> None:
    graph = defs.resolve_asset_graph()
    by_day = [node for key in graph.get_all_asset_keys() if (node := graph.get(key)).partitions_def == DAYS]
    assert {node.key.to_user_string() for node in by_day} >= {"daily_bars", "hourly_bars"}
    assert {node.backfill_policy for node in by_day} == {dg.BackfillPolicy.single_run()}
    assert DAYS.get_first_partition_key() == "2017-10-01"


def test_what_must_hold_before_an_order_is_sent_blocks() -> None:
    specs = [
        spec
        for definition in defs.assets or []
        if isinstance(definition, dg.AssetsDefinition)
        for spec in definition.check_specs
    ]
    assert {spec.name: spec.blocking for spec in specs} == _BLOCKING
    assert all(spec.description for spec in specs)


@pytest.mark.parametrize("name", ["rebalance", "price_history", "portfolio_history"])
def test_a_run_is_never_retried_by_itself(name: str) -> None:
    job = defs.resolve_job_def(name)
    assert job.run_tags["dagster/max_retries"] == "0"
    assert job.executor_def.name == "in_process"
