"""`rebalancer plan`, `run` and `history`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NoReturn

import typer
from rich.text import Text

from rebalancer_pipelines.application.documents import history_document, telling_errors
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.propose import preview_plan
from rebalancer_pipelines.application.rebalance.start import parse_confirmed
from rebalancer_pipelines.application.trading_mode import mode_of
from rebalancer_pipelines.cli.account_documents import read_shortage
from rebalancer_pipelines.cli.launch import launch_rebalance, prepare_dagster
from rebalancer_pipelines.cli.options import AsJson, DataDir
from rebalancer_pipelines.cli.output import console, minute, money, price_notice, print_json, print_table, say
from rebalancer_pipelines.cli.session import open_session
from rebalancer_pipelines.cli.trading import read_stops
from rebalancer_pipelines.domain.portfolio import Account, Portfolio, TradingState
from rebalancer_pipelines.domain.rebalance import TriggeredBy
from rebalancer_pipelines.domain.risk import CONFIRMABLE
from rebalancer_pipelines.domain.values import parse_whole

_MOST_ROWS = 1_000_000


def plan(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show what a rebalance would do now; sends and stores nothing."""
    with open_session(data_dir) as session:
        document = preview_plan(session.ports, name)
        with session.ports.transactions() as work:
            account = work.accounts.by_id(work.portfolios.get(name).account_id)
        outlook = _outlook(session.ports, account, name, document["denials"])
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
        say(f"  {skipped['currency']} {skipped['reason']}")
    _say_denials(document["denials"])
    say(f"Nothing was sent. {outlook}")


def run(
    name: str,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Simulate the orders; nothing is sent.")] = False,
    confirm: Annotated[
        list[str] | None,
        typer.Option(help=f"Waive a limit for this run alone: {' or '.join(sorted(CONFIRMABLE))}."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Run the Dagster job for a portfolio and print its history row."""
    confirmed = sorted(reason.value for reason in parse_confirmed(confirm or []))
    with open_session(data_dir) as session:
        with session.ports.transactions() as work:
            portfolio = work.portfolios.get(name)
            account = work.accounts.by_id(portfolio.account_id)
        if not as_json:
            mode = mode_of(session.ports, account, dry_run=dry_run)
            waived = f" (confirmed: {', '.join(confirmed)})" if confirmed else ""
            say(f"Rebalancing {name}: {mode.describe(account)}{waived} …")
        prepare_dagster(session)
        run_id = launch_rebalance(session, name, dry_run=dry_run, confirmed=confirmed)
        report_run(session.ports, portfolio, account, run_id, as_json=as_json)


def report_run(ports: Ports, portfolio: Portfolio, account: Account, run_id: str, *, as_json: bool) -> NoReturn:
    """Print the history row that a run has left for a portfolio; exit 0 for a success, else 1."""
    with ports.transactions() as work:
        rows = work.history.newest(portfolio.id, 5)
        record = next((r for _, r in rows if r.dagster_run_id == run_id), None)
        planned = work.rebalances.plan_document(record.id) if record and record.plan_hash else None
    if record is None:
        say(
            f"Run {run_id} has left no history row yet: an order of it waits for its fate, or it ended before it began."
        )
        say(f"See it in the Dagster UI, and 'rebalancer account review {account.name}'.")
        raise typer.Exit(1)
    document = history_document(portfolio.name, record)
    if as_json:
        print_json(document)
    else:
        _print_history([document], on_paper={portfolio.name: account.is_paper})
        for order in document["orders"]:
            told = (order["side"], order["market"], order["filled_quantity"], order["reason"])
            say(f"  {order['state']:<17} {' '.join(part for part in told if part)}")
        if record.dry_run and planned is not None:
            _say_denials(planned["denials"])
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
        accounts = {account.id: account for account in work.accounts.all()}
        on_paper = {p.name: accounts[p.account_id].is_paper for p in work.portfolios.all()}
    if as_json:
        print_json(documents)
        return
    _print_history(documents, on_paper=on_paper)


def _print_history(documents: list[dict[str, Any]], *, on_paper: Mapping[str, bool]) -> None:
    """History rows as a table; `on_paper` tells by portfolio whether its money is play money."""
    columns = ("executed at", "portfolio", "result", "mode", "value", "traded", "fees", "orders", "by")
    rows = (
        (
            minute(d["executed_at"]),
            d["portfolio"],
            Text("done", "green") if d["success"] else Text("failed", "red"),
            _mode(d, on_paper=on_paper[d["portfolio"]]),
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
        for error in telling_errors(document["errors"]):
            say(f"  {document['portfolio']} {error['code']}: {error['message']}")


def _mode(document: dict[str, Any], *, on_paper: bool) -> str:
    if not document["dry_run"] and not on_paper:
        return "LIVE, real money"
    if document["dry_run"] and document["triggered_by"] == TriggeredBy.BACKFILL:
        return f"rehearsal, {document['price_source']} prices"
    return f"{'dry run' if document['dry_run'] else 'paper'}, {document['price_source']} prices"


def _say_denials(denials: list[dict[str, str]]) -> None:
    for denial in denials:
        say(f"A live run would be denied: {denial['code']}: {denial['message']}")


def _outlook(ports: Ports, account: Account, name: str, denials: list[dict[str, str]]) -> str:
    """What `run` would do now, in one sentence."""
    mode = mode_of(ports, account, dry_run=False)
    run = f"'rebalancer run {name}'"
    shortage = read_shortage(ports, account)
    stops = [] if mode.is_dry_run else read_stops(ports).lines
    if account.trading_state is TradingState.HALTED:
        reason = account.trading_state_reason or "no reason was given"
        return f"{run} is refused now: account {account.name} is halted: {reason}."
    if stops:
        return f"{run} is refused now: {stops[0]}."
    if shortage is not None:
        return f"{run} is refused now: {shortage.message}."
    if mode.is_dry_run:
        return f"{run} is a {mode.describe(account)}."
    if denials:
        return f"{run} is {mode.describe(account)}, and would be denied as above; rehearse it with --dry-run."
    return f"{run} is {mode.describe(account)}; rehearse it with --dry-run."
