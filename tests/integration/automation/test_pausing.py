"""Whoever fails by itself again and again is paused, and is not taken up any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rebalancer_pipelines.application.claims import claim_due, claim_scheduled
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.close import FAILURES_THAT_PAUSE
from rebalancer_pipelines.domain.portfolio import Portfolio
from rebalancer_pipelines.domain.rebalance import TriggeredBy
from tests.support.automation import an_attempt, bring_to_end, create_enabled, store_attempts
from tests.support.rebalancing import rebalance
from tests.support.running_clock import RunningClock
from tests.support.stored import MORNING, Stored

DAY = timedelta(days=1)


@pytest.fixture
def core(timed: Ports, stored: Stored) -> Portfolio:
    stored.show_recording(MORNING)
    (portfolio,) = create_enabled(timed, "core")
    return portfolio


def state(stored: Stored) -> dict[str, Any]:
    return stored.row("SELECT paused_at, paused_reason, failures_in_a_row FROM portfolio WHERE name = 'core'")


def told(stored: Stored, kind: str) -> int:
    return len(stored.rows("SELECT * FROM notification WHERE kind = %s", kind))


def fail(ports: Ports, clock: RunningClock, portfolio: Portfolio, by: TriggeredBy, times: int = 1) -> None:
    for _ in range(times):
        store_attempts(ports, [an_attempt(portfolio.id, clock.now(), success=False, triggered_by=by)])
        clock.pass_time(timedelta(minutes=1))


def test_five_failures_by_itself_pause_with_the_reason_and_tell_it_once(
    timed: Ports, clock: RunningClock, core: Portfolio, stored: Stored
) -> None:
    stored.change("UPDATE account SET trading_state = 'halted', trading_state_reason = 'a test'")
    for day in range(FAILURES_THAT_PAUSE):
        assert state(stored)["paused_at"] is None
        batch = claim_scheduled(timed, core.id) if day % 2 else claim_due(timed)
        assert batch is not None
        bring_to_end(timed, batch)
        clock.pass_time(DAY)
    paused = state(stored)
    assert paused["paused_reason"].startswith("5 attempts in a row failed; the last: ACCOUNT_HALTED: ")
    assert claim_due(timed) is None
    assert claim_scheduled(timed, core.id) is None
    assert told(stored, "paused") == 1
    assert len(stored.rows("SELECT * FROM activity_log WHERE action = 'portfolio.paused'")) == 1
    fail(timed, clock, core, TriggeredBy.SENSOR, 3)
    assert state(stored) == paused
    assert told(stored, "paused") == 1


def test_a_success_forgives_what_was_before_it(
    timed: Ports, clock: RunningClock, core: Portfolio, stored: Stored
) -> None:
    fail(timed, clock, core, TriggeredBy.SENSOR, 4)
    assert rebalance(timed, "core").success
    assert state(stored)["failures_in_a_row"] == 0
    fail(timed, clock, core, TriggeredBy.SCHEDULER, 4)
    assert state(stored)["paused_at"] is None
    fail(timed, clock, core, TriggeredBy.SENSOR)
    assert state(stored)["paused_at"] is not None


def test_failures_of_people_do_not_count(timed: Ports, clock: RunningClock, core: Portfolio, stored: Stored) -> None:
    for by in (TriggeredBy.MANUAL, TriggeredBy.API, TriggeredBy.BACKFILL):
        fail(timed, clock, core, by, 6)
    assert state(stored) == {"paused_at": None, "paused_reason": None, "failures_in_a_row": 0}


def test_a_person_may_still_rebalance_what_is_paused(
    timed: Ports, clock: RunningClock, core: Portfolio, stored: Stored
) -> None:
    fail(timed, clock, core, TriggeredBy.SENSOR, 5)
    assert state(stored)["paused_at"] is not None
    assert rebalance(timed, "core").success
    assert state(stored)["failures_in_a_row"] == 0
