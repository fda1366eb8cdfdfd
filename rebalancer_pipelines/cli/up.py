"""`rebalancer up` and `down`: the whole program under one process, until Ctrl-C."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from rebalancer_pipelines.adapters.embedded.deadline import wait_until
from rebalancer_pipelines.adapters.embedded.file_lock import FileLock
from rebalancer_pipelines.adapters.embedded.free_port import LOOPBACK
from rebalancer_pipelines.adapters.postgres.database import DatabaseUnavailableError, open_engine
from rebalancer_pipelines.adapters.prices.recorded_clock import change_speed
from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.adapters.ui_guard.access_token import TOKEN_VARIABLE
from rebalancer_pipelines.application.demo import demo_deposits, demo_portfolios_to_rebalance, seed_demo
from rebalancer_pipelines.application.recovery import recover_abandoned_accounts, unfinished_accounts
from rebalancer_pipelines.application.rehearsal.rehearse import rehearsal_progress
from rebalancer_pipelines.application.trading_mode import mode_of
from rebalancer_pipelines.cli.dagster_processes import DagsterProcesses
from rebalancer_pipelines.cli.launch import close_dead_runs, launch_rebalance, prepare_dagster
from rebalancer_pipelines.cli.notify import checked_notifier
from rebalancer_pipelines.cli.options import AsJson, DataDir
from rebalancer_pipelines.cli.output import console, errors, money, print_json, say
from rebalancer_pipelines.cli.revival import keep_cache, revive_database
from rebalancer_pipelines.cli.session import Session, chosen_data_dir, make_data_dir, open_session
from rebalancer_pipelines.cli.trading import read_stops
from rebalancer_pipelines.cli.ui_access import UiAccess, parse_ui_access
from rebalancer_pipelines.cli.worker import check_broker, parse_workers
from rebalancer_pipelines.domain.errors import InvalidInputError, RebalancerError
from rebalancer_pipelines.domain.portfolio import Account, TradingState
from rebalancer_pipelines.domain.values import parse_positive
from rebalancer_pipelines.orchestration.instance import LOCATION

_WATCH_SECONDS = 2.0
_PAUSE_SECONDS = 0.5
_STOP_SECONDS = 60.0


def up(
    no_demo: Annotated[bool, typer.Option("--no-demo", help="Leave the demo account and portfolios out.")] = False,
    port: Annotated[str, typer.Option(help="Port of the Dagster UI.")] = "3000",
    host: Annotated[
        str, typer.Option(help="Address of the Dagster UI; one that lets other machines in takes --auth.")
    ] = LOOPBACK,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A further name under which browsers reach the UI; may be repeated.")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="The UI shows everything and starts nothing.")] = False,
    auth: Annotated[
        bool, typer.Option("--auth", help="The UI asks for a token (env: REBALANCER_UI_TOKEN, else one is made).")
    ] = False,
    speed: Annotated[
        str | None, typer.Option(help="How fast the recorded market plays: 60 shows an hour every minute.")
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(help="Hand runs to so many warm processes here, and to 'rebalancer worker' on other machines."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Start everything and stay: database, cache, Dagster UI and daemon, and the demo. Ctrl-C stops it all."""
    pace = parse_positive(speed, field="speed") if speed is not None else None
    checked_notifier(Settings())
    Settings().check_scheduler()
    processes_here = parse_workers(workers, field="workers") if workers is not None else None
    folder = chosen_data_dir(data_dir)
    ui = parse_ui_access(host, port, allow_host or [], read_only=read_only, auth=auth)
    if auth:
        make_data_dir(folder)
        ui = ui.with_token(folder)
    started = time.monotonic()
    with _free(ui), _only_one(folder), open_session(data_dir) as session:
        if pace is not None:
            with open_engine(session.services.database_url) as engine:
                change_speed(engine, pace, session.ports.clock.now())
        if processes_here is not None:
            check_broker(session)
        processes = DagsterProcesses(
            home=folder / "dagster",
            logs=folder / "logs",
            environment=prepare_dagster(session, on_workers=processes_here is not None),
            ui=ui,
            workers=processes_here or 0,
        )
        try:
            # First, since it makes Dagster's tables: processes that make them side by side stumble over each other.
            close_dead_runs(session)
            loaded = _schedules_mark(session)
            processes.start()
            _settle(session)
            if not no_demo:
                _run_demo(session, quiet=as_json)
            processes.open_ui()
            _welcome(session, processes, seconds=time.monotonic() - started, as_json=as_json)
            _stay(session, processes, loaded)
        except KeyboardInterrupt:
            errors.print("Stopping …")
        finally:
            processes.stop()


def down(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Stop what `up` started."""
    folder = chosen_data_dir(data_dir)
    pid = running_pid(folder)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        if not wait_until(lambda: running_pid(folder) is None, _STOP_SECONDS):
            raise RebalancerError(f"process {pid} did not stop within {_STOP_SECONDS:.0f} s; see {folder / 'logs'}")
    if as_json:
        print_json({"stopped": pid is not None})
        return
    console.print("Stopped." if pid is not None else "Nothing was running.")


def running_pid(folder: Path) -> int | None:
    """The process of `up` that works on a data directory, if one does."""
    if not (folder / "up.lock").exists():
        return None
    lock = FileLock(folder / "up.lock")
    if lock.try_exclusive():
        lock.release()
        return None
    return _read_pid(folder)


def _read_pid(folder: Path) -> int | None:
    try:
        return int((folder / "up.pid").read_text())
    except (OSError, ValueError):
        return None


@contextmanager
def _only_one(folder: Path) -> Generator[None]:
    make_data_dir(folder)
    lock = FileLock(folder / "up.lock")
    if not lock.try_exclusive():
        raise RebalancerError(
            f"already running on {folder} (process {_read_pid(folder)}); stop it with 'rebalancer down' first"
        )
    try:
        (folder / "up.pid").write_text(str(os.getpid()))
        yield
    finally:
        lock.release()


@contextmanager
def _free(ui: UiAccess) -> Generator[None]:
    with socket.socket(socket.AF_INET6 if ":" in ui.address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ui.address, ui.port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise InvalidInputError("host", ui.address, "is not an address of this machine") from None
            raise InvalidInputError("port", ui.port, "is taken or not allowed; choose another with --port") from None
    yield


def _settle(session: Session) -> None:
    """Settle what stopped processes left, waiting for their leases to run out; whoever still lives keeps its own."""
    ports = session.ports
    problems = recover_abandoned_accounts(ports)
    held = [] if problems else unfinished_accounts(ports)
    longest = max((account.settings.lease.total_seconds() for account in held), default=0.0)
    deadline = time.monotonic() + longest + _WATCH_SECONDS
    if held:
        errors.print(f"Settling what a stopped process left behind; this takes up to {longest:.0f} seconds …")
    while not problems and unfinished_accounts(ports) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
        problems = recover_abandoned_accounts(ports)
    for problem in problems:
        errors.print(f"Not settled yet: {problem}", markup=False)


def _run_demo(session: Session, *, quiet: bool) -> None:
    seed_demo(session.ports)
    for name in demo_portfolios_to_rebalance(session.ports):
        if not quiet:
            console.print(f"Rebalancing {name} on the recorded market …")
        launch_rebalance(session, name, dry_run=False)


def _welcome(session: Session, processes: DagsterProcesses, *, seconds: float, as_json: bool) -> None:
    with session.ports.transactions() as work:
        accounts = work.accounts.all()
        stored = work.portfolios.all()
        newest = [row for portfolio in stored for row in work.history.newest(portfolio.id, 1, rehearsed=False)]
    portfolios = [portfolio.name for portfolio in stored]
    if as_json:
        print_json(
            {
                "url": processes.ui.url,
                "token_in": processes.ui.token_source,
                "data_dir": str(session.data_dir),
                "portfolios": portfolios,
            }
        )
        return
    console.print(f"\nReady after {seconds:.0f} s. Data: {session.data_dir}", soft_wrap=True)
    for name, record in newest:
        result = "done" if record.success else "failed"
        console.print(
            f"  {name}: {result}, value {money(record.portfolio_value)}, traded "
            f"{money(record.total_value_traded)} in {record.orders_executed} orders"
        )
    for warning in _warnings(session, accounts):
        say(f"  {warning}")
    first = portfolios[0] if portfolios else "NAME"
    shows_recording = any(account.price_source == "recorded" for account in accounts)
    recorded = "The demo trades play money on a RECORDED market. " if shows_recording else ""
    console.print(
        f"\nLook   [bold]{processes.ui.url}[/bold]  assets, runs, plan and history\n"
        f"{_launching(processes.ui)}{_login(processes.ui)}"
        "Next   (in another terminal, after 'source .venv/bin/activate')\n"
        f"       [bold]rebalancer plan {first}[/bold]  what would be traded now\n"
        f"       [bold]rebalancer run {first} --dry-run[/bold]  rehearse it\n"
        "       [bold]rebalancer account add NAME --venue paper --prices live --deposit EUR=10000[/bold]  your own\n"
        f"\n{recorded}{_rehearsing(session)}Ctrl-C stops everything; the data stays.\n",
        soft_wrap=True,
    )


def _rehearsing(session: Session) -> str:
    """What goes on in the background after a first start."""
    progress = rehearsal_progress(session.ports, demo_deposits(session.ports))
    if progress.is_complete:
        return ""
    return "In the background it is rehearsed over a year of that recording; the analytics fill within minutes.\n"


def _launching(ui: UiAccess) -> str:
    if ui.read_only:
        return "       read-only: it shows everything and starts nothing\n"
    return (
        f"       {ui.url}/locations/{LOCATION}/jobs/rebalance/playground\n"
        "       launch a rebalance by hand: choose a portfolio as the partition\n"
    )


def _login(ui: UiAccess) -> str:
    """How to get in. A terminal shows a token that was made here; output that somebody may keep does not."""
    if ui.token is None:
        return ""
    shown = f": {ui.token.reveal()}" if console.is_terminal and ui.token_source != TOKEN_VARIABLE else ""
    return escape(f"Login  with the token in {ui.token_source}{shown}\n")


def _warnings(session: Session, accounts: Sequence[Account]) -> list[str]:
    """Where runs trade real money, and what keeps them from it: switches, and keys that this process does not have."""
    warnings = [f"STOPPED: {line}" for line in read_stops(session.ports).lines]
    if session.ports.dry_run_only:
        warnings.append("SCHEDULER_DRY_RUN is set: every run is a DRY RUN")
    for account in accounts:
        if account.live_trading:
            warnings.append(
                f"Account {account.name}: {mode_of(session.ports, account, dry_run=False).describe(account)}"
            )
        if account.trading_state is not TradingState.ACTIVE:
            reason = account.trading_state_reason or "no reason was given"
            warnings.append(f"{account.trading_state.value.upper()}: account {account.name}: {reason}")
        try:
            session.ports.venues.connect(account)
        except RebalancerError as error:
            warnings.append(f"Account {account.name} cannot be used: {error}")
    return warnings


def _stay(session: Session, processes: DagsterProcesses, loaded: str | None) -> None:
    """Watch over everything until somebody stops it.

    `loaded` marks the portfolios' schedules as the code server has loaded them; once they differ, it loads them anew.
    """
    keeps_cache = True
    while True:
        time.sleep(_WATCH_SECONDS)
        ended = processes.ended()
        if ended is not None:
            raise RebalancerError(
                f"Dagster's {ended} ended by itself; see {processes.logs / ended}.log and start again"
            )
        try:
            stored = _schedules_mark(session)
        except DatabaseUnavailableError:
            revive_database(session)
            # Whoever loaded them meanwhile found none.
            loaded = None
            continue
        keeps_cache = keeps_cache and keep_cache(session, for_workers=bool(processes.workers))
        if stored != loaded:
            loaded = stored if _reload(processes) else loaded


def _schedules_mark(session: Session) -> str:
    """Changes when a portfolio is created, deleted, enabled or disabled, or gets another rhythm."""
    with session.ports.transactions() as work:
        return work.claims.rhythms_mark(Settings().most_schedules)


def _reload(processes: DagsterProcesses) -> bool:
    try:
        processes.reload_definitions()
    except RebalancerError as error:
        errors.print(f"The portfolios' schedules are not shown yet: {error}", markup=False)
        return False
    return True
