"""The steps of a rebalance by name, and a process that dies, or stops, at one exact of them.

A place is written like `after:SENDING:2`: before, amid or after, a step, and its number in the process. Steps are
- commits, by what the transaction holds: `started`, `planned`, a state that an order moved to, `booked` when fills were
  booked, `closed` with the history row; in a batch also `netted` when net orders were stored, `crossed`, and `shared`
  when a net order's fills were shared out;
- `turn`, the commit of a nonce and of what the call adds to the counters;
- `submit`, when an order is given to the venue's adapter, and `clearance`, the last look before it leaves: by then it
  has its turn and its nonce;
- `write AddOrder` and `read AddOrder`, when the request leaves and its answer comes, and so for every other endpoint.
  `amid:write AddOrder:1`: the head of the request has left, and its body has not.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

from rebalancer_pipelines.adapters.kill_file import KillFile
from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from rebalancer_pipelines.adapters.prices.bar_sources import BarRegistry
from rebalancer_pipelines.adapters.venues.registry import VenueRegistry
from rebalancer_pipelines.application.ports import Acknowledgement, Clearance, Clock, OrderTicket, Ports, Venue
from rebalancer_pipelines.domain.order import Fill, LiquiditySide, Order, OrderState
from rebalancer_pipelines.domain.portfolio import Account

NEVER = "never"
"""A place that no process comes by."""


def die() -> None:
    """The hard way: nothing is undone, flushed or said."""
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    """Stand still, every thread of the process, until somebody continues it."""
    # To this thread: one that is sent to the process may be taken up by another, while this one goes on for a moment.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


@dataclass
class Steps:
    """Counts steps, and does something to the process at one place."""

    where: str
    do: Callable[[], None] = die
    _seen: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def step(self, *names: str) -> Iterator[None]:
        for name in names:
            self.come_by("before", name)
        yield
        for name in names:
            self.come_by("after", name)

    def come_by(self, moment: str, name: str) -> None:
        """`before` counts the step."""
        self._seen[name] += moment == "before"
        if self.where == f"{moment}:{name}:{self._seen[name]}":
            self.do()


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
        self._note(self.rebalances, "add_planned", lambda *_: "planned")
        self._note(self.orders, "add_net", lambda *_, **__: "netted")
        self._note(self.orders, "book_parts", lambda _account, parts: _kind_of(parts))

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


def _kind_of(parts: Sequence[tuple[Order, Fill]]) -> str:
    return "crossed" if any(fill.liquidity_side is LiquiditySide.INTERNAL for _, fill in parts) else "shared"


def _state(_order: Order, state: OrderState, **_: object) -> str:
    return state.value


class StepwiseVenues(VenueRegistry):
    """Makes steps of sending an order and of its clearance."""

    def __init__(self, engine: Engine, clock: Clock, key_file: Path, steps: Steps) -> None:
        super().__init__(engine, clock, key_file=key_file)
        self._steps = steps

    def connect(self, account: Account) -> Venue:
        venue = super().connect(account)
        if "submit" not in vars(venue):
            venue.submit = self._stepwise(venue.submit)  # type: ignore[method-assign]
        return venue

    def _stepwise(
        self, submit: Callable[[OrderTicket, Clearance], Acknowledgement]
    ) -> Callable[[OrderTicket, Clearance], Acknowledgement]:
        def step(ticket: OrderTicket, clearance: Clearance) -> Acknowledgement:
            def clear() -> None:
                with self._steps.step("clearance"):
                    clearance()

            with self._steps.step("submit"):
                return submit(ticket, clear)

        return step


@contextmanager
def stepwise_ports(
    database_url: str,
    steps: Steps,
    clock: Clock,
    data_dir: Path,
    *,
    lease_patience: timedelta = timedelta(seconds=150),
    session: str | None = None,
) -> Iterator[Ports]:
    """The program's ports, with something to happen at one step.

    `session` is a statement that every connection to the database begins with, such as one that shortens a timeout.
    """
    with open_engine(database_url) as engine:
        if session is not None:
            event.listen(engine, "connect", lambda connection, _: _begin_with(connection, session))
            engine.dispose()
        _make_steps_of_turns(engine, steps)
        yield Ports(
            transactions=lambda: StepwiseUnitOfWork(engine, steps),
            venues=StepwiseVenues(engine, clock, data_dir / "credentials.key", steps),
            bar_sources=BarRegistry(clock),
            clock=clock,
            kill_file=KillFile(data_dir),
            lease_patience=lease_patience,
        )


def _make_steps_of_turns(engine: Engine, steps: Steps) -> None:
    """A turn on the key is a transaction of the adapter's own."""

    def note(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if "UPDATE venue_key" in statement:
            connection.info["turn"] = True

    def commit(connection: Connection) -> None:
        if connection.info.pop("turn", False):
            steps.come_by("before", "turn")

    event.listen(engine, "before_cursor_execute", note)
    event.listen(engine, "commit", commit)


def _begin_with(connection: Any, statement: str) -> None:
    connection.execute(statement)
    connection.commit()


def make_steps_of_requests(steps: Steps) -> None:
    """Make steps of every request over HTTP of this process, whoever makes it: for a process of the test's own."""
    from urllib3.connection import HTTPConnection

    request, send, getresponse = HTTPConnection.request, HTTPConnection.send, HTTPConnection.getresponse

    def stepwise_request(self: Any, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        self.endpoint = url.partition("?")[0].rpartition("/")[2]
        self.parts_sent = 0
        with steps.step(f"write {self.endpoint}"):
            return request(self, method, url, *arguments, **options)

    def stepwise_send(self: Any, data: Any) -> Any:
        sent = send(self, data)
        self.parts_sent += 1
        if self.parts_sent == 1:
            steps.come_by("amid", f"write {self.endpoint}")
        return sent

    def stepwise_getresponse(self: Any) -> Any:
        with steps.step(f"read {self.endpoint}"):
            return getresponse(self)

    HTTPConnection.request = stepwise_request  # type: ignore[method-assign]
    HTTPConnection.send = stepwise_send  # type: ignore[method-assign]
    HTTPConnection.getresponse = stepwise_getresponse  # type: ignore[method-assign]
