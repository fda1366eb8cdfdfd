"""What a person at a terminal sees while something takes long; programs see nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rebalancer_pipelines.cli.output import errors

_WHAT = TextColumn("{task.description}")


@contextmanager
def counting_each(*steps: str, hidden: bool, console: Console = errors) -> Generator[Callable[[str, int, int], None]]:
    """A bar for each step; what it yields is told of which step how much is done, of how much."""
    columns = (_WHAT, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with _shown(*columns, hidden=hidden, console=console) as bars:
        tasks = {step: bars.add_task(step, total=None) for step in steps}
        yield lambda step, done, total: bars.update(tasks[step], completed=done, total=total)


@contextmanager
def counting(what: str, *, hidden: bool, console: Console = errors) -> Generator[Callable[[int, int], None]]:
    """One bar; what it yields is told how much is done, of how much."""
    with counting_each(what, hidden=hidden, console=console) as tell:
        yield partial(tell, what)


@contextmanager
def waiting(what: str, *, hidden: bool, console: Console = errors) -> Generator[None]:
    """A line that shows that something happens, and for how long, where nobody knows how much there is to do."""
    with _shown(SpinnerColumn(), _WHAT, TimeElapsedColumn(), hidden=hidden, console=console) as line:
        line.add_task(what, total=None)
        yield


def _shown(*columns: ProgressColumn, hidden: bool, console: Console) -> Progress:
    return Progress(*columns, console=console, transient=True, disable=hidden or not console.is_terminal)
