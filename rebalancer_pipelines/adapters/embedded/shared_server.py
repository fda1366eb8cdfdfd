"""One server for all users of a data folder: the first one starts it, the last one to leave stops it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rebalancer_pipelines.adapters.embedded.errors import EmbeddedServiceError
from rebalancer_pipelines.adapters.embedded.file_lock import FileLock

logger = logging.getLogger(__name__)

_START_LOCK_SECONDS = 240.0
"""Longer than the slowest start or stop that another user may be busy with."""


class Server(Protocol):
    """A server of one data folder. Its methods are called by one user of the folder at a time."""

    @property
    def name(self) -> str:
        """What the server is called, in file names and messages."""
        ...

    def ensure_running(self) -> str:
        """Start the server unless it runs, wait until it answers and return its URL.

        Raises:
            EmbeddedServiceError: it cannot be made to answer.
            OSError: the data folder cannot be used.

        """
        ...

    def stop(self) -> None:
        """Stop the server with everything that belongs to it; does nothing if it does not run.

        Raises:
            EmbeddedServiceError: a part of it is still there.

        """
        ...


@contextmanager
def shared(server: Server, data_dir: Path) -> Iterator[str]:
    """Use `server` for a block, together with other processes, and yield its URL.

    Every user holds a lock until it leaves or dies, so a server left behind by a killed user is taken over
    by the next one and stopped by the last one. A process that was forked inside the block is no user: when
    it leaves the block, nothing happens. A server that does not stop is logged, not raised: the work of the
    block is done, and the next user deals with it.

    Raises:
        EmbeddedServiceError: the server cannot be used.

    """
    start = FileLock(data_dir / f"{server.name}.start.lock")
    users = FileLock(data_dir / f"{server.name}.users.lock")
    with _one_line_errors(server, data_dir), start.exclusive(_START_LOCK_SECONDS):
        users.try_shared()  # only ever refused by an exclusive hold, which is taken inside the start lock
        try:
            url = server.ensure_running()
        except BaseException:
            _leave(server, users)
            raise
    try:
        yield url
    finally:
        if users.is_held:
            try:
                with _one_line_errors(server, data_dir), start.exclusive(_START_LOCK_SECONDS):
                    _leave(server, users)
            except EmbeddedServiceError as error:
                logger.error("Not stopped: %s", error)  # noqa: TRY400  (the text is the whole message)
            finally:
                users.release()


def _leave(server: Server, users: FileLock) -> None:
    try:
        if users.try_exclusive():
            server.stop()
    finally:
        users.release()


@contextmanager
def _one_line_errors(server: Server, data_dir: Path) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise EmbeddedServiceError(
            f"{server.name}: another process has been starting or stopping it for too long ({error}); "
            "end that process, or choose another --data-dir"
        ) from error
    except OSError as error:
        raise EmbeddedServiceError(
            f"{server.name}: the data folder {data_dir} cannot be used: {error.strerror or error}"
            f"{f' ({error.filename})' if error.filename else ''}; "
            "make it writable, free space on its disk, or choose another --data-dir"
        ) from error
