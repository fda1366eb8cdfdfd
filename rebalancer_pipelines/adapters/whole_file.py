"""Files that people ask for: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from rebalancer_pipelines.domain.errors import InvalidInputError


def check_writable(path: Path, *, field: str) -> None:
    """Raise `InvalidInputError` naming `field` unless a file can be written there."""
    if path.is_dir():
        raise InvalidInputError(field, str(path), "is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise InvalidInputError(field, str(path), "is no file that can be replaced; name another")
    if not path.absolute().parent.is_dir():
        raise InvalidInputError(field, str(path), "lies in a folder that is not there; make it first")
    if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        raise InvalidInputError(field, str(path), "lies in a folder that you may not write to; choose another")


def write_whole(path: Path, text: str, *, field: str) -> None:
    """Write a file, replacing what is there; whoever reads it sees the old one or the new one.

    Raises `InvalidInputError` naming `field` when it cannot be written; what was there stays.
    """
    target = path.resolve()
    draft = target.with_name(f".{target.name[:80]}.{uuid4().hex}")
    try:
        with draft.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        raise InvalidInputError(field, str(path), f"cannot be written: {error.strerror}; choose another") from None
    finally:
        draft.unlink(missing_ok=True)
