"""`rebalancer prune`: Dagster's old runs and their events go, the history of rebalances stays."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from rebalancer_pipelines.adapters.settings import Settings, parse_days
from rebalancer_pipelines.cli.launch import explained, prepare_dagster
from rebalancer_pipelines.cli.options import AsJson, DataDir
from rebalancer_pipelines.cli.output import print_json, say
from rebalancer_pipelines.cli.progress import counting
from rebalancer_pipelines.cli.session import open_session


def prune(
    older_than: Annotated[
        str | None,
        typer.Option(help="Days after its end that a run is kept (env: EVENT_LOG_DAYS; 30).", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; nothing is deleted.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Delete old runs from Dagster's event log; runs under way and the history of rebalances stay."""
    retention = parse_days(older_than, field="older_than") if older_than is not None else Settings().event_log_retention
    with open_session(data_dir) as session:
        prepare_dagster(session)
        import dagster as dg  # noqa: PLC0415 - two seconds that only commands of Dagster pay for

        from rebalancer_pipelines.orchestration.retention import prune_event_log  # noqa: PLC0415

        with (
            explained("prune its event log"),
            dg.DagsterInstance.get() as instance,
            counting("Looking through old runs", hidden=as_json) as progress,
        ):
            pruned = prune_event_log(
                instance,
                older_than=retention,
                now=datetime.now(UTC),
                dry_run=dry_run,
                progress=progress,
            )
    if as_json:
        print_json({**asdict(pruned), "older_than_days": retention // timedelta(days=1), "dry_run": dry_run})
        return
    say(
        f"{'Would delete' if dry_run else 'Deleted'} {pruned.runs} runs with {pruned.events} events, older than "
        f"{retention // timedelta(days=1)} days."
    )
    if pruned.kept:
        say(f"{pruned.kept} older ones stay: the asset pages show what they made.")
