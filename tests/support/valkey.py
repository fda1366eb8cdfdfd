"""A Valkey of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rebalancer_pipelines.adapters.embedded.shared_server import shared
from rebalancer_pipelines.adapters.embedded.valkey_server import valkey_server


@contextmanager
def running_valkey(folder: Path) -> Iterator[str]:
    """The URL of the embedded Valkey of a new folder, for a block."""
    folder.mkdir(parents=True)
    with shared(valkey_server(folder), folder) as url:
        yield url
