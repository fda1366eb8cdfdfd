"""Dagster's long-lived processes under one parent: started, watched, and ended with everything they started."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.adapters.embedded.free_port import free_port
from rebalancer_pipelines.adapters.embedded.process_table import EndingStep, end_processes, running_processes
from rebalancer_pipelines.adapters.ui_guard.access_token import TOKEN_VARIABLE
from rebalancer_pipelines.cli.ui_access import UiAccess
from rebalancer_pipelines.cli.worker import worker_command
from rebalancer_pipelines.domain.errors import RebalancerError
from rebalancer_pipelines.orchestration.code_server import reload_definitions
from rebalancer_pipelines.orchestration.instance import ANALYTICS_LOCATION, DEFINITIONS, LOCATION

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
"""Loaded here, since a child must take no lock between fork and exec: another thread may have held it."""

_PYTHON = Path(sys.executable).name
_WEBSERVER = "rebalancer_pipelines.orchestration.webserver"
_READY_SECONDS = 120.0
_SERVED_LOCATION = """  - grpc_server:
      host: 127.0.0.1
      port: {port}
      location_name: {location}
"""
_CODE_SERVERS = {LOCATION: "code-server", ANALYTICS_LOCATION: "analytics-server"}
"""One per code location, by the name of its process and its log."""
_LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus locationOrLoadError { __typename \
... on PythonError { message } } } } } }"


@dataclass
class DagsterProcesses:
    """The code servers, the webserver, the daemon and the workers of one installation.

    Each has a session of its own, so a terminal's Ctrl-C reaches only the parent, which then ends them in order. The
    kernel ends them when the parent is killed.
    """

    home: Path
    logs: Path
    environment: Mapping[str, str]
    ui: UiAccess
    workers: int = 0
    """How many runs at a time warm processes of ours execute; 0: none of ours does."""
    _code_ports: dict[str, int] = field(default_factory=dict)
    _children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> None:
        """Start loading the definitions; ends what a killed parent may have left behind first."""
        self._end_leftovers()
        self.logs.mkdir(exist_ok=True)
        for location in _CODE_SERVERS:
            self._code_ports[location] = free_port()
        # A code server for all who ask: with modules in the workspace, webserver and daemon would each load their own.
        served = (_SERVED_LOCATION.format(port=port, location=name) for name, port in self._code_ports.items())
        self._workspace.write_text("load_from:\n" + "".join(served))
        for location, process in _CODE_SERVERS.items():
            self._launch(process, self._code_server(location))
        if self.workers:
            self._launch("workers", worker_command(self.home, self.workers))

    def open_ui(self) -> None:
        """Start the webserver and the daemon; returns once the UI shows the code locations.

        Raises `RebalancerError` naming the log when that does not come about.
        """
        # Both would report an error for a minute if they asked before the code server listens.
        for location, process in _CODE_SERVERS.items():
            self._wait(lambda port=self._code_ports[location]: _listens(port), process)
        served = ["-P", "-m", _WEBSERVER, "--workspace", str(self._workspace), *self.ui.arguments]
        self._launch("webserver", [_PYTHON, *served], self.ui.environment)
        self._launch("daemon", ["dagster-daemon", "run", "-w", str(self._workspace)])
        self._wait(lambda: self._location() is not None, "webserver")
        problem = self._location()
        if problem:
            logs = ", ".join(f"{process}.log" for process in _CODE_SERVERS.values())
            raise RebalancerError(f"Dagster cannot load the definitions: {problem}; see {logs} in {self.logs}")

    def reload_definitions(self) -> None:
        """Load them anew, with the schedules that the portfolios have now. Raises `RebalancerError`."""
        reload_definitions(self._code_ports[LOCATION])

    def ended(self) -> str | None:
        """The name of a process that has ended by itself, if one has."""
        return next((name for name, child in self._children.items() if child.poll() is not None), None)

    def stop(self) -> None:
        """End all with everything they started; returns when they are gone."""
        for number, seconds in ((signal.SIGINT, 8.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            alive = [child for child in self._children.values() if _group_is_alive(child)]
            for child in alive:
                _signal_group(child.pid, number)
            if wait_until(lambda: not any(_group_is_alive(c) for c in self._children.values()), seconds):
                return

    def _code_server(self, location: str) -> list[str]:
        served_at = ["-h", "127.0.0.1", "-p", str(self._code_ports[location]), "--use-python-environment-entry-point"]
        served = ["-m", DEFINITIONS[location], "--location-name", location, "-d", str(self.home)]
        return ["dagster", "code-server", "start", *served_at, *served]

    @property
    def _workspace(self) -> Path:
        return self.home / "workspace.yaml"

    def _wait(self, condition: Callable[[], bool], process: str) -> None:
        if not wait_until(lambda: self.ended() is not None or condition(), _READY_SECONDS):
            raise RebalancerError(f"Dagster's {process} was not ready in time; see {self.logs / process}.log")
        ended = self.ended()
        if ended is not None:
            raise RebalancerError(f"Dagster's {ended} ended at its start; see {self.logs / ended}.log")

    def _launch(self, name: str, command: Sequence[str], secrets: Mapping[str, str] | None = None) -> None:
        inherited = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
        program = Path(sys.executable).with_name(command[0])
        with (self.logs / f"{name}.log").open("wb") as log:
            self._children[name] = subprocess.Popen(
                [str(program), *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**inherited, **self.environment, **(secrets or {})},
                cwd=self.home,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - a single system call
            )

    def _location(self) -> str | None:
        """None while it loads, empty when it is loaded, else what went wrong."""
        answer = _graphql(self.ui, _LOCATIONS)
        entries = (answer or {}).get("data", {}).get("workspaceOrError", {}).get("locationEntries", [])
        if not entries or any(entry["loadStatus"] != "LOADED" for entry in entries):
            return None
        failed = [e["locationOrLoadError"] for e in entries if e["locationOrLoadError"]["__typename"] == "PythonError"]
        return failed[0]["message"].splitlines()[0] if failed else ""

    def _end_leftovers(self) -> None:
        marks = {str(self.home), str(self._workspace)}
        end_processes(
            lambda: [process for process in running_processes() if marks.intersection(process.command)],
            [EndingStep(signal.SIGTERM, 10.0), EndingStep(signal.SIGKILL, 5.0)],
        )


def _graphql(ui: UiAccess, query: str) -> dict[str, Any] | None:
    connection = http.client.HTTPConnection(ui.asked_at, ui.port, timeout=5)
    headers = {"Content-Type": "application/json", **ui.headers}
    try:
        connection.request("POST", "/graphql", json.dumps({"query": query}).encode(), headers)
        return json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _group_is_alive(child: subprocess.Popen[bytes]) -> bool:
    child.poll()
    try:
        os.killpg(child.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
