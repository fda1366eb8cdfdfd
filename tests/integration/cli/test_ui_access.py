"""Who may use the UI, as the options of `rebalancer up` say it: an open door is refused before anything starts."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rebalancer_pipelines.adapters.ui_guard.access_token import TOKEN_VARIABLE
from rebalancer_pipelines.cli.app import run
from rebalancer_pipelines.cli.ui_access import parse_ui_access

SHORT = "easily-guessed"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--host", "0.0.0.0"], "host: '0.0.0.0' lets other machines in; add --auth, or leave --host out"),
        (["--host", "::", "--read-only"], "host: '::' lets other machines in; add --auth, or leave --host out"),
        (
            ["--host", "my-machine", "--auth"],
            "host: 'my-machine' is not an address of this machine; write it like 127.0.0.1 or 0.0.0.0",
        ),
        (["--host", "192.0.2.1", "--auth"], "host: '192.0.2.1' is not an address of this machine"),
        (
            ["--allow-host", "*"],
            "allow_host: '*' is not a host name; write it like rebalancer.example or rebalancer.example:8443",
        ),
        (["--port", "0"], "port: '0' must be a whole number from 1 to 65535"),
    ],
)
def test_what_cannot_be_served_is_refused(
    options: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["up", "--data-dir", str(tmp_path / "data"), *options]) == 2
    assert capsys.readouterr().err == f"Error: {line}\n"
    assert not (tmp_path / "data" / "postgres").exists()


def test_a_weak_token_is_refused_untold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, SHORT)
    assert run(["up", "--auth", "--data-dir", str(tmp_path / "data")]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"Error: {TOKEN_VARIABLE}: must be at least 16 letters")
    assert SHORT not in told


def test_without_a_login_nothing_is_kept_and_nothing_demanded(tmp_path: Path) -> None:
    ui = parse_ui_access("127.0.0.1", "3000", [], read_only=False, auth=False)
    assert (ui.url, ui.headers, ui.environment) == ("http://127.0.0.1:3000", {}, {})
    assert ui.arguments == ["--host", "127.0.0.1", "--port", "3000"]
    assert list(tmp_path.iterdir()) == []


def test_with_one_the_token_is_kept_and_never_on_a_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    ui = parse_ui_access("::", "3000", ["rebalancer.example"], read_only=True, auth=True).with_token(tmp_path)
    file = tmp_path / "ui_token"
    token = file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (ui.url, ui.token_source) == ("http://[::1]:3000", str(file))
    assert ui.headers == {"Authorization": f"Bearer {token}"}
    assert ui.environment == {TOKEN_VARIABLE: token}
    assert ui.arguments == [
        *("--host", "::", "--port", "3000", "--allow-host", "rebalancer.example", "--read-only", "--auth")
    ]
    assert token not in repr(ui)


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "the-token-of-the-environment")
    ui = parse_ui_access("127.0.0.1", "3000", [], read_only=False, auth=True).with_token(tmp_path)
    assert ui.headers == {"Authorization": "Bearer the-token-of-the-environment"}
    assert ui.token_source == TOKEN_VARIABLE
    assert list(tmp_path.iterdir()) == []
