"""The vendored recording, read beside the program."""

from __future__ import annotations

import gzip
from importlib.resources import files


def vendored_lines() -> list[list[str]]:
    """The cells of every line below the header."""
    folder = files("rebalancer_pipelines.adapters.prices") / "recording"
    text = gzip.decompress((folder / "recorded_market_1h_eur.csv.gz").read_bytes()).decode()
    return [line.split(",") for line in text.splitlines()[1:]]
