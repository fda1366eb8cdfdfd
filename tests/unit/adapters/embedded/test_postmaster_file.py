from __future__ import annotations

from pathlib import Path

import pytest

from rebalancer_pipelines.adapters.embedded.postmaster_file import PostmasterFile, read_postmaster_file

RUNNING = "4711\n/data dir\n1780000000\n45123\n\n127.0.0.1\n  1234567        3\nready   \n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (RUNNING, PostmasterFile(4711, 45123, is_ready=True)),
        (RUNNING.replace("ready   ", "starting"), PostmasterFile(4711, 45123, is_ready=False)),
        (RUNNING.replace("ready   ", "stopping"), PostmasterFile(4711, 45123, is_ready=False)),
        ("4711\n/data dir\n1780000000\n", PostmasterFile(4711, None, is_ready=False)),
        ("", None),
        ("-4711\n/data dir\n", None),
    ],
)
def test_it_is_read_in_every_state(tmp_path: Path, text: str, expected: PostmasterFile | None) -> None:
    (tmp_path / "postmaster.pid").write_text(text)
    assert read_postmaster_file(tmp_path) == expected


def test_no_file_means_no_server(tmp_path: Path) -> None:
    assert read_postmaster_file(tmp_path) is None
