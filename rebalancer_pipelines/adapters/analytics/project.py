"""The dbt project: where it stands, what version of it this is, and its manifest, which takes seconds to make."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from rebalancer_pipelines.adapters.analytics.connection import NO_DATABASE, NOWHERE, database_of
from rebalancer_pipelines.adapters.embedded.file_lock import FileLock
from rebalancer_pipelines.domain.errors import RebalancerError

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest

PROJECT = Path(__file__).resolve().parents[3] / "dbt_analytics"

_PARSED = "partial_parse.msgpack"
"""What dbt keeps of a project that it has read; unlike the manifest for others, it can be built from."""

_PATIENCE_SECONDS = 120.0
_SOURCES = frozenset({".sql", ".yml", ".md"})


class AnalyticsError(RebalancerError):
    """The marts could not be built; the text says in one line why."""


@dataclass(frozen=True)
class AnalyticsProject:
    """The project, with a folder under the data directory for all that dbt writes; the project itself is only read."""

    data_dir: Path

    @cached_property
    def digest(self) -> str:
        """Changes with every file of the project, and with dbt's version."""
        if not (PROJECT / "dbt_project.yml").is_file():
            raise AnalyticsError(f"the dbt project is missing at {PROJECT}; run the program from a clone")
        digest = hashlib.sha256(version("dbt-core").encode())
        for file in sorted(path for path in PROJECT.rglob("*") if path.suffix in _SOURCES):
            digest.update(f"{file.relative_to(PROJECT)}\0".encode())
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]

    @property
    def models(self) -> frozenset[str]:
        """Everything that a whole build makes, by dbt's unique ids."""
        nodes = json.loads(self.prepared_manifest().read_text(encoding="utf-8"))["nodes"]
        return frozenset(name for name, node in nodes.items() if node["resource_type"] == "model")

    @property
    def _folder(self) -> Path:
        return self.data_dir / "analytics"

    @property
    def _manifest(self) -> Path:
        return self._folder / self.digest / "manifest.json"

    def prepared_manifest(self) -> Path:
        """The project's manifest; it is made where this version of the project has none yet.

        Raises `AnalyticsError` when the project cannot be read.
        """
        if self._manifest.is_file():
            return self._manifest
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._folder / "prepare.lock").exclusive(_PATIENCE_SECONDS):
                if not self._manifest.is_file():
                    self._prepare()
        except TimeoutError as error:
            raise AnalyticsError(f"another process is preparing the dbt project: {error}; try again") from None
        return self._manifest

    def _prepare(self) -> None:
        made = self._folder / f"{self.digest}.{os.getpid()}"
        with _environment(NOWHERE):
            result = _invoke(["parse", *self._places(made)], None)
        if not result.success:
            shutil.rmtree(made, ignore_errors=True)
            raise AnalyticsError(f"the dbt project cannot be read: {one_line(result.exception)}")
        for older in self._folder.iterdir():
            if older.is_dir() and older != made:
                shutil.rmtree(older, ignore_errors=True)
        made.rename(self._manifest.parent)

    def run(self, arguments: Sequence[str], connection: Mapping[str, str], name: str = "target") -> dbtRunnerResult:
        """Run a dbt command in this process, without reading the project anew.

        What it writes goes to the folder `name`, in place of what the last one wrote there.
        """
        manifest = _load(self.prepared_manifest().with_name(_PARSED), database_of(connection))
        shutil.rmtree(self.written(name), ignore_errors=True)
        with _environment(connection):
            return _invoke([*arguments, *self._places(self.written(name))], manifest)

    def written(self, name: str) -> Path:
        """Where a command has written its files."""
        return self._folder / self.digest / name

    def _places(self, target: Path) -> list[str]:
        folders = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
        return [*folders, "--target-path", str(target), "--log-path", str(target)]


def one_line(error: BaseException | str | None) -> str:
    """What dbt says, in one line."""
    return " ".join(str(error).split())


def _load(file: Path, database: str) -> Manifest:
    """The project as dbt has read it; of a database there is nothing in it but the name."""
    # dbt takes seconds to import: only who runs it pays for it.
    from dbt.contracts.graph.manifest import Manifest  # noqa: PLC0415
    from dbt.parser.manifest import extended_mashumuro_decoder  # noqa: PLC0415

    manifest = Manifest.from_msgpack(file.read_bytes(), decoder=extended_mashumuro_decoder)
    for node in (*manifest.nodes.values(), *manifest.sources.values()):
        node.database = database
        if node.relation_name:
            node.relation_name = node.relation_name.replace(NO_DATABASE, database)
    return manifest


def _invoke(arguments: list[str], manifest: Manifest | None) -> dbtRunnerResult:
    from dbt.cli.main import dbtRunner  # noqa: PLC0415

    return dbtRunner(manifest=manifest).invoke(["--log-level", "none", "--log-level-file", "none", *arguments])


@contextmanager
def _environment(variables: Mapping[str, str]) -> Generator[None]:
    """Set variables for a block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
