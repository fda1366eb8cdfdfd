"""Who runs on this machine, read from /proc, and how to end them."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rebalancer_pipelines.adapters.embedded.deadline import wait_until

logger = logging.getLogger(__name__)

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """A process that executes something: neither a zombie nor a kernel thread."""

    pid: int
    uid: int
    command: tuple[str, ...]


def running_processes() -> Iterator[RunningProcess]:
    """Yield every process that runs now, this one left out.

    The command line is read because it is open to every account, unlike the working directory or the
    environment, which root itself may not read in a container without CAP_SYS_PTRACE.

    Raises:
        FileNotFoundError: this system has no /proc.

    """
    own = os.getpid()
    for entry in os.scandir(_PROC):
        if not entry.name.isdecimal() or int(entry.name) == own:
            continue
        try:
            uid = entry.stat().st_uid
            command = (_PROC / entry.name / "cmdline").read_bytes()
        except OSError:  # it ended while we looked, or is hidden from us and so not ours
            continue
        words = tuple(word.decode(errors="replace") for word in command.split(b"\0") if word)
        if words:
            yield RunningProcess(int(entry.name), uid, words)


@dataclass(frozen=True, slots=True)
class EndingStep:
    """A signal, and how long to wait for it to have its effect."""

    signal: signal.Signals
    seconds: float


def end_processes(find: Callable[[], Sequence[RunningProcess]], steps: Sequence[EndingStep]) -> bool:
    """Signal what `find` returns, step by step, until it returns nothing; tell whether that was reached."""
    for step in steps:
        for process in find():
            logger.info("Ending process %d with %s", process.pid, step.signal.name)
            _signal(process.pid, step.signal)
        if wait_until(lambda: not find(), step.seconds):
            return True
    return False


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        # Root without CAP_KILL: the caller sees that the process is still there and reports it.
        logger.warning("Not permitted to signal process %d", pid)
