"""Launching the Dagster job in this process, on the installation's own instance, so that the UI shows the run."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rebalancer_pipelines.cli.session import Session
from rebalancer_pipelines.domain.claim import ClaimedBatch
from rebalancer_pipelines.domain.errors import RebalancerError
from rebalancer_pipelines.domain.rebalance import TriggeredBy
from rebalancer_pipelines.orchestration.instance import (
    ANALYTICS_LOCATION,
    LOCATION,
    dagster_environment,
    prepare_home,
)

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The UI keeps a run's log; a terminal wants only its outcome."""


def prepare_dagster(session: Session, *, on_workers: bool | None = None) -> dict[str, str]:
    """Make the Dagster home ready and return the environment that Dagster's processes need; sets it here, too.

    `on_workers`: whether runs are sent to workers; None leaves that as it is.
    """
    home = prepare_home(session.data_dir, session.services.database_url, on_workers=on_workers)
    environment = dagster_environment(session.data_dir, home, session.services.database_url, session.services.redis_url)
    os.environ.update(environment)
    return environment


@contextmanager
def explained(what: str = "run the job") -> Generator[None]:
    """Dagster's own failures (its storage is away, say) in one line; our refusals are in the run and its history."""
    from dagster import BetaWarning  # noqa: PLC0415 - whoever is here has loaded Dagster

    # Its libraries tell every retry on the root logger; the line below and the run's own log say what matters.
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            # Dagster warns of a parameter that it gives itself whenever it copies a sensor.
            warnings.simplefilter("ignore", BetaWarning)
            yield
    except RebalancerError:
        raise
    except Exception as error:
        raise RebalancerError(
            f"Dagster could not {what} ({type(error).__name__}); see 'rebalancer doctor', then run it again"
        ) from error
    finally:
        logging.disable(logging.NOTSET)


def close_dead_runs(session: Session) -> None:
    """Tell Dagster which runs ended with a process that was killed. Expects `prepare_dagster` to have been called."""
    import dagster as dg  # noqa: PLC0415 - two seconds that only the start pays for

    from rebalancer_pipelines.orchestration.dead_runs import fail_dead_runs  # noqa: PLC0415

    with explained(), dg.DagsterInstance.get() as instance:
        fail_dead_runs(instance, session.ports)


def launch_rebalance(session: Session, portfolio: str, *, dry_run: bool, confirmed: Sequence[str] = ()) -> str:
    """Run the job `rebalance` for one portfolio to its end; returns Dagster's run id, whatever came of it.

    `confirmed` names the limits that a person waives for this run.

    Expects `prepare_dagster` to have been called.
    """
    options = {"dry_run": dry_run, "triggered_by": TriggeredBy.MANUAL.value, "confirmed": list(confirmed)}
    return _launch(session, "rebalance", {"ops": {"account_balances": {"config": options}}}, partition_key=portfolio)


def launch_batch(session: Session, batch: ClaimedBatch) -> str:
    """Run the job `rebalance_batch` for claims to its end; returns Dagster's run id, whatever came of it.

    Expects `prepare_dagster` to have been called.
    """
    from rebalancer_pipelines.orchestration.triggers import batch_run  # noqa: PLC0415 - it imports Dagster

    request = batch_run(batch)
    return _launch(session, "rebalance_batch", request.run_config, tags=request.tags)


def launch_analytics(session: Session, *, full: bool) -> str | None:
    """Run the job `analytics_build` to its end; returns what went wrong, if anything did.

    Expects `prepare_dagster` to have been called.
    """
    import dagster as dg  # noqa: PLC0415 - with dbt, four seconds that only this command pays for

    from rebalancer_pipelines.adapters.analytics.project import AnalyticsProject  # noqa: PLC0415
    from rebalancer_pipelines.analytics_definitions import build_analytics_definitions  # noqa: PLC0415
    from rebalancer_pipelines.orchestration.analytics import Marts  # noqa: PLC0415

    marts = Marts(database_url=dg.EnvVar("DATABASE_URL"), data_dir=str(session.data_dir))
    definitions = build_analytics_definitions(marts, AnalyticsProject(session.data_dir).prepared_manifest())
    with explained("build the marts"), dg.DagsterInstance.get() as instance:
        result = definitions.resolve_job_def("analytics_build").execute_in_process(
            instance=instance,
            run_config={"ops": {"analytics": {"config": {"full": full}}}, **_QUIET},
            tags=_listed_in(ANALYTICS_LOCATION),
            raise_on_error=False,
        )
        if result.success:
            return None
        told = [event.step_failure_data.user_failure_data for event in result.get_step_failure_events()]
    return next((failure.description for failure in told if failure and failure.description), f"run {result.run_id}")


def _listed_in(location: str) -> dict[str, str]:
    """By this label the UI lists a run under its job."""
    return {".dagster/repository": f"__repository__@{location}"}


def _launch(
    session: Session,
    job: str,
    run_config: Mapping[str, Any],
    *,
    partition_key: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> str:
    # Dagster takes two seconds to import: only commands that run a job pay for it.
    import dagster as dg  # noqa: PLC0415

    from rebalancer_pipelines.definitions import defs  # noqa: PLC0415
    from rebalancer_pipelines.orchestration.sensors import sync_partitions  # noqa: PLC0415

    with session.ports.transactions() as work:
        names = [stored.name for stored in work.portfolios.all()]
    with explained(), dg.DagsterInstance.get() as instance:
        sync_partitions(instance, names)
        result = defs.resolve_job_def(job).execute_in_process(
            instance=instance,
            partition_key=partition_key,
            run_config={**run_config, **_QUIET},
            tags={**(tags or {}), **_listed_in(LOCATION)},
            raise_on_error=False,
        )
    return result.run_id
