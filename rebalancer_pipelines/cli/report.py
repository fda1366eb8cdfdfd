"""`rebalancer report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rebalancer_pipelines.adapters.report.page import report_page
from rebalancer_pipelines.adapters.whole_file import check_writable, write_whole
from rebalancer_pipelines.application.portfolio_report import read_report
from rebalancer_pipelines.cli.options import AsJson, DataDir
from rebalancer_pipelines.cli.output import print_json, say
from rebalancer_pipelines.cli.session import open_session


def report(
    name: str,
    out: Annotated[Path, typer.Option(help="The HTML file to write; one that is there is replaced.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write a page about a portfolio: value, drawdown, weights, drift, trades, fees; it loads nothing."""
    check_writable(out, field="out")
    with open_session(data_dir) as session:
        page = report_page(read_report(session.ports, name))
    write_whole(out, page, field="out")
    if as_json:
        print_json({"portfolio": name, "out": str(out.absolute()), "bytes": len(page.encode())})
    else:
        say(f"Wrote {out}: open it in a browser, or send it to somebody.")
