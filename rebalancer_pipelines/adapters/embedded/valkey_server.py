"""Starting, taking over and stopping the embedded Valkey of a data folder. It keeps nothing on disk."""

from __future__ import annotations

import os
import secrets
import signal
from dataclasses import dataclass, field
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rebalancer_pipelines.adapters.embedded.binaries import valkey_program
from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.adapters.embedded.errors import EmbeddedServiceError
from rebalancer_pipelines.adapters.embedded.free_port import LOOPBACK, free_port
from rebalancer_pipelines.adapters.embedded.process_table import (
    EndingStep,
    RunningProcess,
    end_processes,
    running_processes,
)
from rebalancer_pipelines.adapters.embedded.server_account import ServerAccount, server_account
from rebalancer_pipelines.adapters.embedded.server_log import log_sizes, worst_line, written_since

_START_SECONDS = 10.0
_TAKEOVER_SECONDS = 2.0
_PORT_ATTEMPTS = 3
_LOG = "valkey.log"
_ENDING = (EndingStep(signal.SIGTERM, 2.0), EndingStep(signal.SIGKILL, 5.0))


@dataclass(frozen=True, slots=True)
class _Endpoint:
    port: int
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def answers(self) -> bool:
        # The password tells our server from a stranger who took the port.
        client = redis.Redis(
            host=LOOPBACK,
            port=self.port,
            password=self.password,
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()


@dataclass(frozen=True, slots=True)
class ValkeyServer:
    """The embedded Valkey of a data folder; a `Server` in the sense of `shared_server`."""

    folder: Path
    program: Path
    account: ServerAccount

    @property
    def name(self) -> str:
        """What the server is called, in file names and messages."""
        return "valkey"

    @property
    def configuration(self) -> Path:
        """The file with the settings, port and password; its path marks the server's process."""
        return self.folder / "valkey.conf"

    def ensure_running(self) -> str:
        """Start the server unless it runs, wait until it answers and return its URL.

        Raises:
            EmbeddedServiceError: it cannot be made to answer.
            OSError: the data folder cannot be used.

        """
        self.folder.mkdir(mode=0o700, exist_ok=True)  # still refuses what is not a folder
        self.account.own(self.folder)
        known = self._known_endpoint()
        if self._processes():
            if known is not None and wait_until(known.answers, _TAKEOVER_SECONDS):
                return known.url
            self.stop()
        return self._start(known).url

    def stop(self) -> None:
        """Stop the server; does nothing if it does not run.

        Raises:
            EmbeddedServiceError: it is still there.

        """
        if not end_processes(self._processes, _ENDING):
            raise EmbeddedServiceError(
                f"Valkey: processes {[p.pid for p in self._processes()]} of {self.folder} do not end; "
                f"see {self.folder / _LOG}, and end them by hand"
            )

    def _processes(self) -> list[RunningProcess]:
        mark = str(self.configuration)
        return [p for p in running_processes() if p.uid == self.account.uid and mark in p.command]

    def _start(self, former: _Endpoint | None) -> _Endpoint:
        # Users who survived the server can go on if it comes back where it was, with the same password.
        preferred = former.port if former is not None else None
        password = former.password if former is not None else secrets.token_hex(24)
        (self.folder / _LOG).unlink(missing_ok=True)
        reason = ""
        for _ in range(_PORT_ATTEMPTS):
            endpoint = _Endpoint(free_port(preferred), password)
            self._write_configuration(endpoint)
            before = log_sizes(self.folder)
            result = self.account.run(
                [self.program, self.configuration],
                needs=(self.program,),
                folder=self.folder,
                seconds=_START_SECONDS,
            )
            if result.returncode == 0:
                # It answers, or has given up, whichever comes first.
                wait_until(lambda: endpoint.answers() or not self._processes(), _START_SECONDS)  # noqa: B023
                if self._processes() and endpoint.answers():
                    return endpoint
            reason = worst_line(written_since(self.folder, before) or result.stderr or result.stdout)
            preferred = None
        raise EmbeddedServiceError(
            f"Valkey does not start in {self.folder}: {reason}; see {self.folder / _LOG}, "
            "or set REDIS_URL to a server of your own"
        )

    def _known_endpoint(self) -> _Endpoint | None:
        try:
            text = self.configuration.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        settings = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
        port, password = settings.get("port", ""), settings.get("requirepass", "")
        return _Endpoint(int(port), password) if port.isdecimal() and password else None

    def _write_configuration(self, endpoint: _Endpoint) -> None:
        settings = {
            "bind": LOOPBACK,
            "port": str(endpoint.port),
            "requirepass": endpoint.password,
            "daemonize": "yes",  # out of our session and of reach of a Ctrl-C in the terminal
            "pidfile": '""',
            "logfile": _LOG,
            "loglevel": "warning",
            "set-proc-title": "no",  # the command line is how we know the process again
            "save": '""',
            "appendonly": "no",
            "maxmemory": "64mb",
            "maxmemory-policy": "volatile-lru",  # never a run that waits for a worker: what waits does not expire
        }
        written = self.configuration.with_suffix(".new")
        written.unlink(missing_ok=True)
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("".join(f"{name} {value}\n" for name, value in settings.items()))
        self.account.own(written)
        written.replace(self.configuration)


def valkey_server(data_dir: Path) -> ValkeyServer:
    """Describe the Valkey of `data_dir`, which may not exist yet; nothing is started.

    Raises:
        EmbeddedServiceError: there is no program or no account for it.

    """
    folder = data_dir / "valkey"
    return ValkeyServer(folder, valkey_program(), server_account(folder, data_dir))
