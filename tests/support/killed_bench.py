"""A live account at the double whose worker is killed, and the workers who find what it left."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from tests.support.killed_cases import LISTED
from tests.support.kraken_bench import assert_one_story, open_live_account, run_live
from tests.support.kraken_double import KrakenDouble, kraken_double
from tests.support.ports_on import ports_on
from tests.support.stored import Stored
from tests.support.worker_clocks import SkippingClock
from tests.support.worker_processes import Bench, Ending, Task, Workers

_ARRIVAL_SECONDS = 10.0
_LATE_ENOUGH = timedelta(seconds=75)
"""After a death: past the order's deadline and the venue's hold."""

_REAL_SECONDS = {"venue_timeout_seconds": "5"}
"""What is real time even here: a request on a machine that is busy."""


@dataclass
class KilledBench:
    """`ports` are those of the test's own process, which is the one that comes last."""

    ports: Ports
    stored: Stored
    clock: SkippingClock
    workers: Workers
    place: Bench

    @contextmanager
    def account(
        self, balances: Mapping[str, str], weights: str, seed: int, *, portfolio: str = "core"
    ) -> Iterator[KilledAccount]:
        """A new account with one portfolio, at a venue of its own; what was before it is forgotten."""
        self.stored.change("DELETE FROM portfolio")
        self.stored.change("DELETE FROM account")
        with kraken_double(clock=self.clock, tier="pro", balances=balances, listed=LISTED, seed=seed) as double:
            open_live_account(self.ports, double, portfolios={portfolio: weights}, settings=_REAL_SECONDS)
            yield KilledAccount(self, double)


@dataclass
class KilledAccount:
    """The account, and what its workers do and leave."""

    bench: KilledBench
    double: KrakenDouble

    def work(self, what: str, where: str) -> Ending:
        """Let a worker `rebalance` or `recover` until it is killed at a place, or to its end.

        What a dead one has sent has arrived then, and its lease has run out.
        """
        arrived_before = len(self.double.requests)
        arguments = {"portfolio": "core"} if what == "rebalance" else {}
        ending = self.bench.workers.run(self.bench.place, Task(what, arguments, where))
        if ending.was_killed:
            self._wait_for_what_was_sent(where, arrived_before)
            self._let_the_lease_run_out()
        return ending

    def settle(self, *, sweeps: bool) -> None:
        """Let those come who find the account: a recovery in bulk perhaps, and in any case the next run."""
        if sweeps:
            recover_abandoned_accounts(self.bench.ports)
        self.double.clear_faults()
        self.bench.clock.pass_time(_LATE_ENOUGH)
        record = run_live(self.bench.ports)
        assert record.success, record.errors

    def assert_one_story(self) -> None:
        """See `kraken_bench`; and no client id was sent twice, nothing is under way, every run has its one row."""
        stored = self.bench.stored
        assert_one_story(self.double, stored)
        sent = [r.parameters["cl_ord_id"] for r in self.double.requests if r.endpoint == "AddOrder"]
        assert len(sent) == len(set(sent)), "an order was sent twice"
        nonces = [int(r.parameters["nonce"]) for r in self.double.requests if "nonce" in r.parameters]
        assert nonces == sorted(set(nonces)), "nonces came in disorder"
        assert stored.rows("SELECT state FROM order_intent WHERE state = 'PLANNED'") == []
        assert stored.rows("SELECT id FROM rebalance WHERE status <> 'finished'") == []
        assert stored.rows("SELECT id FROM rebalance EXCEPT SELECT id FROM rebalance_history") == []
        assert stored.held_leases() == []

    def _wait_for_what_was_sent(self, where: str, arrived_before: int) -> None:
        """A request may still be in the socket's buffer when its sender is dead."""
        moment, step, number = where.split(":")
        if (moment, step.partition(" ")[0]) not in {("after", "write"), ("before", "read")}:
            return
        endpoint = step.partition(" ")[2]

        def has_arrived() -> bool:
            return sum(r.endpoint == endpoint for r in self.double.requests[arrived_before:]) >= int(number)

        assert wait_until(has_arrived, _ARRIVAL_SECONDS), f"what was sent {where} has not arrived"

    def _let_the_lease_run_out(self) -> None:
        """As if its time had passed: the database's clock cannot be moved, and nobody renews it."""
        self.bench.stored.change("UPDATE account SET lease_until = clock_timestamp() WHERE lease_until IS NOT NULL")


@contextmanager
def killed_bench(
    database_url: str, stored: Stored, data_dir: Path, workers: Workers, environment: Mapping[str, str]
) -> Iterator[KilledBench]:
    """The bench on a migrated database."""
    clock = SkippingClock(data_dir / "skipped")
    with ports_on(database_url, clock, data_dir) as ports:
        place = Bench(database_url, data_dir, clock, dict(environment))
        yield KilledBench(ports, stored, clock, workers, place)


def chance_of(*words: object) -> random.Random:
    """A source of chance that is the same whenever the words are."""
    return random.Random(" ".join(map(str, words)))
