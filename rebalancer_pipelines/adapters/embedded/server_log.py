"""Finding in a server's log what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_TAIL_BYTES = 64 * 1024


def log_sizes(folder: Path) -> Mapping[Path, int]:
    """Note how long the log files in `folder` are, for `written_since`."""
    return {path: path.stat().st_size for path in folder.glob("*.log")}


def written_since(folder: Path, before: Mapping[Path, int]) -> str:
    """Return what was added to the log files in `folder` after `before`, the end of it if it is long."""
    parts = []
    for path in sorted(folder.glob("*.log")):
        size = path.stat().st_size
        start = before.get(path, 0)
        if size < start:  # the server began the file anew
            start = 0
        with path.open("rb") as file:
            file.seek(max(start, size - _TAIL_BYTES))
            parts.append(file.read().decode(errors="replace"))
    return "\n".join(parts)


def worst_line(text: str) -> str:
    """Return the line that tells what went wrong: the first of the gravest complaints, or the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for pattern in ("PANIC:", "FATAL:", "ERROR:", "error:"):
        for line in lines:
            if pattern in line:
                return line
    return lines[-1] if lines else "no reason was given"
