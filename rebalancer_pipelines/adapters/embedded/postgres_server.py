"""Starting, taking over and stopping the embedded PostgreSQL of a data folder."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from rebalancer_pipelines.adapters.embedded.binaries import PostgresBinaries, postgres_binaries
from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.adapters.embedded.errors import EmbeddedServiceError
from rebalancer_pipelines.adapters.embedded.file_lock import FileLock
from rebalancer_pipelines.adapters.embedded.free_port import LOOPBACK, free_port
from rebalancer_pipelines.adapters.embedded.postgres_folder import (
    DATABASE,
    PostgresFolder,
    create_postgres_folder,
)
from rebalancer_pipelines.adapters.embedded.postmaster_file import PostmasterFile, read_postmaster_file
from rebalancer_pipelines.adapters.embedded.process_table import (
    EndingStep,
    RunningProcess,
    end_processes,
    running_processes,
)
from rebalancer_pipelines.adapters.embedded.server_account import ServerAccount, server_account
from rebalancer_pipelines.adapters.embedded.server_log import log_sizes, worst_line, written_since

logger = logging.getLogger(__name__)

_PG_CTL_SECONDS = 60
_TRANSITION_SECONDS = 90.0
_ANSWER_SECONDS = 30.0
_SURVIVOR_SECONDS = 2.0
_PORT_ATTEMPTS = 5
_REVIVALS = 3

_END_SURVIVORS = (EndingStep(signal.SIGQUIT, 1.0), EndingStep(signal.SIGKILL, 5.0))
"""For what is left of a killed server: nothing there can be saved, the write-ahead log has it all."""

_END_SERVER = (EndingStep(signal.SIGINT, 20.0), *_END_SURVIVORS)
"""A fast shutdown first, which writes a checkpoint."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """The embedded PostgreSQL of a data folder; a `Server` in the sense of `shared_server`."""

    folder: PostgresFolder
    binaries: PostgresBinaries
    account: ServerAccount
    durable: bool

    @property
    def name(self) -> str:
        """What the server is called, in file names and messages."""
        return "postgres"

    def ensure_running(self) -> str:
        """Start the server unless it runs, wait until it answers a query and return its URL.

        Raises:
            EmbeddedServiceError: it cannot be made to answer.
            OSError: the data folder cannot be used.

        """
        if self.folder.exists():
            self.account.own(self.folder.root)
        else:
            create_postgres_folder(self.folder, self.binaries, self.account, durable=self.durable)
        password = self._password()
        for _ in range(_REVIVALS):
            running = self._settled() or self._start()
            # The server offers no TLS on loopback; a PGSSLMODE in the user's environment must not ask for it.
            url = f"postgresql://{DATABASE}:{password}@{LOOPBACK}:{running.port}/{DATABASE}?sslmode=disable"
            if self._answers(url):
                return url
        raise self._not_started("it is killed again and again")

    def stop(self) -> None:
        """Stop the server with everything that belongs to it; does nothing if it does not run.

        Raises:
            EmbeddedServiceError: a process of it is still there.

        """
        if not self.folder.exists():
            return
        if self._postmaster() is not None:
            stopped = self._pg_ctl("stop", "-m", "fast")
            if stopped.returncode != 0:
                logger.warning("pg_ctl stop: %s", worst_line(stopped.stderr))
        # A start that was interrupted before postmaster.pid was written leaves a server that pg_ctl cannot see.
        if not end_processes(self._processes, _END_SERVER):
            raise EmbeddedServiceError(
                f"PostgreSQL: processes {[p.pid for p in self._processes()]} of {self.folder.data} do not end; "
                f"see {self.folder.log}, and end them by hand"
            )

    def _processes(self) -> list[RunningProcess]:
        identity = self.folder.identity
        return [
            process
            for process in running_processes()
            if process.uid == self.account.uid and any(identity in word for word in process.command)
        ]

    def _postmaster(self) -> PostmasterFile | None:
        """Return what postmaster.pid says if its process is alive and really serves this folder."""
        written = read_postmaster_file(self.folder.data)
        if written is None or all(process.pid != written.pid for process in self._processes()):
            return None
        return written

    def _settled(self) -> PostmasterFile | None:
        """Wait out whatever happens to the server now: afterwards it serves, or nothing of it is left."""

        def serves() -> bool:
            written = self._postmaster()
            return written is not None and written.is_ready

        def orphaned() -> bool:
            return bool(self._processes()) and self._postmaster() is None

        def settled() -> bool:
            if orphaned() and not wait_until(lambda: not orphaned(), _SURVIVOR_SECONDS):
                # Backends of a killed postmaster, or a start that does not get anywhere. PostgreSQL would
                # refuse to start beside them: "pre-existing shared memory block is still in use".
                end_processes(self._processes, _END_SURVIVORS)
            return serves() or not self._processes()

        if not wait_until(settled, _TRANSITION_SECONDS):
            raise EmbeddedServiceError(
                f"PostgreSQL: the server of {self.folder.data} has neither started nor ended within "
                f"{_TRANSITION_SECONDS:.0f} s; see {self.folder.log}, and try again later"
            )
        return self._postmaster()

    def _start(self) -> PostmasterFile:
        self.folder.check_version(self.binaries)
        # PostgreSQL knows a rival by its process id and its shared memory, and sees neither when the rival runs in
        # another container on the same volume: two servers would write the same files. The kernel's file locks do
        # reach across, and the server's processes inherit this one.
        alive = FileLock(self.folder.alive)
        if not wait_until(alive.try_exclusive, _SURVIVOR_SECONDS):
            raise EmbeddedServiceError(
                f"PostgreSQL: {self.folder.data} is in use by a server that cannot be seen from here, as one in "
                "another container; run this command over there, stop that server, or choose another --data-dir"
            )
        try:
            return self._start_on_a_free_port(alive)
        finally:
            alive.release()

    def _start_on_a_free_port(self, alive: FileLock) -> PostmasterFile:
        left = read_postmaster_file(self.folder.data)
        if left is not None and _exists(left.pid):
            # The number now belongs to a stranger, whom PostgreSQL would take for a running server.
            (self.folder.data / "postmaster.pid").unlink()
        # Users who survived the server can go on if it comes back where it was.
        preferred = left.port if left is not None else None
        start_log = self.folder.log / "start.log"
        start_log.unlink(missing_ok=True)
        for _ in range(_PORT_ATTEMPTS):
            before = log_sizes(self.folder.log)
            settings = _settings(self.folder.identity, free_port(preferred), durable=self.durable)
            options = " ".join(shlex.quote(f"--{name}={value}") for name, value in settings.items())
            result = self._pg_ctl("start", "-o", options, "-l", str(start_log), inherits=(alive.descriptor,))
            running = self._postmaster()
            if result.returncode == 0 and running is not None:
                return running
            log = written_since(self.folder.log, before)
            if "Address already in use" not in log:
                raise self._not_started(worst_line(log or result.stderr))
            preferred = None
        raise self._not_started("every port that was free a moment before is taken")

    def _not_started(self, reason: str) -> EmbeddedServiceError:
        return EmbeddedServiceError(
            f"PostgreSQL does not start in {self.folder.data}: {reason}; see the logs in {self.folder.log}, "
            "free space on its disk, or choose another --data-dir"
        )

    def _pg_ctl(self, action: str, *arguments: str, inherits: Sequence[int] = ()) -> subprocess.CompletedProcess[str]:
        return self.account.run(
            [
                self.binaries.program("pg_ctl"),
                action,
                *("-D", self.folder.data),
                *("-w", "-t", str(_PG_CTL_SECONDS)),
                *arguments,
            ],
            needs=self.binaries.needed_paths,
            folder=self.folder.root,
            seconds=_PG_CTL_SECONDS + 15.0,
            inherits=inherits,
        )

    def _password(self) -> str:
        try:
            return self.folder.password.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            raise EmbeddedServiceError(
                f"PostgreSQL: the password file {self.folder.password} is missing; "
                f"restore it, or move {self.folder.root} away to start empty"
            ) from None

    def _answers(self, url: str) -> bool:
        """Wait until the server answers a query; tell False if it dies meanwhile.

        Raises:
            EmbeddedServiceError: it lives and does not answer.

        """
        refusal: str | None = None

        def answered_or_died() -> bool:
            nonlocal refusal
            try:
                with psycopg.connect(url, connect_timeout=5) as connection:
                    connection.execute("SELECT 1")
                refusal = None
            except psycopg.OperationalError as error:
                refusal = str(error)
            return refusal is None or self._postmaster() is None

        if not wait_until(answered_or_died, _ANSWER_SECONDS):
            raise EmbeddedServiceError(
                f"PostgreSQL of {self.folder.data} runs but does not answer: {refusal}; "
                f"see the logs in {self.folder.log}, and restart"
            )
        return refusal is None


def postgres_server(data_dir: Path, *, durable: bool) -> PostgresServer:
    """Describe the PostgreSQL of `data_dir`, which may not exist yet; nothing is started.

    Without `durable` nothing is written through to the disk: for tests, never for data that matters.

    Raises:
        EmbeddedServiceError: there are no programs or no account for it, or the path cannot be used.

    """
    folder = PostgresFolder(data_dir / "postgres")
    if any(character in str(data_dir) for character in '"$`\\\n\r'):
        # pg_ctl puts the path between double quotes into a shell command.
        raise EmbeddedServiceError(
            f"PostgreSQL: the data folder {data_dir} has a quote, dollar, backtick, backslash or line break "
            "in its path; choose another --data-dir"
        )
    account = server_account(folder.root, data_dir)
    return PostgresServer(folder, postgres_binaries(), account, durable=durable)


def _settings(identity: str, port: int, *, durable: bool) -> Mapping[str, str]:
    settings = {
        "cluster_name": identity,
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "max_wal_size": "512MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "password_encryption": "scram-sha-256",
        # A ring of a file per weekday, so that the log of a server that runs for months stays small.
        "logging_collector": "on",
        "log_directory": "../log",
        "log_filename": "postgresql-%a.log",
        "log_truncate_on_rotation": "on",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_checkpoints": "off",
    }
    if durable:
        return {**settings, "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
    return {**settings, "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
