"""`rebalancer status` and `doctor`: what runs, and what is wrong with the remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from rebalancer_pipelines.adapters.postgres.database import database_time, server_version
from rebalancer_pipelines.adapters.postgres.schema import check_schema
from rebalancer_pipelines.adapters.redis.connection import ping_redis
from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.application.documents import history_document, moment
from rebalancer_pipelines.application.key_permissions import check_permissions
from rebalancer_pipelines.application.portfolio_display import listed_portfolios
from rebalancer_pipelines.cli.account_documents import account_document
from rebalancer_pipelines.cli.launch import prepare_dagster
from rebalancer_pipelines.cli.notify import notifier_health
from rebalancer_pipelines.cli.options import AsJson, DataDir
from rebalancer_pipelines.cli.output import console, minute, money, print_json, print_table, say
from rebalancer_pipelines.cli.program_settings import scheduler_settings
from rebalancer_pipelines.cli.session import Session, open_session
from rebalancer_pipelines.cli.trading import read_stops
from rebalancer_pipelines.cli.up import running_pid
from rebalancer_pipelines.domain.errors import InvalidInputError, RebalancerError
from rebalancer_pipelines.domain.portfolio import TradingState
from rebalancer_pipelines.domain.risk import MAX_CLOCK_SKEW, skew_denial

if TYPE_CHECKING:
    from rebalancer_pipelines.domain.portfolio import Account

_MAX_SKEW = timedelta(seconds=2)
_NEWEST_ERRORS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: `detail` says what was found, and when it is not ok, the remedy."""

    check: str
    ok: bool
    detail: str


def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show what runs, what is stopped, and every portfolio's last rebalance and next due time."""
    with open_session(data_dir) as session:
        pid = running_pid(session.data_dir)
        stops = read_stops(session.ports)
        dry_run_only = session.ports.dry_run_only
        listed = listed_portfolios(session.ports)
        with session.ports.transactions() as work:
            halted = [a for a in work.accounts.all() if a.trading_state is not TradingState.ACTIVE]
            portfolios = [entry.portfolio for entry in listed]
            last = {
                p.name: next((r for _, r in work.history.newest(p.id, 1, rehearsed=False)), None) for p in portfolios
            }
        noted = session.ports.cache.errors(_NEWEST_ERRORS)
    document = {
        "running": pid is not None,
        "pid": pid,
        "data_dir": str(session.data_dir),
        "kill_switch": stops.switch,
        "kill_file": stops.file_path,
        "dry_run_only": dry_run_only,
        "halted_accounts": [account_document(account) for account in halted],
        "portfolios": [
            {
                "name": p.name,
                "enabled": p.enabled,
                "next_rebalance_at": moment(p.next_rebalance_at),
                "last": history_document(p.name, record) if (record := last[p.name]) else None,
            }
            for p in portfolios
        ],
        "newest_errors": [{"at": moment(error.at), "line": error.line} for error in noted],
    }
    if as_json:
        print_json(document)
        return
    running = f"running (process {pid})" if pid else "not running; start it with 'rebalancer up'"
    say(f"The program is {running}. Data: {session.data_dir}")
    for line in stops.lines:
        say(f"STOPPED: {line}")
    if dry_run_only:
        say("SCHEDULER_DRY_RUN is set: every run that is started from here is a DRY RUN.")
    for account in halted:
        say(f"{account.trading_state.value.upper()}: account {account.name}: {account.trading_state_reason or ''}")
    rows = [
        (
            p.name,
            "yes" if p.enabled else "no",
            "-" if not (record := last[p.name]) else "done" if record.success else "failed",
            money(record.portfolio_value if record else None),
            record.price_source if record else "-",
            minute(moment(p.next_rebalance_at)),
        )
        for p in portfolios
    ]
    print_table(
        "Portfolios", ("name", "enabled", "last result", "value", "prices", "next due"), rows, numbers=("value",)
    )
    for error in noted:
        say(f"{minute(moment(error.at))} {error.line}")


def doctor(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Check everything the program stands on; exit 1 when something needs a remedy."""
    try:
        with open_session(data_dir) as session:
            findings = [
                _examine("database", lambda: f"PostgreSQL {server_version(session.services.database_url)}"),
                _examine("schema", lambda: check_schema(session.services.database_url)),
                _examine("redis", lambda: _redis(session)),
                _examine("dagster daemon", lambda: _daemon(session)),
                _examine("scheduler", lambda: _scheduler(session)),
                _examine("clock", lambda: _clock(session)),
                _examine("notifications", lambda: notifier_health(session.ports)),
                _examine("kill switch", lambda: _kill_switch(session)),
                *_venues(session),
            ]
    except RebalancerError as error:
        # Without a database, or with a switch that cannot be read, there is nothing further to look at.
        is_switch = isinstance(error, InvalidInputError) and error.field.startswith("SCHEDULER_")
        findings = [Finding("scheduler" if is_switch else "database", ok=False, detail=str(error))]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mark = Text("ok    ", "green") if finding.ok else Text("remedy", "red")
            console.print(Text.assemble(mark, f" {finding.check}: {finding.detail}"), soft_wrap=True)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def _examine(check: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(check, ok=True, detail=look())
    except RebalancerError as error:
        return Finding(check, ok=False, detail=str(error))


def _redis(session: Session) -> str:
    if session.services.redis_url is None:
        return "none; it is optional, and everything works without it"
    ping_redis(session.services.redis_url)
    return "answers"


def _daemon(session: Session) -> str:
    if running_pid(session.data_dir) is None:
        raise RebalancerError("not running, so nothing is launched by itself; start it with 'rebalancer up'")
    prepare_dagster(session)
    import dagster as dg  # noqa: PLC0415 - two seconds that only this check pays for

    with dg.DagsterInstance.get() as instance:
        statuses = instance.get_daemon_statuses()
        late = sorted(name for name, found in statuses.items() if found.required and not found.healthy)
    if late:
        raise RebalancerError(
            f"no heartbeat of {', '.join(late)}; wait a minute after a start, else restart 'rebalancer up'"
        )
    return "running"


def _scheduler(session: Session) -> str:
    Settings().check_scheduler()
    settings = scheduler_settings(session.data_dir)
    if not settings.schedules_itself:
        return "SCHEDULER_ENABLED is false, so nothing is rebalanced by itself"
    return f"on; the due check looks at '{settings.check_cron}' UTC; more in 'rebalancer scheduler status'"


def _clock(session: Session) -> str:
    skew = abs(session.ports.clock.now() - database_time(session.services.database_url))
    if skew > _MAX_SKEW:
        raise RebalancerError(f"differs from the database's by {skew.total_seconds():.1f} s; synchronise it (NTP)")
    return f"within {skew.total_seconds():.1f} s of the database's"


def _kill_switch(session: Session) -> str:
    lines = read_stops(session.ports).lines
    if lines:
        raise RebalancerError("; ".join(lines))
    return "SCHEDULER_DRY_RUN is set, so nothing is sent" if session.ports.dry_run_only else "not engaged"


def _venues(session: Session) -> list[Finding]:
    with session.ports.transactions() as work:
        accounts = work.accounts.all()
    findings: list[Finding] = []
    for account in accounts:
        findings.append(_examine(f"venue of {account.name}", lambda account=account: _venue(session, account)))
        if account.trading_state is not TradingState.ACTIVE:
            findings.append(_examine(f"trading of {account.name}", lambda account=account: _state(account)))
        if not account.is_paper:
            findings.append(_examine(f"key of {account.name}", lambda account=account: _key(session, account)))
            findings.append(
                _examine(f"clock of {account.name}", lambda account=account: _venue_clock(session, account))
            )
    return findings


def _venue(session: Session, account: Account) -> str:
    venue = session.ports.venues.connect(account)
    held = sum(1 for holding in venue.balances().values() if holding.total)
    return f"{account.venue} answers: {held} currencies, {len(venue.markets())} markets, {venue.price_source} prices"


def _state(account: Account) -> str:
    reason = account.trading_state_reason or "no reason was given"
    raise RebalancerError(
        f"{account.trading_state.value}: {reason}; look with 'rebalancer account review {account.name}', then "
        f"'rebalancer resume --account {account.name}'"
    )


def _key(session: Session, account: Account) -> str:
    """Whether the key is to be had (its variables are set) and may do what is needed, and no more."""
    check_permissions(account.name, session.ports.venues.connect(account).key_permissions())
    return "may trade, may not withdraw"


def _venue_clock(session: Session, account: Account) -> str:
    skew = session.ports.venues.connect(account).clock_skew()
    denial = skew_denial(skew)
    if denial is not None:
        raise denial
    return f"within {MAX_CLOCK_SKEW.total_seconds():.0f} s of the venue's"
