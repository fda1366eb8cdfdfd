"""The command that makes the README's pictures, where it cannot: one line that says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from docs import screenshots

Cli = Callable[..., Any]


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A browser that is never to be started: it fails."""
    program = tmp_path / "bin" / "chromium"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return program


@pytest.mark.usefixtures("cli")
def test_without_a_browser_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert screenshots.main([]) == 1
    assert capsys.readouterr().err == (
        "Error: no browser on the PATH: install Chromium "
        "(looked for chromium, chromium-browser, google-chrome, google-chrome-stable)\n"
    )


@pytest.mark.usefixtures("cli", "browser")
def test_without_the_demo_it_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert screenshots.main(["--portfolio", "nobody"]) == 1
    remedy = "create one with 'rebalancer portfolio create'"
    assert capsys.readouterr().err == f"Error: portfolio: 'nobody' is unknown; {remedy}\n"
