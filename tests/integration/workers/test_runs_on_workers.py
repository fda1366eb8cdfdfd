"""Runs on workers of other machines: shared out, executed once, and settled when their machine dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest
import redis

from rebalancer_pipelines.adapters.clock import SystemClock
from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.errors import RebalancerError
from rebalancer_pipelines.orchestration.dead_runs import fail_dead_runs
from rebalancer_pipelines.orchestration.run_launcher import WorkerRunLauncher
from tests.support.dagster_home import installed_instance
from tests.support.run_workers import machine
from tests.support.stored import Stored

from .conftest import Installation

_GATE = 4711
_GATE_SECONDS = 30


class LaterClock(SystemClock):
    """Real time, a minute later: a run that has ended by then and does not say so is dead."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=1)


@contextmanager
def held_at_the_second_order(database_url: str) -> Iterator[psycopg.Connection]:
    """Every worker stands still where its second order is at the venue, and nothing of that is booked."""
    with psycopg.connect(database_url, autocommit=True) as gate:
        gate.execute(
            f"CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS "
            f"'BEGIN PERFORM pg_advisory_xact_lock({_GATE}); RETURN NEW; END'"
        )
        gate.execute(
            "CREATE TRIGGER gate BEFORE UPDATE ON order_intent FOR EACH ROW "
            "WHEN (OLD.state = 'SENDING' AND NEW.state <> 'SENDING' AND NEW.sequence = 1) EXECUTE FUNCTION gate()"
        )
        gate.execute("SELECT pg_advisory_lock(%s)", (_GATE,))
        yield gate
        gate.execute("SELECT pg_advisory_unlock(%s)", (_GATE,))
        # Who waited goes on, or, its client being dead, undoes what it was at; the trigger goes when it has.
        gate.execute("DROP TRIGGER gate ON order_intent")


def wait_until_one_is_held(gate: psycopg.Connection) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
    assert wait_until(lambda: gate.execute(waiting, (_GATE,)).fetchone() == (1,), _GATE_SECONDS), "nobody came by"


def assert_one_story(stored: Stored, portfolio: str, runs: int) -> None:
    """Books and venue agree, no order was sent twice, and every run has its one row."""
    assert stored.ledger_sums() == stored.venue_balances()
    assert stored.held_leases() == []
    sent = stored.rows("SELECT client_order_id FROM paper_order")
    assert len({row["client_order_id"] for row in sent}) == len(sent) > 0
    assert stored.rows("SELECT id FROM rebalance WHERE status <> 'finished'") == []
    rows = stored.history(portfolio)
    assert len({row["dagster_run_id"] for row in rows}) == len(rows) == runs


def test_two_machines_share_the_runs_and_each_works_in_its_own_folder(
    installation: Installation, ready_database: str, redis_url: str, stored: Stored, tmp_path: Path
) -> None:
    names = [f"portfolio-{number}" for number in range(8)]
    installation.furnish(*names)
    with (
        machine(tmp_path / "one", ready_database, redis_url) as one,
        machine(tmp_path / "two", ready_database, redis_url) as two,
    ):
        runs = [installation.launch(name) for name in names]
        installation.wait_for(*runs)
    assert {installation.run(run_id).status for run_id in runs} == {dg.DagsterRunStatus.SUCCESS}
    by_one = {run_id for run_id in runs if one.has_executed(run_id)}
    by_two = {run_id for run_id in runs if two.has_executed(run_id)}
    assert by_one
    assert by_two
    assert by_one | by_two == set(runs)
    assert not by_one & by_two
    assert len({installation.run(run_id).tags["rebalancer/worker"] for run_id in runs}) == 2
    assert not (installation.folder / "dagster" / "storage").exists()
    for name in names:
        assert_one_story(stored, name, runs=1)
        assert stored.history(name)[0]["success"]


def test_the_account_of_a_machine_that_lost_power_is_taken_over(
    installation: Installation, ports: Ports, ready_database: str, redis_url: str, stored: Stored, tmp_path: Path
) -> None:
    installation.furnish("core")
    with (
        held_at_the_second_order(ready_database) as gate,
        machine(tmp_path / "one", ready_database, redis_url) as one,
    ):
        dead = installation.launch("core")
        wait_until_one_is_held(gate)
        one.lose_power()
    assert stored.held_leases() == ["core"]
    with machine(tmp_path / "two", ready_database, redis_url):
        following = installation.launch("core")
        installation.wait_for(following)
        with redis.Redis.from_url(redis_url) as broker:
            assert broker.hlen("rebalancer:unacked") == 0, "a run of the dead machine is handed out again"
    assert installation.run(following).status is dg.DagsterRunStatus.SUCCESS
    assert fail_dead_runs(installation.instance, replace(ports, clock=LaterClock())) == [dead]
    assert installation.run(dead).status is dg.DagsterRunStatus.FAILURE
    assert_one_story(stored, "core", runs=2)
    assert [row["success"] for row in stored.history("core")] == [False, True]


def test_a_run_that_is_handed_out_twice_is_executed_once(
    installation: Installation, ready_database: str, redis_url: str, stored: Stored, tmp_path: Path
) -> None:
    installation.furnish("core")
    with (
        machine(tmp_path / "one", ready_database, redis_url) as one,
        machine(tmp_path / "two", ready_database, redis_url) as two,
    ):
        with held_at_the_second_order(ready_database) as gate:
            run_id = installation.launch("core")
            wait_until_one_is_held(gate)
            # The other one is free.
            installation.hand_out_again(run_id)
            assert wait_until(lambda: installation.times_left_alone(run_id) == 1, 20)
        installation.wait_for(run_id)
        installation.hand_out_again(run_id)
        assert wait_until(lambda: installation.times_left_alone(run_id) == 2, 20)
    assert one.has_executed(run_id) != two.has_executed(run_id)
    assert installation.run(run_id).status is dg.DagsterRunStatus.SUCCESS
    assert_one_story(stored, "core", runs=1)


def test_what_waited_in_a_redis_that_was_lost_is_sent_again_and_executed_once(
    installation: Installation, ready_database: str, redis_url: str, stored: Stored, tmp_path: Path
) -> None:
    installation.furnish("core")
    launcher = installation.instance.run_launcher
    assert isinstance(launcher, WorkerRunLauncher)
    run_id = installation.launch("core")
    with redis.Redis.from_url(redis_url) as broker:
        broker.flushall()
    launcher.send_again()
    launcher.send_again()
    with machine(tmp_path / "one", ready_database, redis_url):
        installation.wait_for(run_id)
        assert wait_until(lambda: installation.times_left_alone(run_id) == 1, 20)
    assert installation.run(run_id).status is dg.DagsterRunStatus.SUCCESS
    assert_one_story(stored, "core", runs=1)


def test_a_run_that_a_person_ends_leaves_its_worker_free_for_the_next(
    installation: Installation, ready_database: str, redis_url: str, stored: Stored, tmp_path: Path
) -> None:
    installation.furnish("core")
    with machine(tmp_path / "one", ready_database, redis_url):
        with held_at_the_second_order(ready_database) as gate:
            ended = installation.launch("core")
            wait_until_one_is_held(gate)
            assert installation.instance.run_launcher.terminate(ended)
        following = installation.launch("core")
        installation.wait_for(following)
    assert installation.run(ended).status is dg.DagsterRunStatus.CANCELED
    assert installation.run(following).status is dg.DagsterRunStatus.SUCCESS
    assert_one_story(stored, "core", runs=2)


def test_a_worker_that_is_asked_to_stop_ends_its_run_first(
    installation: Installation, ready_database: str, redis_url: str, stored: Stored, tmp_path: Path
) -> None:
    installation.furnish("core", "side")
    with machine(tmp_path / "one", ready_database, redis_url) as one:
        with held_at_the_second_order(ready_database) as gate:
            under_way = installation.launch("core")
            wait_until_one_is_held(gate)
            one.ask_to_stop()
            waiting = installation.launch("side")
        installation.wait_for(under_way)
        assert one.process.wait(20) == 0
    assert installation.run(under_way).status is dg.DagsterRunStatus.SUCCESS
    assert installation.run(waiting).status is dg.DagsterRunStatus.STARTING
    assert_one_story(stored, "core", runs=1)


def test_a_launch_without_redis_fails_where_people_see_it(
    ready_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: Stored, ports: Ports
) -> None:
    nobody = "redis://127.0.0.1:1"
    with installed_instance(tmp_path, ready_database, monkeypatch, workers_over=nobody) as instance:
        installation = Installation(tmp_path, instance, ports, nobody)
        installation.furnish("core")
        run_id = installation.create("core")
        with pytest.raises(RebalancerError, match="Redis does not answer"):
            instance.launch_run(run_id, None)  # type: ignore[arg-type]
        assert installation.run(run_id).status is dg.DagsterRunStatus.FAILURE
        assert any(
            "Redis does not answer" in str(entry.dagster_event and entry.dagster_event.message)
            for entry in instance.all_logs(run_id)
        )
    assert stored.rows("SELECT id FROM rebalance") == []
