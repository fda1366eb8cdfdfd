"""`rebalancer plan`, `run` and `history`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rebalancer_pipelines.application.documents import history_document
from rebalancer_pipelines.application.rebalance.propose import preview_plan
from rebalancer_pipelines.cli.launch import launch_rebalance, prepare_dagster
from rebalancer_pipelines.cli.options import AsJson, DataDir
from rebalancer_pipelines.cli.output import console, minute, money, price_notice, print_json, print_table
from rebalancer_pipelines.cli.session import open_session
from rebalancer_pipelines.domain.values import parse_whole

_MOST_ROWS = 1_000_000


def plan(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show what a rebalance would do now; sends and stores nothing."""
    with open_session(data_dir) as session:
        document = preview_plan(session.ports, name)
    if as_json:
        print_json(document)
        return
    currency = document["valuation_currency"]
    console.print(
        f"[bold]{name}[/bold] is worth {money(document['portfolio_value'])} {currency}; {price_notice(document)}"
    )
    if document["orders"]:
        columns = ("side", "market", "quantity", "price", "notional", "fee")
        rows = (
            [o["side"], o["market"], o["quantity"], o["price"], money(o["notional"]), money(o["fee"])]
            for o in document["orders"]
        )
        print_table("Orders", columns, rows, numbers=columns[2:])
    else:
        console.print("No order is needed.")
    columns = ("currency", "current", "target", "drift", "after")
    rows = ([w["currency"], *(money(w[c]) for c in columns[1:])] for w in document["weights"])
    print_table("Weights in percent", columns, rows, numbers=columns[1:])
    for skipped in document["skipped"]:
        console.print(f"  [dim]{skipped['currency']}[/dim] {skipped['reason']}")
    console.print(f"Nothing was sent. Do it with [bold]rebalancer run {name}[/bold], or rehearse with --dry-run.")


def run(
    name: str,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Simulate the orders; nothing is sent.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Run the Dagster job for a portfolio and print its history row."""
    with open_session(data_dir) as session:
        with session.ports.transactions() as work:
            portfolio = work.portfolios.get(name)
            account = work.accounts.by_id(portfolio.account_id)
        if not as_json:
            mode = "DRY RUN, nothing is sent" if dry_run else f"trading on the {account.venue} venue"
            console.print(f"Rebalancing {name}: {mode} …")
        prepare_dagster(session)
        run_id = launch_rebalance(session, name, dry_run=dry_run)
        with session.ports.transactions() as work:
            rows = work.history.newest(portfolio.id, 5)
    record = next((r for _, r in rows if r.dagster_run_id == run_id), None)
    if record is None:
        console.print(f"Run {run_id} has left no history row; see it in the Dagster UI.")
        raise typer.Exit(1)
    document = history_document(name, record)
    if as_json:
        print_json(document)
    else:
        _print_history([document])
        for order in document["orders"]:
            told = f"{order['side'] or ''} {order['market']} {order['filled_quantity']}"
            console.print(f"  {order['state']:<17} {told} {order['reason'] or ''}")
    raise typer.Exit(0 if record.success else 1)


def history(
    name: Annotated[str | None, typer.Argument(help="A portfolio; all when none is named.")] = None,
    limit: Annotated[str, typer.Option(help="How many rows.")] = "10",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List past rebalances, newest first."""
    rows = parse_whole(limit, field="limit", least=1, most=_MOST_ROWS)
    with open_session(data_dir) as session, session.ports.transactions() as work:
        portfolio_id = work.portfolios.get(name).id if name else None
        documents = [history_document(owner, record) for owner, record in work.history.newest(portfolio_id, rows)]
    if as_json:
        print_json(documents)
        return
    _print_history(documents)


def _print_history(documents: list[dict[str, Any]]) -> None:
    columns = ("executed at", "portfolio", "result", "mode", "value", "traded", "fees", "orders", "by")
    rows = (
        (
            minute(d["executed_at"]),
            d["portfolio"],
            "[green]done[/green]" if d["success"] else "[red]failed[/red]",
            f"{'dry run' if d['dry_run'] else 'trade'}, {d['price_source']} prices",
            money(d["portfolio_value"]),
            money(d["total_value_traded"]),
            money(d["fees_paid"]),
            f"{d['orders_executed']}/{d['orders_planned']}",
            d["triggered_by"],
        )
        for d in documents
    )
    print_table("Rebalances", columns, rows, numbers=("value", "traded", "fees", "orders"))
    for document in documents:
        for error in document["errors"] or []:
            console.print(f"  [red]{document['portfolio']}[/red] {error['code']}: {error['message']}")
