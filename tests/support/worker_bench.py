"""A live account at the double whose workers die, stand still or meet, and a last one who finds what they left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.application.ports import Ports
from tests.support.kraken_bench import assert_one_story, open_live_account
from tests.support.kraken_double import KrakenDouble, kraken_double
from tests.support.kraken_double.gate import DEFAULT_KEY, DEFAULT_SECRET
from tests.support.ports_on import ports_on
from tests.support.stored import Stored
from tests.support.worker_clocks import SharedClock
from tests.support.worker_processes import Bench, Ending, Task, Worker, Workers

LISTED = ("BTC/EUR", "ETH/EUR", "XRP/EUR")
BALANCES = {"BTC": "0.08", "EUR": "100"}
WEIGHTS = "BTC=30,ETH=30,XRP=20,EUR=20"
"""With `BALANCES`: sell BTC, buy ETH, buy XRP."""

_ARRIVAL_SECONDS = 10.0
_LEASE_SECONDS = 30.0


@dataclass
class WorkerBench:
    """`ports` are those of the test's own process."""

    ports: Ports
    stored: Stored
    clock: SharedClock
    workers: Workers
    place: Bench

    @contextmanager
    def account(
        self,
        *,
        balances: Mapping[str, str] = BALANCES,
        portfolios: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        seed: int = 1,
    ) -> Iterator[WorkerAccount]:
        """A new account at a venue of its own; what was before it is forgotten."""
        self.stored.change("DELETE FROM portfolio")
        self.stored.change("DELETE FROM account")
        with kraken_double(clock=self.clock, tier="pro", balances=balances, listed=LISTED, seed=seed) as double:
            open_live_account(
                self.ports,
                double,
                portfolios={"core": WEIGHTS} if portfolios is None else portfolios,
                # A request takes real time even here, on a machine that may be busy.
                settings={"venue_timeout_seconds": "5", **(settings or {})},
            )
            yield WorkerAccount(self, double)


@dataclass
class WorkerAccount:
    """The account, and what its workers do and leave."""

    bench: WorkerBench
    double: KrakenDouble
    _arrived_before: int = field(default=0, init=False)

    def start(self, task: Task) -> Worker:
        """Let a worker begin."""
        self._arrived_before = len(self.double.requests)
        return self.bench.workers.start(self.bench.place, task)

    def work(self, task: Task) -> Ending:
        """Let a worker work to its end; what a dead one has sent has arrived then, and its lease has run out."""
        ending = self.start(task).ending()
        if ending.was_killed:
            self._wait_for_what_was_sent(task.where)
            self._let_the_lease_run_out()
        return ending

    def wait_until_the_lease_has_run_out(self) -> None:
        """Wait, in real time: leases run by the database's clock."""
        held = "SELECT name FROM account WHERE lease_until >= clock_timestamp()"
        assert wait_until(lambda: self.bench.stored.rows(held) == [], _LEASE_SECONDS), "somebody renews the lease"

    def assert_one_story(self) -> None:
        """See `kraken_bench`; and no client id was sent twice, nothing is under way, every run has its one row."""
        stored = self.bench.stored
        assert_one_story(self.double, stored)
        sent = [r.parameters["cl_ord_id"] for r in self.double.requests if r.endpoint == "AddOrder"]
        assert len(sent) == len(set(sent)), "an order was sent twice"
        assert stored.rows("SELECT state FROM order_intent WHERE state = 'PLANNED'") == []
        assert stored.rows("SELECT id FROM rebalance WHERE status <> 'finished'") == []
        assert stored.rows("SELECT id FROM rebalance EXCEPT SELECT id FROM rebalance_history") == []
        assert stored.held_leases() == []

    def _wait_for_what_was_sent(self, where: str) -> None:
        """A request may still be in the socket's buffer when its sender is dead."""
        moment, step, number = where.split(":")
        kind, _, endpoint = step.partition(" ")
        if (moment, kind) not in {("after", "write"), ("before", "read")}:
            return

        def has_arrived() -> bool:
            return sum(r.endpoint == endpoint for r in self.double.requests[self._arrived_before :]) >= int(number)

        assert wait_until(has_arrived, _ARRIVAL_SECONDS), f"what was sent {where} has not arrived"

    def _let_the_lease_run_out(self) -> None:
        """As if its time had passed: the database's clock cannot be moved, and the dead renew nothing."""
        self.bench.stored.change("UPDATE account SET lease_until = clock_timestamp() WHERE lease_until IS NOT NULL")


@contextmanager
def worker_bench(
    database_url: str, stored: Stored, data_dir: Path, workers: Workers, clock: SharedClock
) -> Iterator[WorkerBench]:
    """The bench on a migrated database. Expects the double's key in the environment."""
    environment = {"KRAKEN_API_KEY": DEFAULT_KEY, "KRAKEN_API_SECRET": DEFAULT_SECRET}
    with ports_on(database_url, clock, data_dir) as ports:
        yield WorkerBench(ports, stored, clock, workers, Bench(database_url, data_dir, clock, environment))
