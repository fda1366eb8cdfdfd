"""`rebalancer worker`: a machine that executes runs for an installation whose database and Redis are elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from sqlalchemy.engine import make_url

from rebalancer_pipelines.adapters.redis.connection import ping_redis
from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.cli.launch import prepare_dagster
from rebalancer_pipelines.cli.options import DataDir
from rebalancer_pipelines.cli.output import say
from rebalancer_pipelines.cli.session import Session, chosen_data_dir, make_data_dir, open_session
from rebalancer_pipelines.domain.errors import InvalidInputError, RebalancerError
from rebalancer_pipelines.domain.values import parse_whole

_MOST_WORKERS = 64
_NEEDED = {
    "DATABASE_URL": "is needed: the address of the database that all machines share",
    "REDIS_URL": "is needed: the address of the Redis over which runs are handed out",
}


def worker(
    concurrency: Annotated[str, typer.Option(help="How many runs at a time, each in a process of its own.")] = "1",
    data_dir: DataDir = None,
) -> None:
    """Execute runs of an installation on other machines: DATABASE_URL and REDIS_URL name it. Ctrl-C ends it.

    Keys of exchanges are read from this machine's environment and data folder, as everywhere.
    """
    processes = parse_workers(concurrency, field="concurrency", least=1)
    settings = Settings()
    for name, value in (("DATABASE_URL", settings.database_url), ("REDIS_URL", settings.redis_url)):
        if value is None:
            raise InvalidInputError(name, None, _NEEDED[name])
    make_data_dir(chosen_data_dir(data_dir))
    with open_session(data_dir) as session:
        check_broker(session)
        environment = prepare_dagster(session)
        say(f"Taking runs, {processes} at a time, from {make_url(session.services.database_url).host}. Ctrl-C ends it.")
        for problem in unusable_accounts(session):
            say(f"  {problem}; its runs fail on this machine: set its key here, too")
    home = Path(environment["DAGSTER_HOME"])
    sys.stdout.flush()
    program, *arguments = worker_command(home, processes)
    os.chdir(home)
    path = Path(sys.executable).with_name(program)
    os.execve(path, [program, *arguments], {**os.environ, **environment})  # noqa: S606 - no shell is wanted


def parse_workers(text: str, *, field: str, least: int = 0) -> int:
    """Read how many processes. Raises `InvalidInputError`."""
    return parse_whole(text, field=field, least=least, most=_MOST_WORKERS)


def check_broker(session: Session) -> None:
    """Raise `RebalancerError` unless Redis answers: without it, no run would reach a worker."""
    if session.services.redis_url is None:
        raise RebalancerError("workers need Redis, and the embedded one has not started; set REDIS_URL")
    ping_redis(session.services.redis_url, remedy="workers need it: start it, or correct the address")


def worker_command(home: Path, processes: int) -> list[str]:
    """The command line of a worker with so many processes; `home` marks it as one of that Dagster home."""
    # Two workers of one name on one machine would take each other's orders to end a run.
    name = ["--hostname", f"{uuid4().hex[:8]}@%h"]
    options = ["--pool", "prefork", "--concurrency", str(processes), "--loglevel", "WARNING"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    application = ["-A", "rebalancer_pipelines.orchestration.run_worker", "--workdir", str(home)]
    return ["celery", *application, "worker", *name, *options, *quiet]


def unusable_accounts(session: Session) -> list[str]:
    """The accounts that this machine cannot reach, a line each; most often their key is missing here."""
    with session.ports.transactions() as work:
        accounts = work.accounts.all()
    problems: list[str] = []
    for account in accounts:
        try:
            session.ports.venues.connect(account)
        except RebalancerError as error:
            problems.append(f"Account {account.name} cannot be used: {error}")
    return problems
