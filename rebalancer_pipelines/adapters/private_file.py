"""Files that hold secrets: made whole, and for their owner's eyes only."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def create_private_file(path: Path, content: bytes) -> None:
    """Write a new file with mode 0600, whole or not at all; one that is there by now is left alone.

    Raises `OSError` when it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # with mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            # A link, unlike a rename, never replaces what another process has made meanwhile.
            path.hardlink_to(name)
    finally:
        Path(name).unlink()
