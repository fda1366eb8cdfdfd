"""`rebalancer up` as a person starts it: a process of its own, its UI asked over HTTP, then stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.adapters.embedded.free_port import free_port

TOKEN = "a-token-that-only-the-webserver-learns"
REPOSITORY = 'repositoryLocationName: "rebalancer_pipelines", repositoryName: "__repository__"'
PROGRAM = [sys.executable, "-c", "from rebalancer_pipelines.cli.app import main; main()"]


def command(*arguments: str) -> Any:
    done = subprocess.run([*PROGRAM, *arguments, "--json"], capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


def real_rebalances() -> list[dict[str, Any]]:
    """The newest history rows without those of the rehearsal that goes on in the background."""
    return [row for row in command("history") if row["triggered_by"] != "backfill"]


def processes_of(folder: Path) -> list[psutil.Process]:
    everyone = psutil.process_iter(["cmdline"])
    return [process for process in everyone if str(folder) in " ".join(process.info["cmdline"] or [])]


def knows(process: psutil.Process, secret: str) -> bool:
    with suppress(psutil.NoSuchProcess):
        return secret in process.environ().values()
    return False


def ask(port: int, query: str) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())["data"]


def schedules_shown(port: int) -> dict[str, str]:
    """What the UI says of the portfolios' schedules."""
    question = "... on Schedules { results { name scheduleState { status } } }"
    answer = ask(port, f"{{ schedulesOrError(repositorySelector: {{ {REPOSITORY} }}) {{ {question} }} }}")
    return {
        schedule["name"]: schedule["scheduleState"]["status"]
        for schedule in answer["schedulesOrError"].get("results", [])
        if schedule["name"].startswith("rebalance_")
    }


def start_in_the_ui(port: int, schedule: str) -> None:
    chosen = f'{REPOSITORY}, scheduleName: "{schedule}"'
    answer = ask(port, f"mutation {{ startSchedule(scheduleSelector: {{ {chosen} }}) {{ __typename }} }}")
    assert answer["startSchedule"]["__typename"] == "ScheduleStateResult"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a data folder"
    for variable in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("REBALANCER_DATA_DIR", str(folder))
    monkeypatch.setenv("REBALANCER_UI_TOKEN", TOKEN)
    return folder


@pytest.fixture
def running(folder: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    port = free_port()
    told = tmp_path / "told"
    with told.open("wb") as output:
        process = subprocess.Popen(
            [*PROGRAM, "up", "--auth", "--port", str(port)], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        assert wait_until(lambda: b"Ctrl-C stops" in told.read_bytes() or process.poll() is not None, 150)
        assert process.poll() is None, told.read_text()
        yield process, port, told
    finally:
        process.kill()
        process.wait()


def test_up_shows_the_demo_survives_its_database_and_leaves_nothing_behind(
    running: tuple[subprocess.Popen[bytes], int, Path], folder: Path
) -> None:
    process, port, told = running
    assert "RECORDED market" in told.read_text()
    rows = real_rebalances()
    assert sorted(row["portfolio"] for row in rows) == ["demo-balanced", "demo-bands", "demo-equal"]
    assert all(row["success"] and row["orders_executed"] == row["orders_planned"] > 0 for row in rows)
    assert command("account", "show", "demo")["differences"] == {}
    (informed,) = (process for process in processes_of(folder) if knows(process, TOKEN))
    assert "rebalancer_pipelines.orchestration.webserver" in informed.cmdline()
    answer = ask(
        port,
        '{ pipelineRunsOrError(filter: {pipelineName: "rebalance"}) { ... on Runs { results { status } } } }',
    )
    assert [run["status"] for run in answer["pipelineRunsOrError"]["results"]] == ["SUCCESS"] * 3

    demo = {f"rebalance_demo_{name}": "RUNNING" for name in ("balanced", "bands", "equal")}
    assert wait_until(lambda: schedules_shown(port) == demo, 30)
    command("portfolio", "create", "mine", "--account", "demo", "--weights", "EUR=100", "--enable")
    assert wait_until(lambda: schedules_shown(port) == demo | {"rebalance_mine": "RUNNING"}, 30)
    assert command("scheduler", "stop", "mine", "demo-equal")["changed"] == ["rebalance_demo_equal", "rebalance_mine"]
    stopped = {"rebalance_mine": "STOPPED", "rebalance_demo_equal": "STOPPED"}
    assert schedules_shown(port) == demo | stopped
    start_in_the_ui(port, "rebalance_demo_equal")
    states = {one["name"]: one["running"] for one in command("scheduler", "status")["automations"]}
    assert [name for name, runs in states.items() if not runs] == ["rebalance_mine"]
    command("portfolio", "delete", "mine")
    assert wait_until(lambda: schedules_shown(port) == demo, 30)

    postmaster = int((folder / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    assert wait_until(lambda: "it runs again" in told.read_text(), 60)
    assert real_rebalances() == rows
    (valkey,) = (process for process in processes_of(folder) if "valkey.conf" in " ".join(process.cmdline()))
    valkey.kill()
    assert wait_until(lambda: "Redis had stopped; it runs again" in told.read_text(), 60)
    command("portfolio", "create", "later", "--account", "demo", "--weights", "EUR=100", "--enable")
    assert wait_until(lambda: schedules_shown(port) == demo | {"rebalance_later": "RUNNING"}, 30)

    assert command("down") == {"stopped": True}
    assert wait_until(lambda: process.poll() is not None, 30)
    assert wait_until(lambda: processes_of(folder) == [], 10)
    for text in (told, *(folder / "logs").iterdir()):
        assert TOKEN not in text.read_text()
