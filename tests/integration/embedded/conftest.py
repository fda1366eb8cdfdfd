"""Processes that use embedded services, and a look at the servers they leave running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

_REPOSITORY = Path(__file__).parents[3]
_SCRIPT = Path(__file__).with_name("user_of_services.py")
_SERVERS = ("postgres", "pg_ctl", "initdb", "valkey-server", "sh")
NOBODY = 65534


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def servers_of(data_dir: Path) -> list[psutil.Process]:
    """Every server process that has to do with the folder: by its command line or by working in the folder."""

    def concerned(process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE or process.name() not in _SERVERS:
                return False
            return str(data_dir) in " ".join(process.cmdline()) or str(data_dir) in process.cwd()
        except psutil.Error:
            return False

    return [process for process in psutil.process_iter() if concerned(process)]


def postmaster_pid(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])


def kill_and_wait(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)

    def dead(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    assert eventually(lambda: all(dead(pid) for pid in pids))


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


@dataclass
class User:
    """A process in a group of its own that uses the services of a folder."""

    data_dir: Path
    process: subprocess.Popen[str]
    answers: list[dict[str, Any]] = field(default_factory=list)

    def next_answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the process ended with {self.process.wait()}"
        return json.loads(line)

    def urls(self) -> tuple[str, str | None]:
        answer = self.next_answer()
        assert answer["step"] == "running", answer
        return answer["database_url"], answer["redis_url"]

    def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(60) == 0

    def kill_group(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def start_user() -> Iterator[Callable[..., User]]:
    users: list[User] = []

    def start(data_dir: Path, *, uid: int | None = None, without: str | None = None) -> User:
        account = "-" if uid is None else str(uid)
        process = subprocess.Popen(
            [sys.executable, str(_SCRIPT), str(data_dir), account, *([without] if without else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
            start_new_session=True,
        )
        users.append(User(data_dir, process))
        return users[-1]

    yield start
    for user in users:
        if user.process.poll() is None:
            user.kill_group()
        for stream in (user.process.stdin, user.process.stdout):
            if stream is not None:
                stream.close()
    for user in users:
        for server in servers_of(user.data_dir):
            server.kill()


@pytest.fixture(params=["own account", "ordinary account"])
def uid(request: pytest.FixtureRequest) -> int | None:
    """The account of the users: that of the tests, and where the tests are root's, one without rights, too."""
    if request.param == "own account":
        return None
    if os.geteuid() != 0:
        pytest.skip("the tests run under an ordinary account already")
    return NOBODY


@pytest.fixture
def data_dir(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A missing folder with a space in its path, in a folder that only the users' account may enter."""
    uid = request.getfixturevalue("uid") if "uid" in request.fixturenames else None
    if uid is None:
        home = tmp_path / "private home"
        home.mkdir(mode=0o700)
        yield home / "data"
        return
    # The temporary folders of pytest are closed to other accounts, so this one lies beside them.
    home = Path(tempfile.mkdtemp(prefix="embedded services "))
    os.chown(home, uid, uid)
    yield home / "data"
    shutil.rmtree(home)
