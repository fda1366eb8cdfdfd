"""A process that rebalances, or recovers, and kills itself the hard way at one exact step.

    python -m tests.support.killed_process rebalance|launch|recover PORTFOLIO WHERE

DATABASE_URL names the database. WHERE is `never`, or like `after:SENDING:2`: before or after, a step, and its number
in the process. Steps are `submit`, when an order is sent to the venue, and commits, by what the transaction holds:
`started`, `planned`, a state that an order moved to, `booked` when fills were booked, `closed` with the history row.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

from rebalancer_pipelines.adapters.clock import SystemClock
from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from rebalancer_pipelines.adapters.venues.registry import VenueRegistry
from rebalancer_pipelines.application.ports import Acknowledgement, OrderTicket, Ports, Venue
from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.domain.order import Order, OrderState
from rebalancer_pipelines.domain.portfolio import Account

LEASE = timedelta(seconds=1)
"""Short, so that whoever comes after a dead process need not wait long."""
LATER = timedelta(seconds=30)
"""How far ahead the clock of a recovery stands: past the deadline of every order that the dead process sent."""


@dataclass
class Steps:
    """Counts steps, and ends the process at one of them."""

    where: str
    _seen: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def step(self, *names: str) -> Iterator[None]:
        for name in names:
            self._seen[name] += 1
            self._die_at(f"before:{name}:{self._seen[name]}")
        yield
        for name in names:
            self._die_at(f"after:{name}:{self._seen[name]}")

    def _die_at(self, place: str) -> None:
        if place == self.where:
            os.kill(os.getpid(), signal.SIGKILL)


class StepwiseUnitOfWork(PostgresUnitOfWork):
    """Notes what a transaction holds, and makes its commit a step."""

    def __init__(self, engine: Engine, steps: Steps) -> None:
        super().__init__(engine)
        self._steps = steps
        self._holds: list[str] = []
        self._note(self.rebalances, "start", lambda *_, **__: "started")
        self._note(self.rebalances, "store_plan", lambda *_, **__: "planned")
        self._note(self.orders, "move", _state)
        self._note(self.orders, "add_fills", lambda _order, _account, fills: "booked" if fills else None)
        self._note(self.history, "add", lambda *_, **__: "closed")

    def commit(self) -> None:
        with self._steps.step(*self._holds):
            super().commit()

    def _note(self, repository: object, method: str, named: Callable[..., str | None]) -> None:
        original = getattr(repository, method)

        def noting(*arguments: Any, **options: Any) -> Any:
            name = named(*arguments, **options)
            if name is not None:
                self._holds.append(name)
            return original(*arguments, **options)

        setattr(repository, method, noting)


def _state(_order: Order, state: OrderState, **_: object) -> str:
    return state.value


class StepwiseVenues(VenueRegistry):
    """Makes sending an order a step."""

    def __init__(self, engine: Engine, clock: SystemClock, steps: Steps) -> None:
        super().__init__(engine, clock)
        self._steps = steps

    def connect(self, account: Account) -> Venue:
        venue = super().connect(account)
        submit = venue.submit

        def step(ticket: OrderTicket) -> Acknowledgement:
            with self._steps.step("submit"):
                return submit(ticket)

        venue.submit = step  # type: ignore[method-assign]
        return venue


class LaterClock(SystemClock):
    """Real time, a while later."""

    def now(self) -> datetime:
        return super().now() + LATER


@contextmanager
def stepwise_ports(database_url: str, where: str, clock: SystemClock) -> Iterator[Ports]:
    """The program's ports, with a death at one step."""
    steps = Steps(where)
    with open_engine(database_url) as engine:
        yield Ports(
            transactions=lambda: StepwiseUnitOfWork(engine, steps),
            venues=StepwiseVenues(engine, clock, steps),
            clock=clock,
            lease_duration=LEASE,
        )


def _launch(database_url: str, portfolio: str, where: str) -> None:
    """The Dagster job itself, over the same ports."""
    import dagster as dg

    from rebalancer_pipelines.definitions import build_definitions
    from rebalancer_pipelines.orchestration.resources import Rebalancer

    with stepwise_ports(database_url, where, SystemClock()) as ports:

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
        with stepwise_ports(database_url, where, SystemClock()) as ports:
            rebalance(ports, portfolio)
    elif what == "recover":
        _wait_for_leases(database_url)
        with stepwise_ports(database_url, where, LaterClock()) as ports:
            json.dump(recover_abandoned_accounts(ports), sys.stdout)


if __name__ == "__main__":
    _main(*sys.argv[1:])
