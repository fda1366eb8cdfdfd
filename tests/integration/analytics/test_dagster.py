"""The marts in Dagster: one lineage, built by a job, built by themselves, and loud when a test fails."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from rebalancer_pipelines.adapters.analytics.project import AnalyticsProject
from rebalancer_pipelines.analytics_definitions import build_analytics_definitions
from rebalancer_pipelines.definitions import build_definitions
from rebalancer_pipelines.orchestration.analytics import DAYS, REBALANCES, Marts
from rebalancer_pipelines.orchestration.analytics_automations import ANALYTICS_AUTOMATIONS
from rebalancer_pipelines.orchestration.partitions import PORTFOLIOS
from rebalancer_pipelines.orchestration.resources import Rebalancer
from tests.support.written_history import WrittenHistory, noon

from .stories import FIRST

NOBODY = "postgresql://nobody@127.0.0.1:1/none"
STATISTICS = dg.AssetKey(["analytics", "rebalance_statistics"])
MORNING = datetime(2026, 3, 4, 9, 10, tzinfo=UTC)
_TICK = timedelta(seconds=60)


@pytest.fixture
def analytics(ready_database: str, analytics_folder: Path) -> dg.Definitions:
    marts = Marts(database_url=ready_database, data_dir=str(analytics_folder))
    return build_analytics_definitions(marts, AnalyticsProject(analytics_folder).prepared_manifest())


def run(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return definitions.resolve_job_def("analytics_build").execute_in_process(
        instance=instance,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )


def test_the_location_of_rebalances_loads_no_dbt() -> None:
    program = (
        "import sys, rebalancer_pipelines.definitions; print([m for m in ('dbt', 'dagster_dbt') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert loaded.stdout == "[]\n"


def test_everything_of_it_that_runs_by_itself_is_known_without_loading_dbt(analytics: dg.Definitions) -> None:
    repository = analytics.get_repository_def()
    assert {*repository.schedule_defs, *repository.sensor_defs} == {*ANALYTICS_AUTOMATIONS}


def test_the_marts_hang_under_the_rebalances(analytics: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(analytics)
    graph = analytics.resolve_asset_graph()
    above, found = {STATISTICS}, set[dg.AssetKey]()
    while above:
        found |= above
        above = {parent for key in above for parent in graph.get(key).parent_keys}
    assert REBALANCES in found
    performance = graph.get(dg.AssetKey(["analytics", "stg_daily_portfolio_values"]))
    assert performance.parent_keys == {DAYS}
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        assert node.description
        assert node.owners == ["team:rebalancer"]
        assert node.group_name == "analytics"


def test_a_build_shows_every_model_and_every_test(history: WrittenHistory, analytics: dg.Definitions) -> None:
    history.rebalance(history.portfolio("core"), noon(FIRST))
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(analytics, instance)
        assert result.success
        made = {event.asset_key for event in result.get_asset_materialization_events()}
        assert made == analytics.resolve_asset_graph().materializable_asset_keys
        checks = result.get_asset_check_evaluations()
        assert len(checks) > 60
        assert all(check.passed for check in checks)
        names = {check.check_name for check in checks}
        assert {"value_is_explained_without_residual", "fills_stay_within_their_order"} <= names


def test_a_test_that_fails_fails_the_run_and_names_the_rows(history: WrittenHistory, analytics: dg.Definitions) -> None:
    core = history.portfolio("core")
    history.book(core, "deposit", "EUR", Decimal(1000), noon(FIRST))
    history.value_days(core, FIRST)
    history.change("UPDATE daily_portfolio_value SET value = value + 1")
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(analytics, instance)
        assert not result.success
        (failed,) = (check for check in result.get_asset_check_evaluations() if not check.passed)
        assert failed.check_name == "value_is_explained_without_residual"
        rows = failed.metadata["failing_rows"].value.records  # type: ignore[union-attr]
        assert [(row.data["portfolio_id"], row.data["residual"]) for row in rows] == [(str(core), "1")]
        (event,) = result.get_step_failure_events()
        told = event.step_failure_data.user_failure_data
        assert told is not None
        assert f"portfolio_id {core}" in str(told.description)


def test_a_database_that_is_away_is_one_line(analytics_folder: Path) -> None:
    marts = Marts(database_url=NOBODY, data_dir=str(analytics_folder))
    definitions = build_analytics_definitions(marts, AnalyticsProject(analytics_folder).prepared_manifest())
    with dg.DagsterInstance.ephemeral() as instance:
        (event,) = run(definitions, instance).get_step_failure_events()
    told = event.step_failure_data.user_failure_data
    assert told is not None
    assert str(told.description).startswith("DATABASE_URL: '127.0.0.1:1/none' cannot be used")
    assert "\n" not in str(told.description)


class Evaluations:
    """Ticks of the automation over both code locations' assets, a minute apart."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self._definitions = definitions
        self._instance = instance
        self._cursor: dg.AutomationConditionCursor | None = None  # type: ignore[name-defined]
        self._now = MORNING
        self.requested: list[int] = []

    def tick(self, *, minutes: int = 1) -> int:
        """How many marts a tick requests."""
        self._now += minutes * _TICK
        result = dg.evaluate_automation_conditions(
            self._definitions, self._instance, cursor=self._cursor, evaluation_time=self._now
        )
        self._cursor = result.cursor
        return result.total_requested


@pytest.fixture
def evaluations(analytics: dg.Definitions) -> Evaluations:
    rebalancing = build_definitions(Rebalancer(database_url=NOBODY))
    both = dg.Definitions(
        assets=[*(rebalancing.assets or []), *(analytics.assets or [])],
        resources={**(rebalancing.resources or {}), **(analytics.resources or {})},
    )
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions(PORTFOLIOS.name or "", ["core", "other"])
    ticks = Evaluations(both, instance)
    assert ticks.tick() == 0
    return ticks


def rebalanced(ticks: Evaluations, portfolio: str) -> None:
    """As a batch tells it."""
    ticks._instance.report_runless_asset_event(dg.AssetMaterialization(REBALANCES, partition=portfolio))


def test_a_burst_of_rebalances_is_built_once_it_is_over(evaluations: Evaluations) -> None:
    graph = evaluations._definitions.resolve_asset_graph()
    models = sum(key.path[0] == "analytics" for key in graph.materializable_asset_keys)
    rebalanced(evaluations, "core")
    assert evaluations.tick() == 0
    rebalanced(evaluations, "other")
    rebalanced(evaluations, "core")
    assert evaluations.tick() == 0
    assert evaluations.tick() == models
    assert [evaluations.tick() for _ in range(3)] == [0, 0, 0]


def test_what_arrives_just_after_a_request_is_built_by_the_next(evaluations: Evaluations) -> None:
    rebalanced(evaluations, "core")
    assert evaluations.tick() == 0
    assert evaluations.tick() > 0
    rebalanced(evaluations, "other")
    assert evaluations.tick() == 0
    assert evaluations.tick() > 0
    assert evaluations.tick() == 0


def test_a_burst_that_does_not_end_is_built_within_the_hour(evaluations: Evaluations) -> None:
    """It is past nine when it begins."""
    requested = []
    for _ in range(5):
        rebalanced(evaluations, "core")
        requested.append(evaluations.tick(minutes=15) > 0)
    assert requested == [False, False, False, True, False]


def test_a_day_that_is_valued_is_built_too(evaluations: Evaluations) -> None:
    evaluations._instance.report_runless_asset_event(dg.AssetMaterialization(DAYS, partition="2018-03-01"))
    assert evaluations.tick() == 0
    assert evaluations.tick() > 0
