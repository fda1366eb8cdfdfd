"""Advisory locks on files that the kernel releases when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rebalancer_pipelines.adapters.embedded.deadline import wait_until


class FileLock:
    """A lock on a file, shared by any number of holders or exclusive to one.

    Two locks on one file exclude each other within a process, too. A child made by fork without exec does
    not take the lock with it: there, the lock reads as not held.
    """

    def __init__(self, path: Path) -> None:
        """Prepare a lock on the file at `path`, which is made when first needed and never removed."""
        self._path = path
        self._descriptor: int | None = None
        _known_locks.add(self)

    @property
    def is_held(self) -> bool:
        """Whether this process holds the lock through this object."""
        return self._descriptor is not None

    @property
    def descriptor(self) -> int:
        """The open file; a program that inherits it holds the lock, too, until it ends.

        Raises:
            ValueError: the lock is not held.

        """
        if self._descriptor is None:
            raise ValueError(f"{self._path} is not locked")
        return self._descriptor

    def try_shared(self) -> bool:
        """Take the lock together with other sharers; tell whether nobody had it exclusively."""
        return self._try(fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """Take the lock alone, also out of a shared hold; tell whether nobody else had it."""
        return self._try(fcntl.LOCK_EX)

    def release(self) -> None:
        """Let go; does nothing if the lock is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @contextmanager
    def exclusive(self, seconds: float) -> Iterator[None]:
        """Hold the lock alone for a block.

        Raises:
            TimeoutError: somebody else had it for `seconds`.

        """
        if not wait_until(self.try_exclusive, seconds):
            raise TimeoutError(f"{self._path} stayed locked for {seconds:.0f} s")
        try:
            yield
        finally:
            self.release()

    def _try(self, operation: int) -> bool:
        held_before = self._descriptor is not None
        if self._descriptor is None:
            self._descriptor = _open(self._path)
        try:
            fcntl.flock(self._descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            if not held_before:
                self.release()
            return False
        except BaseException:
            self.release()
            raise
        return True


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    folder = path.parent.stat()
    if os.geteuid() == 0 and os.fstat(descriptor).st_uid != folder.st_uid:
        # Root works in somebody's folder: its owner must be able to take the lock later.
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
    return descriptor


_known_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget_locks_in_child() -> None:
    # Closing drops the child's share of the lock without unlocking the parent's, as LOCK_UN would do.
    for lock in list(_known_locks):
        lock.release()


os.register_at_fork(after_in_child=_forget_locks_in_child)
