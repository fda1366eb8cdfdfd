"""A file that somebody asked for is written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rebalancer_pipelines.adapters.whole_file import check_writable, write_whole
from rebalancer_pipelines.domain.errors import InvalidInputError


def test_it_replaces_what_was_there_and_leaves_nothing_beside(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    write_whole(target, "new ✓", field="out")
    assert target.read_text(encoding="utf-8") == "new ✓"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target.html", tmp_path / "link.html"
    target.write_text("old")
    link.symlink_to(target)
    write_whole(link, "new", field="out")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_what_was_there_stays_when_the_new_one_cannot_be_written(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(target, "half \ud800", field="out")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_places_where_no_file_can_be_are_refused_before_any_work(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, remedy in (
        (tmp_path, "is a folder; name a file in it"),
        (tmp_path / "nowhere" / "report.html", "lies in a folder that is not there; make it first"),
        (tmp_path / "pipe", "is no file that can be replaced; name another"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            check_writable(path, field="out")
        assert str(caught.value) == f"out: '{path}' {remedy}"
    check_writable(tmp_path / "new.html", field="out")


def test_an_error_of_the_system_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "report.html"
    with pytest.raises(InvalidInputError, match="cannot be written: No such file or directory; choose another"):
        write_whole(path, "text", field="out")
