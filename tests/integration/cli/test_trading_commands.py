"""`rebalancer halt`, `resume`, `status` and `doctor` about what is stopped, on paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.stored import Stored

Done = Callable[..., Any]
NOBODY_LISTENS = "postgresql://me:s3cret-word@127.0.0.1:1/books"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def portfolio(done: Done) -> str:
    done("account", "add", "main", "--venue", "paper", "--deposit", "EUR=5000")
    done("portfolio", "create", "core", "--account", "main", "--weights", "BTC=60,EUR=40")
    return "core"


def refused(cli: Callable[..., Any], stored: Stored, portfolio: str) -> str:
    """The line of a live run that must be refused before anything is sent."""
    before = stored.venue_balances()
    outcome = cli("run", portfolio)
    assert outcome.code == 1
    assert stored.venue_balances() == before
    newest = stored.history(portfolio)[-1]
    assert newest["success"] is False
    error = newest["errors"][0]
    assert f"{error['code']}: {error['message']}" in outcome.out
    return f"{error['code']}: {error['message']}"


def test_halt_stops_every_live_run_until_resume(
    done: Done, cli: Callable[..., Any], portfolio: str, stored: Stored, data: Path
) -> None:
    told = cli("halt", "--reason", "the [market] is mad")
    assert told.code == 0
    assert f"The file {data}/HALT does the same, also when the database is away." in told.out
    assert "rebalancer resume" in told.out

    line = refused(cli, stored, portfolio)
    assert line.startswith("KILLED: everything is stopped (the [market] is mad)")
    assert "rebalancer resume" in line
    assert done("run", portfolio, "--dry-run")["success"] is True
    assert done("account", "show", "main")["kill_reason"] == "the [market] is mad"
    assert "everything is stopped (the [market] is mad)" in cli("account", "show", "main").out
    assert done("status")["kill_switch"] == "the [market] is mad"
    assert "STOPPED: everything is stopped (the [market] is mad)" in cli("status").out
    assert f"'rebalancer run {portfolio}' is refused now: everything is stopped" in cli("plan", portfolio).out

    assert done("resume") == {"resumed": "everything", "kill_switch": None, "kill_file": None}
    assert done("status")["kill_switch"] is None
    assert done("run", portfolio)["success"] is True


def test_the_file_does_the_same_and_resume_names_it(
    done: Done, cli: Callable[..., Any], portfolio: str, stored: Stored, data: Path
) -> None:
    file = data / "HALT"
    file.parent.mkdir(exist_ok=True)
    file.write_text("wait for me\n")
    assert refused(cli, stored, portfolio).startswith(f"KILLED: everything is stopped by the file {file} (wait for me)")
    assert done("status")["kill_file"] == str(file)

    outcome = cli("resume")
    assert outcome.code == 1
    assert f"everything is stopped by the file {file} (wait for me); remove it" in outcome.out
    in_json = cli("resume", "--json")
    assert (in_json.code, in_json.json["kill_file"]) == (1, str(file))

    file.unlink()
    assert cli("resume").code == 0
    assert done("run", portfolio)["success"] is True


def test_one_account_is_halted_and_resumed(done: Done, cli: Callable[..., Any], portfolio: str, stored: Stored) -> None:
    done("account", "add", "other", "--venue", "paper", "--deposit", "EUR=5000")
    done("portfolio", "create", "side", "--account", "other", "--weights", "BTC=60,EUR=40")
    halted = done("halt", "--account", "main", "--reason", "on holiday")
    assert (halted["halted"], halted["by"], halted["reason"]) == ("main", "database", "on holiday")

    line = refused(cli, stored, portfolio)
    assert line.startswith("ACCOUNT_HALTED: account main is halted: on holiday")
    assert "rebalancer resume --account main" in line
    assert done("run", "side")["success"] is True
    assert done("account", "show", "main")["trading_state"] == "halted"
    assert "halted: on holiday" in cli("account", "show", "main").out
    assert [account["name"] for account in done("status")["halted_accounts"]] == ["main"]
    assert "HALTED: account main: on holiday" in cli("status").out

    assert done("resume", "--account", "main")["resumed"] == "main"
    assert done("account", "show", "main")["trading_state_reason"] is None
    assert done("run", portfolio)["success"] is True


@pytest.mark.parametrize("arguments", [[], ["--account", "main"]], ids=["everything", "one account"])
def test_without_a_database_halt_writes_the_file(
    command_line: Callable[[str], Any], data: Path, arguments: list[str]
) -> None:
    cli = command_line(NOBODY_LISTENS)
    outcome = cli("halt", "--reason", "stop now", *arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert (data / "HALT").read_text() == "stop now\n"
    assert str(data / "HALT") in outcome.out
    assert "DATABASE_URL" in outcome.out
    assert ("not only main" in outcome.out) is bool(arguments)
    assert "s3cret-word" not in outcome.out
    in_json = cli("halt", "--json", *arguments).json
    assert (in_json["halted"], in_json["by"]) == ("everything", str(data / "HALT"))


def test_halt_says_when_it_can_stop_nothing(
    command_line: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = command_line(NOBODY_LISTENS)
    (tmp_path / "taken").write_text("a file stands here")
    outcome = cli("halt", "--data-dir", str(tmp_path / "taken"))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("Error: nothing is stopped:")
    assert "rebalancer down" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(("word", "forced"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_the_environment_forces_dry_runs(
    done: Done,
    cli: Callable[..., Any],
    portfolio: str,
    monkeypatch: pytest.MonkeyPatch,
    word: str,
    forced: bool,
) -> None:
    monkeypatch.setenv("SCHEDULER_DRY_RUN", word)
    assert ("DRY RUN, nothing is sent: SCHEDULER_DRY_RUN is set" in cli("plan", portfolio).out) is forced
    outcome = cli("run", portfolio)
    assert outcome.code == 0
    assert ("DRY RUN, nothing is sent: SCHEDULER_DRY_RUN is set" in outcome.out) is forced
    assert ("PAPER TRADING, play money" in outcome.out) is not forced
    (row,) = done("history")
    assert row["dry_run"] is forced
    assert done("status")["dry_run_only"] is forced


def test_an_odd_word_in_the_environment_is_refused(
    cli: Callable[..., Any], portfolio: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEDULER_DRY_RUN", "maybe")
    outcome = cli("run", portfolio)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "Error: SCHEDULER_DRY_RUN: 'maybe' must be true or false\n"


def test_a_dry_run_and_a_plan_tell_what_a_live_run_would_be_denied_for(
    done: Done, cli: Callable[..., Any], portfolio: str, stored: Stored
) -> None:
    done("account", "set", "main", "max_turnover=0.2")
    planned = done("plan", portfolio)
    assert [denial["code"] for denial in planned["denials"]] == ["TURNOVER"]
    shown = cli("plan", portfolio)
    assert shown.code == 0
    assert "A live run would be denied: TURNOVER: the plan turns over" in shown.out
    assert shown.out.rstrip().endswith("and would be denied as above; rehearse it with --dry-run.")

    rehearsed = cli("run", portfolio, "--dry-run")
    assert rehearsed.code == 0
    assert "A live run would be denied: TURNOVER: the plan turns over" in rehearsed.out
    assert "A live run" not in cli("run", portfolio, "--dry-run", "--confirm", "turnover").out

    assert refused(cli, stored, portfolio).startswith("TURNOVER: ")
    assert done("run", portfolio, "--confirm", "TURNOVER")["orders_executed"] == 1
    assert "A live run" not in cli("plan", portfolio).out


def test_the_doctor_names_what_is_stopped(done: Done, cli: Callable[..., Any], portfolio: str) -> None:
    def findings() -> dict[str, Any]:
        return {finding["check"]: finding for finding in cli("doctor", "--json").json}

    calm = findings()
    assert calm["kill switch"] == {"check": "kill switch", "ok": True, "detail": "not engaged"}
    assert not any(check.startswith(("key of", "clock of", "trading of")) for check in calm)

    done("halt", "--reason", "look")
    done("halt", "--account", "main", "--reason", "look closer")
    outcome = cli("doctor", "--json")
    assert outcome.code == 1
    stopped = findings()
    assert stopped["kill switch"]["ok"] is False
    assert "rebalancer resume" in stopped["kill switch"]["detail"]
    assert stopped["trading of main"]["ok"] is False
    assert "look closer" in stopped["trading of main"]["detail"]
