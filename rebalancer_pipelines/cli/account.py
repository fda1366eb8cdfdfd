"""`rebalancer account …`."""

from __future__ import annotations

from typing import Annotated

import typer

from rebalancer_pipelines.application.accounts import AccountOverview, delete_account, look_into_account, open_account
from rebalancer_pipelines.application.documents import moment
from rebalancer_pipelines.cli.options import AsJson, DataDir, parse_amounts
from rebalancer_pipelines.cli.output import console, print_json, print_table
from rebalancer_pipelines.cli.session import open_session
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.values import ZERO, plain

app = typer.Typer(help="Accounts: one login at one venue each.", no_args_is_help=True)


@app.command("add")
def add(
    name: str,
    venue: Annotated[str, typer.Option(help="paper, kraken or another ccxt id.")],
    prices: Annotated[str, typer.Option(help="Prices of a paper venue: recorded or live.")] = "recorded",
    deposit: Annotated[list[str] | None, typer.Option(help="Play money of a paper account, such as EUR=10000.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Open an account."""
    deposits = parse_amounts(deposit or [], field="deposit")
    with open_session(data_dir) as session:
        account = open_account(session.ports, name=name, venue=venue, price_source=prices, deposits=deposits)
        overview = look_into_account(session.ports, name)
    if as_json:
        print_json(_overview_document(overview))
        return
    console.print(f"Account {account.name} is open on the {account.venue} venue ({account.price_source} prices).")


@app.command("list")
def list_accounts(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the accounts."""
    with open_session(data_dir) as session, session.ports.transactions() as work:
        accounts = [_account_document(account) for account in work.accounts.all()]
    if as_json:
        print_json(accounts)
        return
    rows = (
        [str(a["name"]), str(a["venue"]), str(a["prices"]), f"{a['trading_state']} {a['trading_state_reason'] or ''}"]
        for a in accounts
    )
    print_table("Accounts", ("name", "venue", "prices", "trading"), rows)


@app.command("show")
def show(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show an account: what its venue holds, and how the books divide it."""
    with open_session(data_dir) as session:
        overview = look_into_account(session.ports, name)
    document = _overview_document(overview)
    if as_json:
        print_json(document)
        return
    account = overview.account
    console.print(
        f"[bold]{account.name}[/bold]: {account.venue} venue, {account.price_source} prices, "
        f"{account.trading_state.value} {account.trading_state_reason or ''}"
    )
    columns = ["currency", "at venue", "free", *(p.name for p in overview.portfolios), "unallocated", "difference"]
    currencies = sorted({*overview.balances, *overview.books.total()})
    rows: list[list[str]] = []
    for currency in currencies:
        holding = overview.balances.get(currency)
        rows.append(
            [
                currency,
                plain(holding.total if holding else ZERO),
                plain(holding.free if holding else ZERO),
                *(plain(overview.books.of(p.id).get(currency, ZERO)) for p in overview.portfolios),
                plain(overview.books.unallocated.get(currency, ZERO)),
                plain(overview.differences.get(currency, ZERO)),
            ]
        )
    print_table("Balances and books", columns, rows, numbers=columns[1:])
    console.print("[red]Books and venue differ.[/red]" if overview.differences else "Books and venue agree.")
    if overview.is_being_settled:
        console.print("A rebalance is under way or was cut off; what it left is settled within a minute of its end.")


@app.command("delete")
def delete(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Delete an account that no portfolio uses."""
    with open_session(data_dir) as session:
        delete_account(session.ports, name)
    if as_json:
        print_json({"deleted": name})
        return
    console.print(f"Account {name} is deleted.")


def _account_document(account: Account) -> dict[str, object]:
    return {
        "id": str(account.id),
        "name": account.name,
        "venue": account.venue,
        "prices": account.price_source,
        "trading_state": account.trading_state.value,
        "trading_state_reason": account.trading_state_reason,
        "created_at": moment(account.created_at),
    }


def _overview_document(overview: AccountOverview) -> dict[str, object]:
    return {
        **_account_document(overview.account),
        "balances": [
            {"currency": c, "total": plain(h.total), "free": plain(h.free), "locked": plain(h.locked)}
            for c, h in sorted(overview.balances.items())
        ],
        "books": [
            {"portfolio": portfolio, "currency": currency, "amount": plain(amount)}
            for portfolio, book in (
                *((p.name, overview.books.of(p.id)) for p in overview.portfolios),
                (None, overview.books.unallocated),
            )
            for currency, amount in sorted(book.items())
        ],
        "is_being_settled": overview.is_being_settled,
        "differences": {currency: plain(amount) for currency, amount in overview.differences.items()},
    }
