"""Daily values and the demo's rehearsal as Dagster runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest

from rebalancer_pipelines.application.demo import seed_demo
from rebalancer_pipelines.application.portfolio_history.build import outdated_span
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.definitions import build_definitions
from rebalancer_pipelines.domain.values import Currency
from rebalancer_pipelines.orchestration.daily_portfolio_values import daily_portfolio_values
from rebalancer_pipelines.orchestration.dead_runs import fail_dead_runs
from rebalancer_pipelines.orchestration.rehearsal import demo_rehearsal
from rebalancer_pipelines.orchestration.resources import Rebalancer
from tests.support.paper_account import open_paper_account
from tests.support.rebalancing import rebalance
from tests.support.stored import MORNING, Stored

START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
EUR = Currency("EUR")
QUIET: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def home() -> Iterator[dg.DagsterInstance]:
    """An instance with an address, by which a schedule is told of it."""
    with dg.DagsterInstance.local_temp() as local:
        yield local


@pytest.fixture
def run(ready_database: str, instance: dg.DagsterInstance) -> Run:
    """Runs a job as a run request asks for it, to its end."""
    definitions = build_definitions(Rebalancer(database_url=ready_database))

    def execute(job: str, tags: dict[str, str] | None = None, *assets: dg.AssetKey) -> dg.ExecuteInProcessResult:
        return definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            run_config=QUIET,
            tags=tags,
            asset_selection=list(assets) or None,
            raise_on_error=False,
        )

    return execute


@pytest.fixture
def held(ports: Ports, stored: Stored) -> None:
    """A portfolio whose book has held Bitcoin since 30 August 2018."""
    open_paper_account(ports, {EUR: Decimal(100)})
    create_portfolio(ports, {"name": "core", "account": "main", "weights": "BTC=60,EUR=40"})
    stored.change(
        "INSERT INTO ledger_entry (account_id, portfolio_id, kind, currency, amount, cause, occurred_at) "
        "SELECT account_id, id, 'deposit', 'BTC', 2, 'test', '2018-08-30 08:00+00' FROM portfolio"
    )


def test_a_range_is_one_run_with_figures_of_every_day(
    run: Run, instance: dg.DagsterInstance, held: None, stored: Stored
) -> None:
    result = run("portfolio_history", {START: "2018-08-01", END: "2018-09-30"})
    assert result.success
    made = instance.get_materialized_partitions(dg.AssetKey("daily_portfolio_value"))
    assert (len(made), min(made), max(made)) == (61, "2018-08-01", "2018-09-30")
    days = {row["day"] for row in stored.rows("SELECT day FROM daily_portfolio_value")}
    assert (len(days), min(days)) == (32, date(2018, 8, 30))
    newest = instance.get_latest_materialization_event(dg.AssetKey("daily_portfolio_value"))
    assert newest is not None
    assert newest.asset_materialization is not None
    metadata = newest.asset_materialization.metadata
    assert newest.asset_materialization.partition == "2018-09-30"
    assert {name: metadata[name].value for name in ("values", "changed", "without_value")} == {
        "values": 1,
        "changed": 1,
        "without_value": 0,
    }
    assert "data:image/svg+xml" in str(metadata["values_booked_EUR"].value)
    verdicts = {found.check_name: found.passed for found in result.get_asset_check_evaluations()}
    assert verdicts["every_day_has_a_value"] is True
    again = run("portfolio_history", {START: "2018-08-01", END: "2018-09-30"})
    assert again.success
    made_again = again.asset_materializations_for_node("daily_portfolio_value")
    assert {one.metadata["changed"].value for one in made_again if "changed" in one.metadata} == {0}


def test_a_value_that_is_missing_fails_the_check_and_is_named(run: Run, held: None, stored: Stored) -> None:
    assert run("portfolio_history", {START: "2018-08-30", END: "2018-08-31"}).success
    stored.change("DELETE FROM price_bar WHERE symbol = 'BTC/EUR' AND opened_at = '2018-08-31 00:00+00'")
    result = run("portfolio_history", {START: "2018-08-31", END: "2018-08-31"}, dg.AssetKey("daily_portfolio_value"))
    assert result.success
    (verdict,) = result.get_asset_check_evaluations()
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.WARN)
    (row,) = verdict.metadata["newest"].value.records  # type: ignore[union-attr]
    assert row.data == {"day": "2018-08-31", "portfolio": "core", "book": "booked", "no close of": "BTC"}


Tick = Callable[[], dg.RunRequest | dg.SkipReason]


@pytest.fixture
def tick(home: dg.DagsterInstance, ready_database: str) -> Tick:
    """Evaluates the schedule."""
    resources = {"rebalancer": Rebalancer(database_url=ready_database)}

    def evaluate() -> dg.RunRequest | dg.SkipReason:
        with dg.build_schedule_context(instance=home, resources=resources) as context:
            answer = daily_portfolio_values(context)
        assert isinstance(answer, dg.RunRequest | dg.SkipReason)
        return answer

    return evaluate


@pytest.fixture
def new(ports: Ports, stored: Stored) -> tuple[str, str]:
    """A portfolio with money of three days ago; that day and yesterday."""
    open_paper_account(ports, {EUR: Decimal(100)})
    create_portfolio(ports, {"name": "core", "account": "main", "weights": "BTC=60,EUR=40"})
    today = datetime.now(UTC).date()
    stored.change(
        "INSERT INTO ledger_entry (account_id, portfolio_id, kind, currency, amount, cause, occurred_at) "
        "SELECT account_id, id, 'deposit', 'EUR', 2, 'test', %s FROM portfolio",
        today - timedelta(days=3),
    )
    return (today - timedelta(days=3)).isoformat(), (today - timedelta(days=1)).isoformat()


def test_the_schedule_asks_for_the_days_that_are_not_right(
    run: Run, tick: Tick, new: tuple[str, str], ports: Ports
) -> None:
    asked = tick()
    assert isinstance(asked, dg.RunRequest)
    assert (asked.tags[START], asked.tags[END], asked.asset_selection) == (*new, None)
    assert run("portfolio_history", {START: asked.tags[START], END: asked.tags[END]}).success
    assert outdated_span(ports) is None
    assert isinstance(tick(), dg.SkipReason)


def test_where_prices_could_not_be_read_books_are_valued_without(
    home: dg.DagsterInstance, tick: Tick, new: tuple[str, str], ready_database: str
) -> None:
    definitions = build_definitions(Rebalancer(database_url=ready_database))
    job = definitions.resolve_job_def("portfolio_history")
    home.report_run_failed(home.create_run_for_job(job, tags={START: new[0], END: new[1]}))
    asked = tick()
    assert isinstance(asked, dg.RunRequest)
    assert list(asked.asset_selection or ()) == [dg.AssetKey("daily_portfolio_value")]


def test_a_run_over_days_is_never_taken_for_a_dead_rebalance(
    instance: dg.DagsterInstance, ports: Ports, ready_database: str
) -> None:
    definitions = build_definitions(Rebalancer(database_url=ready_database))
    for name in ("portfolio_history", "price_history"):
        under_way = instance.create_run_for_job(
            definitions.resolve_job_def(name), tags={"dagster/partition": "2018-08-30"}
        )
        instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.PIPELINE_START.value, name), under_way.run_id)
    assert fail_dead_runs(instance, ports) == []


def test_the_demo_is_rehearsed_in_the_background_then_valued_then_left_alone(
    run: Run, instance: dg.DagsterInstance, ports: Ports, stored: Stored, ready_database: str
) -> None:
    cursor: str | None = None

    def tick() -> dg.RunRequest | None:
        nonlocal cursor
        with dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"rebalancer": Rebalancer(database_url=ready_database)}
        ) as context:
            answer = demo_rehearsal(context)
        if not isinstance(answer, dg.SensorResult):
            return None
        cursor = answer.cursor
        (request,) = answer.run_requests or [None]
        return request

    stored.show_recording(MORNING)
    assert tick() is None
    seed_demo(ports)
    assert tick() is None
    for name in ("demo-balanced", "demo-bands"):
        # The hourly one would take its time.
        rebalance(ports, name)
    rehearsal = tick()
    assert rehearsal is not None
    assert rehearsal.job_name == "rehearse_demo"
    again = tick()
    assert again is not None
    assert again.run_key == rehearsal.run_key
    result = run("rehearse_demo")
    assert result.success
    assert result.dagster_run.tags["rebalancer/mode"] == "rehearsal on the RECORDED market"
    year = tick()
    assert year is not None
    assert (year.job_name, year.tags[START], year.tags[END]) == ("portfolio_history", "2017-10-01", "2018-09-30")
    assert run("portfolio_history", {START: year.tags[START], END: year.tags[END]}).success
    found = stored.rows(
        "SELECT basis, count(*) AS days, count(value) AS valued FROM daily_portfolio_value GROUP BY basis"
    )
    assert found == [{"basis": "rehearsed", "days": 730, "valued": 730}]
    assert tick() is None
    assert cursor == "done"
