"""`rebalancer scheduler …` against an installation's own Dagster instance."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorStatus

from rebalancer_pipelines.application.claims import claim_by_hand
from rebalancer_pipelines.application.ports import Ports
from tests.integration.cli.conftest import Cli
from tests.support.stored import Stored

Done = Callable[..., Any]

REBALANCING = {"rebalance_core", "rebalance_slow", "due_portfolios", "drifted_portfolios"}
HOUSEKEEPING = {
    "portfolio_partitions",
    "abandoned_rebalances",
    "notifications",
    "daily_digest",
    "daily_price_history",
    "daily_portfolio_values",
    "demo_rehearsal",
    "prune_event_log_daily",
    "analytics_daily",
    "analytics_after_rebalances",
}
VARIABLES = ("SCHEDULER_ENABLED", "SCHEDULER_AUTO_START", "SCHEDULER_CHECK_INTERVAL", "SCHEDULER_SCHEDULES")


@pytest.fixture
def _plain_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def _portfolios(done: Done, _plain_settings: None) -> None:
    """`core` and `slow` rebalance by themselves, `idle` does not."""
    done("account", "add", "main", "--venue", "paper", "--deposit", "EUR=5000")
    options = {"core": ("--interval", "daily", "--enable"), "slow": ("--interval", "monthly", "--enable"), "idle": ()}
    for name, chosen in options.items():
        weights = ("--weights", "BTC=50,ETH=30,EUR=20", "--allocate", "EUR=1000")
        done("portfolio", "create", name, "--account", "main", *weights, *chosen)


def states(done: Done) -> dict[str, bool]:
    return {one["name"]: one["running"] for one in done("scheduler", "status")["automations"]}


def upcoming(done: Done) -> dict[str, dict[str, Any]]:
    return {one["portfolio"]: one for one in done("scheduler", "upcoming")}


@pytest.mark.usefixtures("_portfolios")
def test_stop_and_start_reach_all_that_rebalances_and_nothing_that_keeps_house(done: Done) -> None:
    everything = REBALANCING | HOUSEKEEPING
    assert states(done) == dict.fromkeys(everything, True)
    assert set(done("scheduler", "stop")["changed"]) == REBALANCING
    assert states(done) == dict.fromkeys(REBALANCING, False) | dict.fromkeys(HOUSEKEEPING, True)
    assert done("scheduler", "stop")["changed"] == []
    assert done("scheduler", "start", "core")["changed"] == ["rebalance_core"]
    assert {name for name, runs in states(done).items() if not runs} == REBALANCING - {"rebalance_core"}
    assert done("scheduler", "start")["unchanged"] == ["rebalance_core"]
    assert done("scheduler", "stop", "notifications", "slow")["changed"] == ["rebalance_slow", "notifications"]
    assert {name for name, runs in states(done).items() if not runs} == {"rebalance_slow", "notifications"}


@pytest.mark.usefixtures("_plain_settings")
def test_what_builds_the_marts_is_stopped_by_its_name_in_its_own_code_location(done: Done) -> None:
    names = ["analytics_daily", "analytics_after_rebalances"]
    assert done("scheduler", "stop", *names)["changed"] == names
    assert {name for name, runs in states(done).items() if not runs} == {*names}
    with dg.DagsterInstance.get() as instance:
        stored = {
            (state.instigator_name, state.origin.repository_origin.code_location_origin.location_name, state.status)
            for state in instance.all_instigator_state()
        }
    assert stored == {(name, "rebalancer_analytics", InstigatorStatus.STOPPED) for name in names}
    assert done("scheduler", "start")["changed"] == []
    assert done("scheduler", "start", *names)["changed"] == names
    assert all(states(done).values())


@pytest.mark.usefixtures("_portfolios")
def test_without_auto_start_what_rebalances_waits_until_it_is_started(
    done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEDULER_AUTO_START", "false")
    assert states(done) == dict.fromkeys(REBALANCING, False) | dict.fromkeys(HOUSEKEEPING, True)
    assert set(done("scheduler", "start")["changed"]) == REBALANCING
    assert all(states(done).values())


@pytest.mark.usefixtures("_portfolios")
def test_a_name_that_nothing_has_and_a_portfolio_without_a_schedule_say_so_in_one_line(cli: Cli) -> None:
    unknown = cli("scheduler", "stop", "nobody")
    assert (unknown.code, unknown.out) == (2, "")
    assert unknown.err.startswith("Error: name: 'nobody' is unknown; name a portfolio or one of ")
    idle = cli("scheduler", "start", "idle")
    assert (idle.code, idle.out) == (2, "")
    assert "'rebalancer portfolio update idle --enable'" in idle.err
    assert unknown.err.count("\n") == idle.err.count("\n") == 1


@pytest.mark.usefixtures("_portfolios")
def test_trigger_takes_a_portfolio_up_and_rebalances_it(done: Done, cli: Cli, stored: Stored) -> None:
    due = stored.due_at("slow")
    record = done("scheduler", "trigger", "slow")
    assert (record["portfolio"], record["success"], record["triggered_by"]) == ("slow", True, "manual")
    assert record["orders_executed"] == record["orders_planned"] > 0
    assert stored.open_claims() == []
    assert due < datetime.fromisoformat(record["scheduled_for"]) < stored.due_at("slow")
    assert done("scheduler", "status")["waiting"] == []
    unknown = cli("scheduler", "trigger", "nobody")
    assert (unknown.code, unknown.err) == (2, "Error: portfolio: 'nobody' is unknown; there is core, idle, slow\n")


@pytest.mark.usefixtures("_portfolios")
def test_trigger_leaves_what_is_taken_up_to_whoever_has_it(done: Done, cli: Cli, ports: Ports) -> None:
    batch = claim_by_hand(ports, "core")
    refused = cli("scheduler", "trigger", "core")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("Error: portfolio: 'core' is taken up already")
    (waiting,) = done("scheduler", "status")["waiting"]
    assert (waiting["portfolio"], waiting["batch"], waiting["triggered_by"]) == ("core", str(batch.id), "manual")
    assert done("history") == []


@pytest.mark.usefixtures("_portfolios")
def test_upcoming_says_what_takes_each_portfolio_up(
    done: Done, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.make_due("core", datetime.now(UTC) + timedelta(hours=3))
    stored.make_due("slow", datetime.now(UTC) + timedelta(hours=2))
    monkeypatch.setenv("SCHEDULER_SCHEDULES", "1")
    monkeypatch.setenv("SCHEDULER_CHECK_INTERVAL", "*/30 * * * *")
    listed = upcoming(done)
    assert list(listed) == ["slow", "core", "idle"]
    assert (listed["core"]["served_by"], listed["core"]["served_at"]) == ("rebalance_core", listed["core"]["due_at"])
    assert listed["slow"]["served_by"] == "due_portfolios"
    due, looked_at = (datetime.fromisoformat(listed["slow"][key]) for key in ("due_at", "served_at"))
    assert timedelta(0) <= looked_at - due < timedelta(minutes=30)
    assert looked_at.minute % 30 == looked_at.second == 0
    assert (listed["idle"]["served_by"], listed["idle"]["reason"]) == (None, "not enabled")
    assert [one["portfolio"] for one in done("scheduler", "upcoming", "--limit", "1")] == ["slow"]

    done("scheduler", "stop")
    assert [upcoming(done)[name]["reason"] for name in ("core", "slow")] == [
        "rebalance_core is stopped",
        "due_portfolios is stopped",
    ]
    monkeypatch.setenv("SCHEDULER_ENABLED", "false")
    assert upcoming(done)["core"]["reason"] == "SCHEDULER_ENABLED is false"
    assert done("scheduler", "status")["enabled"] is False


@pytest.mark.usefixtures("_portfolios")
@pytest.mark.parametrize("way", [("resume", "core"), ("update", "core", "--enable")])
def test_a_pause_is_shown_and_ended(done: Done, cli: Cli, stored: Stored, way: tuple[str, ...]) -> None:
    assert cli("portfolio", "resume", "core").err == (
        "Error: portfolio: 'core' is not paused; there is nothing to resume\n"
    )
    stored.change(
        "UPDATE portfolio SET paused_at = now(), paused_reason = '5 in a row', failures_in_a_row = 5 "
        "WHERE name = 'core'"
    )
    shown = done("portfolio", "show", "core")
    assert shown["paused_at"] is not None
    assert shown["paused_reason"] == upcoming(done)["core"]["reason"].removeprefix("paused: ") == "5 in a row"
    assert done("portfolio", "update", "core", "--threshold", "20")["paused_reason"] == "5 in a row"
    assert "rebalancer portfolio resume core" in cli("portfolio", "list").out
    assert "rebalancer portfolio resume core" in cli("scheduler", "status").out
    resumed = done("portfolio", *way)
    assert (resumed["paused_at"], resumed["paused_reason"]) == (None, None)
    assert done("portfolio", "show", "core")["paused_at"] is None
    assert stored.row("SELECT failures_in_a_row FROM portfolio WHERE name = 'core'")["failures_in_a_row"] == 0


@pytest.mark.usefixtures("_plain_settings")
def test_config_shows_values_and_defaults(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDULER_CHECK_INTERVAL", "0 */6 * * *")
    shown = {one["variable"]: (one["value"], one["default"]) for one in done("scheduler", "config")}
    assert set(shown) == {*VARIABLES, "SCHEDULER_DRY_RUN"}
    assert shown["SCHEDULER_CHECK_INTERVAL"] == ("0 */6 * * *", "0 * * * *")
    assert shown["SCHEDULER_SCHEDULES"] == ("500", "500")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SCHEDULER_ENABLED", "perhaps"),
        ("SCHEDULER_DRY_RUN", "maybe"),
        ("SCHEDULER_AUTO_START", "later"),
        ("SCHEDULER_CHECK_INTERVAL", "0 9 * *"),
        ("SCHEDULER_CHECK_INTERVAL", "61 * * * *"),
        ("SCHEDULER_SCHEDULES", "many"),
    ],
)
@pytest.mark.usefixtures("_plain_settings")
def test_a_value_that_cannot_be_used_is_refused_in_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    for command in (("scheduler", "config"), ("scheduler", "status"), ("up", "--no-demo")):
        outcome = cli(*command)
        assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
        assert outcome.err.startswith(f"Error: {variable}: '{value}' ")
    findings = {one["check"]: one for one in cli("doctor", "--json").json}
    assert findings["scheduler"]["ok"] is False
    assert findings["scheduler"]["detail"].startswith(f"{variable}: '{value}' ")
