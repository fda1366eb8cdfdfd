"""`rebalancer halt` and `resume`: stopping every order at once, and letting them pass again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from rebalancer_pipelines.adapters.kill_file import KillFile
from rebalancer_pipelines.application import trading_control
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.cli.options import AsJson, DataDir
from rebalancer_pipelines.cli.output import print_json, say
from rebalancer_pipelines.cli.session import chosen_data_dir, make_data_dir, open_session
from rebalancer_pipelines.domain.errors import InvalidInputError, NotFoundError, RebalancerError

_BY_HAND = "stopped by hand"
_LONGEST_REASON = 200

AccountName = Annotated[str | None, typer.Option("--account", help="This account alone; everything when absent.")]


def halt(
    account: AccountName = None,
    reason: Annotated[str, typer.Option(help="What people are told when an order is refused.")] = _BY_HAND,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Stop every order from now on; nothing that runs is ended, nothing that was sent is taken back."""
    _check_reason(reason)
    path = Path(KillFile(chosen_data_dir(data_dir)).path)
    try:
        with open_session(data_dir) as session:
            trading_control.halt(session.ports, account, reason)
    except NotFoundError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever keeps the database from us, the orders have to stop
        _write_kill_file(path, reason, error)
        _say_stopped_by_file(path, account, reason, error, as_json=as_json)
        return
    if as_json:
        print_json({"halted": account or "everything", "by": "database", "reason": reason, "because": None})
        return
    say(f"Stopped: no order leaves {f'on account {account}' if account else 'any more'} ({reason}).")
    say("An order that has left already is still looked up and booked.")
    if account is None:
        say("Plans and dry runs go on.")
        say(f"The file {path} does the same, also when the database is away.")
    say(f"Let it go on with: rebalancer resume{f' --account {account}' if account else ''}")


def resume(account: AccountName = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Let orders pass again; exit 1 while the file HALT still stops everything."""
    with open_session(data_dir) as session:
        trading_control.resume(session.ports, account)
        stops = read_stops(session.ports)
    if as_json:
        print_json({"resumed": account or "everything", "kill_switch": stops.switch, "kill_file": stops.file_path})
    else:
        say(f"Orders may pass again {f'on account {account}' if account else 'on every account that is not halted'}.")
        for line in stops.lines:
            say(f"But {line}")
    raise typer.Exit(1 if stops.file is not None and account is None else 0)


@dataclass(frozen=True, slots=True)
class Stops:
    """What stops the whole installation: `switch` in the database, `file` in the data folder, each with its reason."""

    switch: str | None
    file: str | None
    path: str

    @property
    def file_path(self) -> str | None:
        """Where the file lies, while it is there."""
        return self.path if self.file is not None else None

    @property
    def lines(self) -> list[str]:
        """What stops everything and how to end that, a line each."""
        lines: list[str] = []
        if self.switch is not None:
            lines.append(f"everything is stopped ({self.switch}); let it go on with 'rebalancer resume'")
        if self.file is not None:
            lines.append(f"everything is stopped by the file {self.path} ({self.file}); remove it")
        return lines


def read_stops(ports: Ports) -> Stops:
    """Look at the kill switch and for its file."""
    with ports.transactions() as work:
        switch = work.kill_switch.reason()
    return Stops(switch, ports.kill_file.reason(), ports.kill_file.path)


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > _LONGEST_REASON:
        raise InvalidInputError("reason", reason, f"must be 1 to {_LONGEST_REASON} characters")


def _write_kill_file(path: Path, reason: str, cause: Exception) -> None:
    try:
        make_data_dir(path.parent)
        path.write_text(f"{reason}\n", encoding="utf-8")
    except (OSError, RebalancerError) as error:
        raise RebalancerError(
            f"nothing is stopped: the switch cannot be set ({_told(cause)}), and the file {path} cannot be written "
            f"({_told(error)}); end the program with 'rebalancer down'"
        ) from None


def _say_stopped_by_file(path: Path, account: str | None, reason: str, error: Exception, *, as_json: bool) -> None:
    if as_json:
        print_json({"halted": "everything", "by": str(path), "reason": reason, "because": _told(error)})
        return
    say(f"The switch in the database cannot be set: {_told(error)}")
    say(f"So the file {path} was written: it stops every order of the program that works in this folder.")
    if account is not None:
        say(f"It stops all accounts, not only {account}: which one is meant, the file cannot say.")
    say("Let it go on: remove the file once the database is back.")


def _told(error: Exception) -> str:
    """An error of ours in its own words, a foreign one by its type: its text may hold anything."""
    if isinstance(error, RebalancerError):
        return str(error)
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else type(error).__name__
