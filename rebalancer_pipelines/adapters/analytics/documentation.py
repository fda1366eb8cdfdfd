"""The marts' documentation: one page that needs neither a server nor the network."""

from __future__ import annotations

from pathlib import Path

from rebalancer_pipelines.adapters.analytics.connection import connection_variables
from rebalancer_pipelines.adapters.analytics.project import AnalyticsError, AnalyticsProject, one_line

_FOLDER = "docs"


def write_documentation(database_url: str, data_dir: Path) -> Path:
    """Write the page, in place of an older one; returns where it is. Raises `AnalyticsError`."""
    project = AnalyticsProject(data_dir)
    result = project.run(["docs", "generate", "--static"], connection_variables(database_url), _FOLDER)
    written = project.written(_FOLDER) / "static_index.html"
    if not result.success or not written.is_file():
        raise AnalyticsError(f"dbt could not write the documentation: {one_line(result.exception)}")
    page = written.with_name("index.html")
    written.replace(page)
    return page
