"""`rebalancer scheduler …`: what rebalances by itself, seen and steered from the terminal."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from rebalancer_pipelines.adapters.report.words import counted
from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.application.claims import claim_by_hand, open_claims
from rebalancer_pipelines.application.documents import Document, history_document, moment
from rebalancer_pipelines.application.trading_mode import mode_of
from rebalancer_pipelines.cli.launch import explained, launch_batch, prepare_dagster
from rebalancer_pipelines.cli.options import AsJson, DataDir
from rebalancer_pipelines.cli.output import minute, print_json, print_table, say
from rebalancer_pipelines.cli.program_settings import SCHEDULER_VARIABLES, scheduler_settings, scheduler_values
from rebalancer_pipelines.cli.rebalance import report_run
from rebalancer_pipelines.cli.scheduler_documents import (
    automation_document,
    claim_documents,
    daemon_document,
    upcoming_document,
)
from rebalancer_pipelines.cli.session import Session, chosen_data_dir, open_session
from rebalancer_pipelines.cli.up import running_pid
from rebalancer_pipelines.domain.errors import InvalidInputError, NotFoundError
from rebalancer_pipelines.domain.values import parse_whole
from rebalancer_pipelines.orchestration.instance import ANALYTICS_LOCATION, LOCATION

if TYPE_CHECKING:
    import dagster as dg

    from rebalancer_pipelines.orchestration.scheduler_state import Automation, Locations

app = typer.Typer(help="What rebalances by itself: look at it, start and stop it.", no_args_is_help=True)

_MOST_ROWS = 100_000
_NOT_UP = "'rebalancer up' does not run, so nothing happens by itself."

Names = Annotated[
    list[str] | None, typer.Argument(help="Portfolios, schedules or sensors; all that rebalances when none is named.")
]


@app.command("status")
def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show the switches, every schedule and sensor with its last tick, and every portfolio's last and next run."""
    with open_session(data_dir) as session:
        settings = scheduler_settings(session.data_dir)
        with _dagster(session, settings) as (instance, automations):
            daemons = [daemon_document(found) for found in instance.get_daemon_statuses().values() if found.required]
        with session.ports.transactions() as work:
            portfolios = work.portfolios.all()
            last = {
                p.id: next((record for _, record in work.history.newest(p.id, 1, rehearsed=False)), None)
                for p in portfolios
            }
        waiting = [document for batch in open_claims(session.ports) for document in claim_documents(batch)]
        names = {p.id: p.name for p in portfolios}
        document: Document = {
            "running": running_pid(session.data_dir) is not None,
            "enabled": settings.schedules_itself,
            "dry_run_only": settings.dry_run_only,
            "daemons": daemons,
            "automations": [automation_document(one, names) for one in automations],
            "portfolios": [
                {
                    "name": p.name,
                    "enabled": p.enabled,
                    "paused_at": moment(p.paused_at),
                    "paused_reason": p.paused_reason,
                    "next_rebalance_at": moment(p.next_rebalance_at),
                    "last": history_document(p.name, record) if (record := last[p.id]) else None,
                }
                for p in portfolios
            ],
            "waiting": waiting,
        }
    if as_json:
        print_json(document)
    else:
        _print_status(document)


@app.command("start")
def start(names: Names = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Let schedules and sensors run; the Dagster UI shows them as running."""
    _switch(names or [], data_dir, running=True, as_json=as_json)


@app.command("stop")
def stop(names: Names = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Stop what rebalances by itself, or the named ones; what keeps house goes on unless it is named."""
    _switch(names or [], data_dir, running=False, as_json=as_json)


@app.command("trigger")
def trigger(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Rebalance a portfolio now the way the scheduler does: take it up, run the batch job, print its history row."""
    with open_session(data_dir) as session:
        with session.ports.transactions() as work:
            portfolio = work.portfolios.get(name)
            account = work.accounts.by_id(portfolio.account_id)
        prepare_dagster(session)
        batch = claim_by_hand(session.ports, name)
        if not as_json:
            say(f"Rebalancing {name}: {mode_of(session.ports, account, dry_run=False).describe(account)} …")
        run_id = launch_batch(session, batch)
        report_run(session.ports, portfolio, account, run_id, as_json=as_json)


@app.command("upcoming")
def upcoming(
    limit: Annotated[str, typer.Option(help="How many portfolios.")] = "20",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the portfolios as they fall due, and what will take each up; those that nothing takes up say why."""
    rows = parse_whole(limit, field="limit", least=1, most=_MOST_ROWS)
    with open_session(data_dir) as session:
        settings = scheduler_settings(session.data_dir)
        with _dagster(session, settings) as (_, automations):
            pass
        with session.ports.transactions() as work:
            portfolios = sorted(
                work.portfolios.all(), key=lambda p: (p.next_rebalance_at is None, p.next_rebalance_at, p.name)
            )
        now = session.ports.clock.now()
        documents = [upcoming_document(each, automations, settings, now) for each in portfolios[:rows]]
        is_up = running_pid(session.data_dir) is not None
    if as_json:
        print_json(documents)
        return
    table = (
        (
            d["portfolio"],
            minute(d["due_at"]),
            f"{minute(d['due_local'])} {d['time_zone']}" if d["due_local"] else "-",
            d["served_by"] or Text(d["reason"], "yellow"),
            minute(d["served_at"]),
        )
        for d in documents
    )
    print_table("Upcoming", ("portfolio", "due (UTC)", "due (local)", "taken up by", "at (UTC)"), table)
    if not is_up:
        say(_NOT_UP)


@app.command("config")
def config(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show the SCHEDULER_* variables as the running program has them, else as this terminal has them."""
    folder = chosen_data_dir(data_dir)
    values = scheduler_values(folder)
    scheduler_settings(folder)
    documents = [
        {"variable": one.name, "value": values[one.name], "default": one.default, "meaning": one.meaning}
        for one in SCHEDULER_VARIABLES
    ]
    if as_json:
        print_json(documents)
        return
    print_table("Scheduler", ("variable", "value", "default", "meaning"), [tuple(d.values()) for d in documents])


def _switch(names: Sequence[str], data_dir: DataDir, *, running: bool, as_json: bool) -> None:
    with open_session(data_dir) as session:
        settings = scheduler_settings(session.data_dir)
        with _locations(session, settings) as (instance, locations):
            from rebalancer_pipelines.orchestration import scheduler_state  # noqa: PLC0415 - it imports Dagster

            started = settings.starts_scheduler
            automations = scheduler_state.read_automations(instance, locations, started=started)
            chosen = [_find(session, automations, name) for name in names] or [a for a in automations if a.rebalances]
            changed = scheduler_state.set_running(
                instance, locations, [one.name for one in chosen], running=running, started=started
            )
        is_up = running_pid(session.data_dir) is not None
    word = "running" if running else "stopped"
    if as_json:
        print_json({"state": word, "changed": changed, "unchanged": sorted({one.name for one in chosen} - {*changed})})
        return
    say(f"Now {word}: {', '.join(changed)}." if changed else f"Already {word}; nothing has changed.")
    if not running and not names:
        say("What runs now goes on. A portfolio that is enabled from now on has a schedule that runs.")
        say("To keep everything from running by itself, start 'rebalancer up' with SCHEDULER_ENABLED=false.")
    if running and not settings.schedules_itself:
        say("But SCHEDULER_ENABLED is false: nothing is rebalanced by itself.")
    if running and not is_up:
        say(_NOT_UP)


def _find(session: Session, automations: Sequence[Automation], name: str) -> Automation:
    """A portfolio's schedule, or the schedule or sensor of that name."""
    with session.ports.transactions() as work:
        portfolio = next((p for p in work.portfolios.all() if p.name == name), None)
    for one in automations:
        if one.portfolio_id == portfolio.id if portfolio else one.name == name:
            return one
    if portfolio is not None and not portfolio.enabled:
        remedy = f"is not enabled, so it has no schedule; 'rebalancer portfolio update {name} --enable' gives it one"
        raise InvalidInputError("portfolio", name, remedy)
    if portfolio is not None:
        remedy = "has no schedule of its own, since SCHEDULER_SCHEDULES allows no more; due_portfolios takes it up"
        raise InvalidInputError("portfolio", name, remedy)
    there = ", ".join(one.name for one in automations if one.portfolio_id is None)
    raise NotFoundError("name", name, f"is unknown; name a portfolio or one of {there}")


@contextmanager
def _dagster(session: Session, settings: Settings) -> Generator[tuple[dg.DagsterInstance, list[Automation]]]:
    with _locations(session, settings) as (instance, locations):
        from rebalancer_pipelines.orchestration.scheduler_state import read_automations  # noqa: PLC0415

        yield instance, read_automations(instance, locations, started=settings.starts_scheduler)


@contextmanager
def _locations(session: Session, settings: Settings) -> Generator[tuple[dg.DagsterInstance, Locations]]:
    """Dagster's instance, and everything that runs by itself, the portfolios' schedules as they are stored now."""
    prepare_dagster(session)
    # Dagster takes two seconds to import: only commands that look at it pay for that.
    import dagster as dg  # noqa: PLC0415

    from rebalancer_pipelines.definitions import build_definitions  # noqa: PLC0415
    from rebalancer_pipelines.orchestration.analytics_automations import ANALYTICS_AUTOMATIONS  # noqa: PLC0415
    from rebalancer_pipelines.orchestration.resources import Rebalancer  # noqa: PLC0415

    with session.ports.transactions() as work:
        rhythms = work.claims.rhythms(settings.most_schedules)
    definitions = build_definitions(Rebalancer(database_url=dg.EnvVar("DATABASE_URL")), rhythms)
    with explained("read or store its state"), dg.DagsterInstance.get() as instance:
        repository = definitions.get_repository_def()
        yield (
            instance,
            {
                LOCATION: [*repository.schedule_defs, *repository.sensor_defs],
                ANALYTICS_LOCATION: ANALYTICS_AUTOMATIONS,
            },
        )


def _print_status(document: Document) -> None:
    say("Automation is on." if document["enabled"] else "Automation is OFF: SCHEDULER_ENABLED is false.")
    if document["dry_run_only"]:
        say("SCHEDULER_DRY_RUN is set: every run is a DRY RUN.")
    if not document["running"]:
        say(_NOT_UP)
    for daemon in document["daemons"]:
        if document["running"] and not daemon["healthy"]:
            say(f"Dagster's {daemon['name']} daemon gives no sign of life; see 'rebalancer doctor'.")
    automations = (
        (
            a["name"],
            a["portfolio"] or ("" if a["rebalances"] else "keeps house"),
            a["rhythm"],
            Text("running", "green") if a["running"] else Text("stopped", "yellow"),
            minute(a["last_tick"]["at"]) if a["last_tick"] else "-",
            _tick_line(a["last_tick"]),
        )
        for a in document["automations"]
    )
    print_table(
        "Schedules and sensors", ("name", "portfolio", "when", "state", "last tick", "what came of it"), automations
    )
    portfolios = (
        (
            p["name"],
            "paused" if p["paused_at"] else "yes" if p["enabled"] else "no",
            "-" if p["last"] is None else "done" if p["last"]["success"] else "failed",
            minute(p["last"]["executed_at"]) if p["last"] else "-",
            minute(p["next_rebalance_at"]),
        )
        for p in document["portfolios"]
    )
    print_table("Portfolios", ("name", "by itself", "last result", "last at", "next due"), portfolios)
    for paused in (p for p in document["portfolios"] if p["paused_at"]):
        say(f"PAUSED: {paused['name']}: {paused['paused_reason']}")
        say(f"  let it go on with 'rebalancer portfolio resume {paused['name']}'")
    for claim in document["waiting"]:
        tried = f" after {claim['tries']} runs that ended without one" if claim["tries"] else ""
        say(f"Taken up at {minute(claim['claimed_at'])}, no outcome yet{tried}: {claim['portfolio']}")


def _tick_line(tick: Document | None) -> str:
    if tick is None:
        return ""
    if tick["runs"]:
        return counted(tick["runs"], "run")
    return f"{tick['outcome']}: {tick['note']}" if tick["note"] else tick["outcome"]
