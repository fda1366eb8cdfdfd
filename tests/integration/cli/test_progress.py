"""What is shown while something takes long: at a terminal alone, and gone when it is done."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console

from rebalancer_pipelines.cli.progress import counting, counting_each, waiting


def terminal(*, is_one: bool = True) -> tuple[Console, StringIO]:
    written = StringIO()
    return Console(file=written, force_terminal=is_one, width=80, color_system=None), written


def test_each_step_has_a_bar_that_counts() -> None:
    console, written = terminal()
    with counting_each("prices", "values", hidden=False, console=console) as tell:
        tell("values", 3, 7)
    (prices,) = re.findall(r"prices .*", written.getvalue())[-1:]
    (values,) = re.findall(r"values .*", written.getvalue())[-1:]
    assert "0/?" in prices
    assert "3/7" in values


def test_one_bar_needs_no_name_of_its_step() -> None:
    console, written = terminal()
    with counting("Reading files", hidden=False, console=console) as tell:
        tell(2, 5)
    assert "Reading files" in written.getvalue()
    assert "2/5" in written.getvalue()


def test_what_cannot_be_counted_shows_the_time() -> None:
    console, written = terminal()
    with waiting("Building the marts", hidden=False, console=console):
        pass
    assert "Building the marts 0:00:00" in written.getvalue()


@pytest.mark.parametrize(("is_terminal", "hidden"), [(True, True), (False, False)])
def test_programs_see_nothing(is_terminal: bool, hidden: bool) -> None:
    console, written = terminal(is_one=is_terminal)
    with counting("Reading files", hidden=hidden, console=console) as tell:
        tell(2, 5)
    with waiting("Building the marts", hidden=hidden, console=console):
        pass
    assert written.getvalue() == ""
