"""Dagster's webserver behind our guard: `python -m rebalancer_pipelines.orchestration.webserver`.

Dagster's own command serves whoever can reach it; this one serves the same application to whom the guard lets in.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.log import configure_loggers
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.cli import DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_MAX_OVERFLOW, DEFAULT_POOL_RECYCLE
from dagster_webserver.version import __version__

from rebalancer_pipelines.adapters.clock import SystemClock
from rebalancer_pipelines.adapters.ui_guard.access_token import TOKEN_VARIABLE, token_from_environment
from rebalancer_pipelines.adapters.ui_guard.guard import Guard
from rebalancer_pipelines.adapters.ui_guard.login import Login
from rebalancer_pipelines.adapters.ui_guard.served_hosts import parse_address, served_hosts
from rebalancer_pipelines.domain.errors import InvalidInputError

_POLL_MILLISECONDS = 2000
_BAD_INPUT = 2


def serve(
    workspace: Path, *, address: str, port: int, allow_hosts: Sequence[str] = (), read_only: bool = False, auth: bool
) -> None:
    """Serve the UI of the instance in `DAGSTER_HOME` until the process is stopped.

    With `auth` the environment holds the token; it is taken out, so that nothing started from here inherits it.
    Raises `InvalidInputError`.
    """
    token = token_from_environment() if auth else None
    os.environ.pop(TOKEN_VARIABLE, None)
    if auth and token is None:
        raise InvalidInputError(TOKEN_VARIABLE, None, "is not set; 'rebalancer up --auth' sets it")
    listening = parse_address(address, login=auth)
    hosts = served_hosts(listening, port, allow_hosts)
    login = Login(token, SystemClock(), port=port) if token else None
    configure_loggers()
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW)
        with WorkspaceProcessContext(
            instance,
            workspace_load_target=WorkspaceFileTarget([str(workspace)]),
            version=__version__,
            read_only=read_only,
        ) as context:
            app = create_app_from_workspace_process_context(context, live_data_poll_rate=_POLL_MILLISECONDS)
            uvicorn.run(
                Guard(app, hosts, login),
                host=listening,
                port=port,
                log_level="warning",
                access_log=False,
                server_header=False,
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and serve; 2 for bad input, told in one line."""
    parser = argparse.ArgumentParser(prog="webserver", description="Dagster's webserver behind the guard.")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--allow-host", action="append", default=[])
    parser.add_argument("--read-only", action="store_true")
    parser.add_argument("--auth", action="store_true")
    chosen = parser.parse_args(arguments)
    try:
        serve(
            chosen.workspace,
            address=chosen.host,
            port=chosen.port,
            allow_hosts=chosen.allow_host,
            read_only=chosen.read_only,
            auth=chosen.auth,
        )
    except InvalidInputError as error:
        sys.stderr.write(f"Error: {error}\n")
        return _BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
