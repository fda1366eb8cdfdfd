"""Reading postmaster.pid, which a PostgreSQL server keeps in its data directory while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PostmasterFile:
    """What a server wrote about itself; it may be long gone."""

    pid: int
    port: int | None
    is_ready: bool


def read_postmaster_file(data: Path) -> PostmasterFile | None:
    """Read the file in the data directory `data`; None if there is none or it is not written out yet."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    # Lines: pid, data directory, start time, port, socket directory, listen address, shared memory, status.
    fields = [line.strip() for line in lines] + [""] * 8
    if not fields[0].isdecimal():
        return None
    port = int(fields[3]) if fields[3].isdecimal() else None
    return PostmasterFile(int(fields[0]), port, is_ready=fields[7] == "ready")
