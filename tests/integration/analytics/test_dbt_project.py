"""The dbt project itself: its formulas, its documentation, and that nobody writes into it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rebalancer_pipelines.adapters.analytics.connection import connection_variables
from rebalancer_pipelines.adapters.analytics.documentation import write_documentation
from rebalancer_pipelines.adapters.analytics.project import PROJECT, AnalyticsProject
from tests.support.stored import Stored

from .conftest import BuildIt


@pytest.fixture(scope="module")
def manifest(analytics_folder: Path) -> dict[str, Any]:
    return json.loads(AnalyticsProject(analytics_folder).prepared_manifest().read_text())


def test_every_formula_has_a_unit_test_that_holds(
    ready_database: str, analytics_folder: Path, build: BuildIt, manifest: dict[str, Any]
) -> None:
    build()
    project = AnalyticsProject(analytics_folder)
    result = project.run(["test", "--select", "test_type:unit"], connection_variables(ready_database), "unit")
    assert result.exception is None
    results = getattr(result.result, "results", [])
    assert {str(found.node.name): str(found.message) for found in results if found.status != "pass"} == {}
    assert len(results) == len(manifest["unit_tests"]) >= 18


def test_every_table_and_column_is_described_and_every_mart_used(
    build: BuildIt, manifest: dict[str, Any], stored: Stored
) -> None:
    build()
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    for node in [*models, *manifest["sources"].values()]:
        assert node["description"], node["name"]
    for node in models:
        columns = stored.rows(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'analytics' AND table_name = %s",
            node["name"],
        )
        described = {name for name, column in node["columns"].items() if column["description"]}
        assert described == {row["column_name"] for row in columns}, node["name"]
        assert ("One row per" in node["description"]) or "touched" in node["name"], node["name"]
    exposures = manifest["exposures"].values()
    assert all(exposure["owner"]["name"] for exposure in exposures)
    shown = {name for exposure in exposures for name in exposure["depends_on"]["nodes"]}
    assert shown == {node["unique_id"] for node in models if node["path"].startswith("marts")}


def test_only_staging_reads_sources(manifest: dict[str, Any]) -> None:
    for node in manifest["nodes"].values():
        reads = [name for name in node.get("depends_on", {}).get("nodes", []) if name.startswith("source.")]
        assert not reads or node["path"].startswith("staging"), node["name"]


def test_the_documentation_is_one_page(ready_database: str, analytics_folder: Path, build: BuildIt) -> None:
    build()
    page = write_documentation(ready_database, analytics_folder)
    assert page.name == "index.html"
    assert "What nothing of this explains" in page.read_text()


def test_nothing_is_written_into_the_project(build: BuildIt) -> None:
    build()
    seen = subprocess.run(
        ["git", "status", "--porcelain", "--ignored", str(PROJECT)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line for line in seen.stdout.splitlines() if line.startswith("!!")] == []
