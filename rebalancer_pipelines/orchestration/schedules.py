"""A schedule per portfolio, built from what is stored when the code location loads.

Here: cron lines and what a tick hands to Dagster. Not here: whether a portfolio is due and who has taken it up (use
case `claims`): a schedule is a wake-up, the due times are ours.
"""

import warnings
from collections.abc import Iterable, Sequence
from datetime import UTC, timedelta

import dagster as dg

from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.application.claims import claim_scheduled
from rebalancer_pipelines.domain.calendar import RebalanceInterval
from rebalancer_pipelines.domain.claim import ClaimedBatch, Rhythm
from rebalancer_pipelines.domain.errors import RebalancerError
from rebalancer_pipelines.domain.rebalance import TriggeredBy
from rebalancer_pipelines.orchestration.batch import BATCH_TAG
from rebalancer_pipelines.orchestration.resources import Rebalancer

PORTFOLIO_ID_TAG = "rebalancer/portfolio_id"
"""On every portfolio's schedule: whose it is."""

_MINUTE = timedelta(minutes=1)
_EVERY_MONTH_HAS = 28


def stored_rhythms(database_url: str | None) -> Sequence[Rhythm]:
    """Portfolios that get a schedule of their own.

    None, with a warning, when the database cannot be read: a code location must load all the same.
    """
    if not database_url:
        return []
    try:
        with open_engine(database_url) as engine, PostgresUnitOfWork(engine) as work:
            return work.claims.rhythms(Settings().most_schedules)
    except RebalancerError as error:
        warnings.warn(f"no portfolio has a schedule until the definitions are reloaded: {error}", stacklevel=2)
        return []


def portfolio_schedules(rhythms: Iterable[Rhythm], *, running: bool) -> list[dg.ScheduleDefinition]:
    """A schedule for each, named after its portfolio."""
    return [_schedule(_name(rhythm), rhythm, running=running) for rhythm in rhythms]


def cron_of(rhythm: Rhythm) -> tuple[str, str]:
    """The cron line that wakes a portfolio at or within a minute after its due times, and the zone it is read in.

    A day that not every month has wakes it on each of the last days, and on the first where the minute after is the
    next day's: it is due on one of them.
    """
    zone = UTC if rhythm.interval is RebalanceInterval.HOURLY else rhythm.time_zone
    anchor = rhythm.anchor_at.astimezone(zone)
    at = anchor.replace(second=0, microsecond=0) + (_MINUTE if anchor.second or anchor.microsecond else timedelta(0))
    match rhythm.interval:
        case RebalanceInterval.HOURLY:
            return f"{at.minute} * * * *", "UTC"
        case RebalanceInterval.DAILY:
            days = "* * *"
        case RebalanceInterval.WEEKLY:
            days = f"* * {at.isoweekday() % 7}"
        case RebalanceInterval.MONTHLY:
            last_days = f"{_EVERY_MONTH_HAS}-31" if at.day == anchor.day else f"1,{_EVERY_MONTH_HAS}-31"
            days = f"{at.day} * *" if at.day <= _EVERY_MONTH_HAS else f"{last_days} * *"
    return f"{at.minute} {at.hour} {days}", rhythm.time_zone.key


def _name(rhythm: Rhythm) -> str:
    """Dagster allows no dash, so `a-b` and `a_b` must not meet: the one with an underscore carries its id.

    It depends on no other portfolio, since whether somebody has stopped a schedule is stored under its name.
    """
    name = f"rebalance_{rhythm.portfolio.replace('-', '_')}"
    return f"{name}_{rhythm.portfolio_id.hex[-8:]}" if "_" in rhythm.portfolio else name


def _schedule(name: str, rhythm: Rhythm, *, running: bool) -> dg.ScheduleDefinition:
    cron, zone = cron_of(rhythm)

    @dg.schedule(
        name=name,
        job_name="rebalance",
        cron_schedule=cron,
        execution_timezone=zone,
        default_status=dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED,
        description=f"Rebalances {rhythm.portfolio} {rhythm.interval.value}, counted from "
        f"{rhythm.anchor_at.astimezone(rhythm.time_zone):%Y-%m-%d %H:%M} in {rhythm.time_zone.key}.",
        tags={PORTFOLIO_ID_TAG: str(rhythm.portfolio_id)},
    )
    def wake(context: dg.ScheduleEvaluationContext, rebalancer: Rebalancer) -> dg.RunRequest | dg.SkipReason:  # noqa: ARG001
        if not Settings().schedules_itself:
            return dg.SkipReason("SCHEDULER_ENABLED is false")
        with rebalancer.ports() as ports:
            batch = claim_scheduled(ports, rhythm.portfolio_id)
        return single_run(batch) if batch else dg.SkipReason("not due, paused, or taken up already")

    return wake


def single_run(batch: ClaimedBatch) -> dg.RunRequest:
    """The run of the job `rebalance` for a batch of one."""
    (claim,) = batch.claims
    options = {"triggered_by": TriggeredBy.SCHEDULER.value, "scheduled_for": claim.scheduled_for.isoformat()}
    return dg.RunRequest(
        run_key=str(batch.id),
        partition_key=claim.portfolio,
        run_config={"ops": {"account_balances": {"config": options}}},
        tags={BATCH_TAG: str(batch.id)},
    )
