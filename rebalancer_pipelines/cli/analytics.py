"""`rebalancer analytics …`: the marts and their documentation."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from rebalancer_pipelines.adapters.analytics.documentation import write_documentation
from rebalancer_pipelines.cli.launch import launch_analytics, prepare_dagster
from rebalancer_pipelines.cli.options import AsJson, DataDir
from rebalancer_pipelines.cli.output import print_json, say
from rebalancer_pipelines.cli.progress import waiting
from rebalancer_pipelines.cli.session import open_session
from rebalancer_pipelines.domain.errors import RebalancerError

app = typer.Typer(help="The statistics: build them, read what each means.", no_args_is_help=True)


@app.command("build")
def build(
    full: Annotated[bool, typer.Option("--full", help="From the beginning, not only what has changed.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Build the marts and test them; happens by itself while 'rebalancer up' runs."""
    started = time.monotonic()
    with open_session(data_dir) as session, waiting("Building the marts", hidden=as_json):
        prepare_dagster(session)
        problem = launch_analytics(session, full=full)
    if problem is not None:
        raise RebalancerError(f"the marts are not up to date: {problem}")
    if as_json:
        print_json({"built": True, "full": full})
        return
    say(f"The marts are up to date, in the schema 'analytics'; built in {time.monotonic() - started:.0f} s.")


@app.command("docs")
def docs(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Write the documentation of every table and column as one page, and say where it is."""
    with open_session(data_dir) as session, waiting("Writing the documentation", hidden=as_json):
        page = write_documentation(session.services.database_url, session.data_dir)
    if as_json:
        print_json({"page": str(page)})
        return
    say(f"Open {page}")
