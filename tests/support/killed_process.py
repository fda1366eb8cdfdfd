"""A process that rebalances, or recovers, and kills itself the hard way at one exact step.

    python -m tests.support.killed_process rebalance|launch|recover PORTFOLIO WHERE

DATABASE_URL names the database. WHERE is `never`, or a place of `killed_steps`, like `after:SENDING:2`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from rebalancer_pipelines.adapters.clock import SystemClock
from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from tests.support.killed_steps import Steps, stepwise_ports

_DATA_DIR = Path(tempfile.gettempdir())
"""Nothing is kept there: a paper account has no key, and nobody stops it by a file."""
LATER = timedelta(seconds=30)
"""How far ahead the clock of a recovery stands: past the deadline of every order that the dead process sent."""


class LaterClock(SystemClock):
    """Real time, a while later."""

    def now(self) -> datetime:
        return super().now() + LATER


@contextmanager
def ports_until(database_url: str, where: str, clock: SystemClock) -> Iterator[Ports]:
    """The program's ports, with a death at one step."""
    with stepwise_ports(database_url, Steps(where), clock, _DATA_DIR) as ports:
        yield ports


def _launch(database_url: str, portfolio: str, where: str) -> None:
    """The Dagster job itself, over the same ports."""
    import dagster as dg

    from rebalancer_pipelines.definitions import build_definitions
    from rebalancer_pipelines.orchestration.resources import Rebalancer

    with ports_until(database_url, where, SystemClock()) as ports:

        class StepwiseRebalancer(Rebalancer):
            @contextmanager
            def ports(self) -> Iterator[Ports]:
                yield ports

        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("portfolio", [portfolio])
            definitions = build_definitions(StepwiseRebalancer(database_url=database_url))
            definitions.resolve_job_def("rebalance").execute_in_process(instance=instance, partition_key=portfolio)


def _wait_for_leases(database_url: str) -> None:
    """Let the leases of killed processes run out."""
    with open_engine(database_url) as engine:

        def all_have_run_out() -> bool:
            with engine.connect() as connection:
                held = connection.execute(text("SELECT count(*) FROM account WHERE lease_until >= clock_timestamp()"))
                return held.scalar_one() == 0

        if not wait_until(all_have_run_out, 30):
            raise SystemExit("a lease has not run out in time")


def _main(what: str, portfolio: str, where: str) -> None:
    from tests.support.rebalancing import rebalance

    database_url = os.environ["DATABASE_URL"]
    if what == "launch":
        _launch(database_url, portfolio, where)
    elif what == "rebalance":
        with ports_until(database_url, where, SystemClock()) as ports:
            rebalance(ports, portfolio)
    elif what == "recover":
        _wait_for_leases(database_url)
        with ports_until(database_url, where, LaterClock()) as ports:
            json.dump(recover_abandoned_accounts(ports), sys.stdout)


if __name__ == "__main__":
    _main(*sys.argv[1:])
