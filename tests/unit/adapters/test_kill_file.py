"""The file that stops everything: whatever lies there counts, and what it says fits on a line."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from rebalancer_pipelines.adapters.kill_file import KillFile


@pytest.fixture
def kill_file(tmp_path: Path) -> KillFile:
    return KillFile(tmp_path)


def test_nothing_is_stopped_without_the_file(kill_file: KillFile, tmp_path: Path) -> None:
    assert kill_file.reason() is None
    assert kill_file.path == str(tmp_path / "HALT")


def test_a_data_folder_that_is_not_there_yet_stops_nothing(tmp_path: Path) -> None:
    assert KillFile(tmp_path / "missing").reason() is None
    (tmp_path / "file").touch()
    assert KillFile(tmp_path / "file").reason() is None


def test_it_is_read_afresh_every_time(kill_file: KillFile, tmp_path: Path) -> None:
    for text in ("first", "second"):
        (tmp_path / "HALT").write_text(text)
        assert kill_file.reason() == text
    (tmp_path / "HALT").unlink()
    assert kill_file.reason() is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"the venue looks wrong\nmore\n", "the venue looks wrong"),
        (b"\r\n  \n  maintenance  \r\n", "maintenance"),
        ("prüfen\n".encode(), "prüfen"),
        (b"\x1b[31mred\x00", "[31mred"),
        (b"\xff\xfestop", "��stop"),
        (b"x" * 10_000, "x" * 200),
        (b"", "it gives no reason"),
        (b" \n\t\n", "it gives no reason"),
        (b"\x00\x07", "it gives no reason"),
    ],
)
def test_its_first_line_is_the_reason(kill_file: KillFile, tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "HALT").write_bytes(content)
    assert kill_file.reason() == reason


def test_what_cannot_be_read_stops_everything_too(kill_file: KillFile, tmp_path: Path) -> None:
    (tmp_path / "HALT").mkdir()
    assert kill_file.reason() == "it cannot be read: Is a directory"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ELOOP, errno.EMFILE])
def test_no_failure_of_the_disk_is_taken_for_permission_to_trade(
    kill_file: KillFile, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, "no luck")

    monkeypatch.setattr(Path, "open", fail)
    assert kill_file.reason() == "it cannot be read: no luck"
