"""Every process of an installation is killed the hard way while portfolios fall due, beside a second daemon.

Round by round, all portfolios fall due; at a random moment one of the daemon, the code server, the webserver, a worker,
PostgreSQL or Redis gets a SIGKILL. Where `rebalancer up` ends with it, it is started again, as a service would. All the
while a second daemon runs over the same home, as somebody might start by mistake. A round is over when every due time
has its row in the history. Then it must hold that

- every due time has exactly one row: nothing was forgotten, nothing done twice;
- the books sum to what the venue holds, to the last digit;
- no order was placed at the venue twice;
- no two runs traded one account at the same time, by what the venue saw.

    python -m drills.killed_processes [--rounds 12] [--portfolios 24] [--accounts 6] [--seed 1]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, LiteralString

import psutil
import psycopg

from rebalancer_pipelines.adapters.assembly import open_ports
from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.adapters.embedded.free_port import free_port
from rebalancer_pipelines.adapters.embedded.services import Services, running_services
from rebalancer_pipelines.adapters.postgres.schema import migrate
from rebalancer_pipelines.application.accounts import NewAccount, open_account
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.domain.values import Currency
from rebalancer_pipelines.orchestration.instance import dagster_environment
from tests.support.venue_journal import TURNS

_PROGRAM = [sys.executable, "-c", "from rebalancer_pipelines.cli.app import main; main()"]
_EUR = Currency("EUR")
_START_SECONDS = 120
_ROUND_SECONDS = 600
_LONGEST_WAIT_SECONDS = 45

_VICTIMS: dict[str, str] = {
    "daemon": "dagster-daemon run",
    "code server": "dagster code-server",
    "webserver": "rebalancer_pipelines.orchestration.webserver",
    "worker": "rebalancer_pipelines.orchestration.run_worker",
    "PostgreSQL": "bin/postgres",
    "Redis": "valkey-server",
}
"""What each process has in its command line."""

_ENDS_ALL = frozenset({"daemon", "code server", "webserver"})
"""Without one of them `rebalancer up` ends, and says which it was."""

_BOOKS: LiteralString = (
    "SELECT account_id, currency, sum(amount) FROM ledger_entry GROUP BY 1, 2 HAVING sum(amount) <> 0"
)
_HELD: LiteralString = "SELECT account_id, currency, total FROM paper_balance WHERE total <> 0"
_OPEN: LiteralString = "SELECT count(*) FROM rebalance WHERE status <> 'finished'"
_TAKEN_UP: LiteralString = "SELECT count(*) FROM portfolio_due WHERE batch_id IS NOT NULL"
_ROWS: LiteralString = "SELECT count(*), count(DISTINCT portfolio_id) FROM rebalance_history WHERE scheduled_for = %s"


@dataclass
class Installation:
    """One data folder; `up` on it is a process of its own that may die and be started again."""

    folder: Path
    services: Services
    up: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def ensure_up(self) -> None:
        """Start `rebalancer up` where it does not run, and wait until it is ready."""
        if self.up is not None and self.up.poll() is None:
            return
        self.starts += 1
        told = self.folder.parent / f"up-{self.starts}.log"
        command = [*_PROGRAM, "up", "--no-demo", "--workers", "2", "--port", str(free_port())]
        with told.open("wb") as output:
            self.up = subprocess.Popen(command, env=_environment(self.folder), stdout=output, stderr=subprocess.STDOUT)
        ready = wait_until(lambda: b"Ctrl-C stops" in told.read_bytes() or self._has_ended(), _START_SECONDS)
        if not ready or self._has_ended():
            raise SystemExit(f"'rebalancer up' did not start:\n{told.read_text()}")

    def processes(self, mark: str) -> list[psutil.Process]:
        """Processes of this installation with these words in their command line."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                line = " ".join(process.cmdline())
                if mark in line and (str(self.folder) in line or self._belongs(process)):
                    found.append(process)
        return found

    def ask(self, question: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database, and ask again while it is being brought back."""
        deadline = time.monotonic() + 60
        while True:
            try:
                with psycopg.connect(self.services.database_url, autocommit=True) as connection:
                    cursor = connection.execute(question, values)
                    return cursor.fetchall() if cursor.description else []
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def _belongs(self, process: psutil.Process) -> bool:
        return process.environ().get("DAGSTER_HOME", "").startswith(str(self.folder))

    def _has_ended(self) -> bool:
        return self.up is not None and self.up.poll() is not None


def _environment(folder: Path) -> dict[str, str]:
    unrelated = ("DAGSTER_", "REBALANCER_", "DATABASE_URL", "REDIS_URL", "SCHEDULER_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(unrelated)}
    return {
        **inherited,
        "REBALANCER_DATA_DIR": str(folder),
        "SCHEDULER_CHECK_INTERVAL": "* * * * *",
        # The due check takes all; a schedule of a portfolio's own would not fire for a month.
        "SCHEDULER_SCHEDULES": "0",
    }


@contextmanager
def second_daemon(installation: Installation) -> Iterator[None]:
    """Another daemon over the same home; it is started again whenever it ends: `up` ends what it finds at its start."""
    home = installation.folder / "dagster"
    services = installation.services
    environment = dagster_environment(installation.folder, home, services.database_url, services.redis_url)
    command = [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-w", str(home / "workspace.yaml")]
    is_over = threading.Event()

    def keep_running() -> None:
        with (installation.folder.parent / "second-daemon.log").open("ab") as log:
            while not is_over.is_set():
                daemon = subprocess.Popen(
                    command,
                    env={**_environment(installation.folder), **environment},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=home,
                )
                while daemon.poll() is None and not is_over.wait(1):
                    pass
                daemon.kill()
                daemon.wait()

    keeper = threading.Thread(target=keep_running)
    keeper.start()
    try:
        yield
    finally:
        is_over.set()
        keeper.join()


def furnish(installation: Installation, portfolios: int, accounts: int) -> None:
    """Paper accounts that lose a silent worker after five seconds, with portfolios that trade whenever they are due."""
    with open_ports(installation.services.database_url, installation.folder) as ports:
        for number in range(accounts):
            deposits = {_EUR: Decimal(1000) * len(range(number, portfolios, accounts))}
            settings = {"lease_seconds": "5"}
            open_account(ports, NewAccount(f"account-{number}", "paper", "recorded", deposits, settings=settings))
        for number in range(portfolios):
            fields = {
                "name": f"portfolio-{number}",
                "account": f"account-{number % accounts}",
                "weights": "BTC=50,ETH=30,EUR=20",
                "interval": "monthly",
                "threshold": "1",
                "enabled": True,
            }
            create_portfolio(ports, fields, allocations={_EUR: Decimal(1000)})
    # A new one is due at once; the rounds say when.
    installation.ask("UPDATE portfolio_due SET next_rebalance_at = now() + interval '30 days'")


def let_fall_due(installation: Installation, chance: random.Random) -> datetime:
    """All portfolios are due now, with weights that make them trade; returns the due time."""
    btc = chance.randint(20, 70)
    installation.ask("UPDATE target_weight SET weight = %s WHERE currency = 'BTC'", btc)
    installation.ask("UPDATE target_weight SET weight = %s WHERE currency = 'ETH'", 80 - btc)
    ((due,),) = installation.ask(
        "WITH moment AS (SELECT date_trunc('milliseconds', clock_timestamp()) AS due), "
        "moved AS (UPDATE portfolio_due SET next_rebalance_at = moment.due FROM moment) SELECT due FROM moment"
    )
    return due


def kill(installation: Installation, name: str, chance: random.Random) -> bool:
    """Kill one process of a kind; returns whether there was one."""
    found = installation.processes(_VICTIMS[name])
    if not found:
        return False
    victim = chance.choice(found)
    if name == "PostgreSQL":
        # The postmaster and all its sessions, as a machine that loses power does.
        victim = min(found, key=lambda process: process.pid)
    with suppress(psutil.NoSuchProcess):
        victim.send_signal(signal.SIGKILL)
    return True


def play_round(installation: Installation, portfolios: int, victim: str, chance: random.Random) -> float:
    """One round; returns how long it took until every due time had its row."""
    installation.ensure_up()
    due = let_fall_due(installation, chance)
    began = time.monotonic()
    # Half of the time once the due times are taken up, from when on it is all over in a second or two; half of the
    # time whenever it comes.
    if chance.random() < 0.5:
        wait_until(lambda: installation.ask(_TAKEN_UP) != [(0,)], 90)
        time.sleep(chance.uniform(0, 2))
    else:
        time.sleep(chance.uniform(0, _LONGEST_WAIT_SECONDS))
    struck = kill(installation, victim, chance)
    if struck and victim in _ENDS_ALL and installation.up is not None:
        installation.up.wait(60)
    deadline = time.monotonic() + _ROUND_SECONDS
    while installation.ask(_ROWS, due) != [(portfolios, portfolios)] or installation.ask(_OPEN) != [(0,)]:
        installation.ensure_up()
        if time.monotonic() > deadline:
            raise SystemExit(f"not every due time has its row: {installation.ask(_ROWS, due)} of {portfolios}")
        time.sleep(1)
    check(installation)
    print(f"  {victim}{'' if struck else ' (was not there)'}: whole again {time.monotonic() - began:.0f} s after due")
    return time.monotonic() - began


def check(installation: Installation) -> None:
    """What must hold whatever was killed."""
    twice = installation.ask(
        "SELECT portfolio_id, scheduled_for FROM rebalance_history WHERE scheduled_for IS NOT NULL "
        "GROUP BY 1, 2 HAVING count(*) > 1"
    )
    if twice:
        raise SystemExit(f"done twice: {twice}")
    if sorted(installation.ask(_BOOKS)) != sorted(installation.ask(_HELD)):
        raise SystemExit("books and venue differ")
    if installation.ask("SELECT client_order_id FROM paper_order GROUP BY 1 HAVING count(*) > 1"):
        raise SystemExit("an order was placed twice")
    for earlier, later in pairwise(installation.ask(TURNS)):
        if earlier[0] == later[0] and earlier[3] >= later[2]:
            raise SystemExit(f"two runs traded {earlier[0]} at once: {earlier[1]} and {later[1]}")


def main() -> None:
    """Play all rounds and print what was proved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--portfolios", type=int, default=24)
    parser.add_argument("--accounts", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    victims = [list(_VICTIMS)[number % len(_VICTIMS)] for number in range(chosen.rounds)]
    with tempfile.TemporaryDirectory() as scratch, running_services(Path(scratch) / "data") as services:
        migrate(services.database_url)
        installation = Installation(Path(scratch) / "data", services)
        furnish(installation, chosen.portfolios, chosen.accounts)
        try:
            installation.ensure_up()
            with second_daemon(installation):
                for victim in victims:
                    play_round(installation, chosen.portfolios, victim, chance)
        finally:
            if installation.up is not None:
                installation.up.terminate()
                installation.up.wait(60)
        ((rows, failed),) = installation.ask(
            "SELECT count(*), count(*) FILTER (WHERE NOT success) FROM rebalance_history "
            "WHERE scheduled_for IS NOT NULL"
        )
        ((orders,),) = installation.ask("SELECT count(*) FROM paper_order")
    print(
        f"{chosen.rounds} rounds: {rows} due times, each with one row ({failed} of them cut off and recorded so), "
        f"{orders} orders, 'rebalancer up' started {installation.starts} times; nothing doubled, nothing forgotten"
    )


if __name__ == "__main__":
    main()
