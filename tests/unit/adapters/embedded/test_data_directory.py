from __future__ import annotations

import os
from pathlib import Path

import pytest

from rebalancer_pipelines.adapters.embedded.data_directory import default_data_dir, prepared_data_dir


@pytest.fixture
def ordinary_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def test_roots_data_lie_with_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("XDG_DATA_HOME", "/elsewhere")
    assert default_data_dir() == Path("/var/lib/rebalancer")


@pytest.mark.usefixtures("ordinary_account")
@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ("/data home", Path("/data home/rebalancer")),
        ("", Path("/home/somebody/.local/share/rebalancer")),
        ("relative", Path("/home/somebody/.local/share/rebalancer")),
    ],
)
def test_other_accounts_data_follow_xdg(monkeypatch: pytest.MonkeyPatch, configured: str, expected: Path) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_DATA_HOME", configured)
    assert default_data_dir() == expected


def test_a_relative_folder_with_a_link_in_it_becomes_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    prepared = prepared_data_dir(Path("link/new/data"))
    assert prepared == tmp_path / "real" / "new" / "data"
    assert prepared.is_dir()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        prepared_data_dir(tmp_path / "file")
