"""The account under which the embedded servers run, and running a command under it."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rebalancer_pipelines.adapters.embedded import account_launcher
from rebalancer_pipelines.adapters.embedded.errors import EmbeddedServiceError

_PREFERRED_ACCOUNTS = ("rebalancer", "postgres", "nobody")


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """An account that owns a server's files and runs its processes. Never root."""

    uid: int
    gid: int

    @property
    def is_own(self) -> bool:
        """Whether this process already runs under the account."""
        return os.geteuid() == self.uid

    def own(self, path: Path) -> None:
        """Give a file or folder that we made to the account, and all that is in the folder.

        Does nothing if it has it already; a folder comes last, so that an interrupted change is done again.
        """
        path = path.resolve()  # somebody may have moved the folder to another disk and left a link
        if path.stat().st_uid == self.uid:
            return
        for folder, _, files in os.walk(path, topdown=False):
            for name in files:
                os.chown(Path(folder) / name, self.uid, self.gid, follow_symlinks=False)
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)
        os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def run(
        self,
        command: Sequence[str | Path],
        *,
        needs: Iterable[Path],
        folder: Path,
        text: str = "",
        inherits: Sequence[int] = (),
        seconds: float,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end under the account, in a session of its own and in `folder`.

        The session keeps a Ctrl-C in the terminal from reaching the command; the small environment keeps
        settings meant for other servers (PGDATA, PGOPTIONS, a locale) from reaching it. `needs` are the
        other paths that the command must be able to read, `text` is its standard input, `inherits` are
        open files that it and its children keep.

        Raises:
            EmbeddedServiceError: the account or the program cannot be used on this machine, or the command
                did not end within `seconds`.

        """
        program = Path(command[0])
        try:
            result = subprocess.run(
                [*self._launcher(folder, needs), *map(str, command)],
                input=text,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                cwd=folder if self.is_own else "/",  # the launcher goes there with the rights of the account
                env=_environment(),
                start_new_session=True,
                pass_fds=inherits,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise EmbeddedServiceError(
                f"{program.name} did not end within {seconds:.0f} s in {folder}, where its log is; "
                "try again when the machine is less busy"
            ) from error
        except OSError as error:
            raise EmbeddedServiceError(
                f"{program} does not start in {folder} ({error.strerror or error}); install the program's "
                "packages again, or choose another --data-dir"
            ) from error
        if not self.is_own and result.returncode == account_launcher.EXIT_REFUSED:
            raise EmbeddedServiceError(
                f"A server cannot run in {folder}: {result.stderr.strip()}; choose another --data-dir, "
                "run as an ordinary user, or set DATABASE_URL to a server of your own"
            )
        return result

    def _launcher(self, folder: Path, needs: Iterable[Path]) -> list[str]:
        if self.is_own:
            return []
        script = str(Path(account_launcher.__file__).resolve())
        return [sys.executable, "-I", "-S", script, str(self.uid), str(self.gid), str(folder), *map(str, needs), "--"]


def server_account(*folders: Path) -> ServerAccount:
    """Choose the account: this process's own, or for root that of the first of `folders` not root's.

    A server's own folder comes first in `folders`, so that it stays with the account that it was made for,
    then the data folder: root working in somebody's folder leaves files that this somebody can use.

    Raises:
        EmbeddedServiceError: root, and no unprivileged account exists.

    """
    if os.geteuid() != 0:
        return ServerAccount(os.geteuid(), os.getegid())
    for folder in folders:
        if folder.exists() and folder.stat().st_uid != 0:
            return ServerAccount(folder.stat().st_uid, folder.stat().st_gid)
    for name in _PREFERRED_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return ServerAccount(entry.pw_uid, entry.pw_gid)
    raise EmbeddedServiceError(
        "PostgreSQL refuses to run as root and there is no other account for it: "
        f"create one named {_PREFERRED_ACCOUNTS[0]}, or run as an ordinary user"
    )


def _environment() -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**inherited, "LC_ALL": "C", "TZ": "UTC"}
