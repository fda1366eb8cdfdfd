from __future__ import annotations

from pathlib import Path

import pytest

from rebalancer_pipelines.adapters.embedded.server_log import log_sizes, worst_line, written_since


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("LOG:  a\nERROR:  b\nFATAL:  c\nFATAL:  d\nHINT:  e\n", "FATAL:  c"),
        ("creating ...\ninitdb: error: no room\ninitdb: removing\n", "initdb: error: no room"),
        ("one\n  two  \n\n", "two"),
        ("", "no reason was given"),
    ],
)
def test_the_worst_line_tells_the_cause(text: str, line: str) -> None:
    assert worst_line(text) == line


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("old a\n")
    (tmp_path / "b.log").write_text("old and long b\n")
    before = log_sizes(tmp_path)
    with (tmp_path / "a.log").open("a") as file:
        file.write("new a\n")
    (tmp_path / "b.log").write_text("anew b\n")
    (tmp_path / "c.log").write_text("new c\n")
    assert written_since(tmp_path, before).split("\n") == ["new a", "", "anew b", "", "new c", ""]
