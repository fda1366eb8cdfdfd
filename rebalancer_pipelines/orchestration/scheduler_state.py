"""Which schedules and sensors run, as Dagster stores it: the UI shows the same state and changes the same.

Here: Dagster's stored states, ticks and heartbeats. Not here: due times, or what a person is told of it all.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

import dagster as dg
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
)

from rebalancer_pipelines.orchestration.jobs import rebalance_batch
from rebalancer_pipelines.orchestration.schedules import PORTFOLIO_ID_TAG

Definition = dg.ScheduleDefinition | dg.SensorDefinition
Locations = Mapping[str, Collection[Definition]]
"""The schedules and sensors of each code location."""


class AutomationKind(StrEnum):
    """What wakes it: a cron line, or a look every few seconds."""

    SCHEDULE = "schedule"
    SENSOR = "sensor"


@dataclass(frozen=True, slots=True)
class Tick:
    """One evaluation. `note`: why it launched nothing, or what went wrong."""

    at: datetime
    outcome: str
    note: str | None
    runs: int


@dataclass(frozen=True, slots=True)
class Automation:
    """A schedule or sensor of ours.

    `rhythm` says when it is evaluated. `rebalances`: it makes portfolios rebalance by themselves; every other keeps
    house. `portfolio_id`: whose schedule it is.
    """

    name: str
    kind: AutomationKind
    rhythm: str
    rebalances: bool
    portfolio_id: UUID | None
    is_running: bool
    last_tick: Tick | None


def read_automations(instance: dg.DagsterInstance, locations: Locations, *, started: bool) -> list[Automation]:
    """All of them: those that rebalance first, then by name.

    `started`: whether those that rebalance run from the first start on, until somebody stops them.
    """
    found: list[Automation] = []
    for location, definitions in locations.items():
        states = stored_states(instance, location)
        ticks = _last_ticks(instance, location, [each.name for each in definitions])
        found += [
            Automation(
                name=each.name,
                kind=_kind(each),
                rhythm=_rhythm(each),
                rebalances=_rebalances(each),
                portfolio_id=_portfolio_id(each),
                is_running=is_running(states.get(each.name), by_default=_by_default(each, started=started)),
                last_tick=ticks.get(each.name),
            )
            for each in definitions
        ]
    return sorted(found, key=lambda one: (not one.rebalances, one.kind, one.name))


def set_running(
    instance: dg.DagsterInstance,
    locations: Locations,
    names: Collection[str],
    *,
    running: bool,
    started: bool,
) -> list[str]:
    """Start or stop the named ones, as a click in the UI does; returns those whose state has changed."""
    changed: list[str] = []
    for location, definitions in locations.items():
        states = stored_states(instance, location)
        for each in definitions:
            state = states.get(each.name)
            by_default = _by_default(each, started=started)
            if each.name not in names or is_running(state, by_default=by_default) is running:
                continue
            _store(instance, _origin(location, each.name), each, state, running=running)
            changed.append(each.name)
    return changed


def stored_states(instance: dg.DagsterInstance, location: str) -> Mapping[str, InstigatorState]:
    """What was stored of a code location, by name; of one that nobody has started or stopped there may be nothing."""
    stored = instance.all_instigator_state(repository_selector_id=_repository(location).get_selector_id())
    return {state.instigator_name: state for state in stored}


def is_running(state: InstigatorState | None, *, by_default: bool) -> bool:
    """Whether Dagster evaluates it: as somebody has set it, else as its definition says."""
    if state is None or state.status is InstigatorStatus.DECLARED_IN_CODE:
        return by_default
    return state.status is InstigatorStatus.RUNNING


def _repository(location: str) -> RemoteRepositoryOrigin:
    """States are found by the names of location and repository; where a code server listens is no part of them."""
    return RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "__repository__")


def _origin(location: str, name: str) -> RemoteInstigatorOrigin:
    return _repository(location).get_instigator_origin(name)


def _store(
    instance: dg.DagsterInstance,
    origin: RemoteInstigatorOrigin,
    each: Definition,
    state: InstigatorState | None,
    *,
    running: bool,
) -> None:
    now = datetime.now(UTC).timestamp()
    if isinstance(each, dg.ScheduleDefinition):
        kind = InstigatorType.SCHEDULE
        # From now on: ticks of the time in which it stood still are not made good.
        data = ScheduleInstigatorData(each.cron_schedule, start_timestamp=now if running else None)
    else:
        kind = InstigatorType.SENSOR
        known = state.sensor_instigator_data if state else None
        data = known or SensorInstigatorData(min_interval=each.minimum_interval_seconds, sensor_type=each.sensor_type)
        data = data.with_sensor_start_timestamp(now) if running else data
    status = InstigatorStatus.RUNNING if running else InstigatorStatus.STOPPED
    if state is None:
        instance.add_instigator_state(InstigatorState(origin, kind, status, data))
    else:
        instance.update_instigator_state(state.with_status(status).with_data(data))


def _kind(each: Definition) -> AutomationKind:
    return AutomationKind.SCHEDULE if isinstance(each, dg.ScheduleDefinition) else AutomationKind.SENSOR


def _rhythm(each: Definition) -> str:
    if isinstance(each, dg.ScheduleDefinition):
        return f"{each.cron_schedule} {each.execution_timezone or 'UTC'}"
    return f"every {each.minimum_interval_seconds} s"


def _portfolio_id(each: Definition) -> UUID | None:
    text = each.tags.get(PORTFOLIO_ID_TAG)
    return UUID(text) if text else None


def _rebalances(each: Definition) -> bool:
    if isinstance(each, dg.ScheduleDefinition):
        return PORTFOLIO_ID_TAG in each.tags
    return any(target.job_name == rebalance_batch.name for target in each.targets)


def _by_default(each: Definition, *, started: bool) -> bool:
    if _rebalances(each):
        return started
    return each.default_status in {dg.DefaultScheduleStatus.RUNNING, dg.DefaultSensorStatus.RUNNING}


def _last_ticks(instance: dg.DagsterInstance, location: str, names: Collection[str]) -> dict[str, Tick]:
    selectors = {_origin(location, name).get_selector().get_id(): name for name in names}
    storage = instance.schedule_storage
    if storage is None:
        return {}
    newest = storage.get_batch_ticks(list(selectors), limit=1)
    return {selectors[selector]: _tick(ticks[0]) for selector, ticks in newest.items() if ticks}


def _tick(tick: InstigatorTick) -> Tick:
    error = (tick.error.cause or tick.error).message.strip().splitlines() if tick.error else []
    return Tick(
        at=datetime.fromtimestamp(tick.timestamp, UTC),
        outcome=tick.status.value.lower(),
        note=error[-1] if error else tick.skip_reason,
        runs=len(tick.run_ids),
    )
