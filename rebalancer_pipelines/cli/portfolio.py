"""`rebalancer portfolio …`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from rebalancer_pipelines.application.documents import moment
from rebalancer_pipelines.application.portfolio_display import Worth, displayed_worth, listed_portfolios
from rebalancer_pipelines.application.portfolio_draft import portfolio_fields
from rebalancer_pipelines.application.portfolios import (
    allocate_money,
    create_portfolio,
    delete_portfolio,
    export_portfolios,
    import_portfolios,
    release_money,
    resume_portfolio,
    update_portfolio,
)
from rebalancer_pipelines.cli.options import AsJson, DataDir, parse_amounts
from rebalancer_pipelines.cli.output import console, minute, money, print_json, print_table, say
from rebalancer_pipelines.cli.session import Session, open_session
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.portfolio import Portfolio
from rebalancer_pipelines.domain.values import plain

app = typer.Typer(help="Portfolios: what to hold, and when to return to it.", no_args_is_help=True)

Weights = Annotated[
    str, typer.Option(help="Percent per currency: BTC=50,ETH=30,EUR=20; without a number, an equal share.")
]
Interval = Annotated[str | None, typer.Option(help="hourly, daily, weekly or monthly (default: weekly).")]
Threshold = Annotated[str | None, typer.Option(help="Smallest order value, in valuation currency (default: 10).")]
Band = Annotated[str | None, typer.Option(help="Trade only once a weight has left its band, in percent.")]
BandKind = Annotated[str | None, typer.Option(help="absolute (points) or relative (percent of the target).")]
MaxOrders = Annotated[str | None, typer.Option(help="Most orders of one rebalance, largest drifts first.")]
CashReserve = Annotated[str | None, typer.Option(help="Fraction of the value that buys leave in cash (default: 0.01).")]
TimeZone = Annotated[str | None, typer.Option(help="IANA name, such as Europe/Berlin (default: UTC).")]
Currency = Annotated[str | None, typer.Option(help="Currency of value and settlement (default: EUR).")]
Description = Annotated[str | None, typer.Option(help="A few words.")]


@app.command("create")
def create(
    name: str,
    account: Annotated[str, typer.Option(help="The account it lives on.")],
    weights: Weights,
    interval: Interval = None,
    threshold: Threshold = None,
    band: Band = None,
    band_kind: BandKind = None,
    max_orders: MaxOrders = None,
    cash_reserve: CashReserve = None,
    time_zone: TimeZone = None,
    valuation_currency: Currency = None,
    description: Description = None,
    enable: Annotated[bool, typer.Option("--enable", help="Rebalance it by itself.")] = False,
    allocate: Annotated[
        list[str] | None, typer.Option(help="Money of the account's unallocated book, such as EUR=3000.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Create a portfolio. The only one on an account owns everything there."""
    fields = {
        "name": name,
        "account": account,
        "weights": weights,
        "interval": interval,
        "threshold": threshold,
        "band": band,
        "band_kind": band_kind,
        "max_orders": max_orders,
        "cash_reserve": cash_reserve,
        "time_zone": time_zone,
        "valuation_currency": valuation_currency,
        "description": description,
        "enabled": enable,
    }
    allocations = parse_amounts(allocate or [], field="allocate")
    with open_session(data_dir) as session:
        portfolio = create_portfolio(session.ports, fields, allocations=allocations)
        document = _document(session, portfolio)
    if as_json:
        print_json(document)
        return
    console.print(f"Portfolio {name} is created. See what it would trade: [bold]rebalancer plan {name}[/bold]")
    if not document["book"]:
        console.print(f"It holds nothing yet: [bold]rebalancer portfolio allocate {name} EUR=AMOUNT[/bold]")


@app.command("list")
def list_portfolios(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the portfolios."""
    with open_session(data_dir) as session:
        listed = listed_portfolios(session.ports)
        account_ids = {entry.portfolio.account_id for entry in listed}
        with session.ports.transactions() as work:
            books = {account_id: work.ledger.books(account_id) for account_id in account_ids}
        documents = [
            _written(entry.portfolio, entry.account, books[entry.portfolio.account_id].of(entry.portfolio.id))
            for entry in listed
        ]
    if as_json:
        print_json(documents)
        return
    rows = (
        (
            d["name"],
            d["account"],
            _shown(d["weights"]),
            d["interval"],
            "paused" if d["paused_at"] else "yes" if d["enabled"] else "no",
            minute(d["last_rebalanced_at"]),
            minute(d["next_rebalance_at"]),
        )
        for d in documents
    )
    columns = ("name", "account", "weights", "interval", "enabled", "last rebalanced", "next due")
    print_table("Portfolios", columns, rows)
    for paused in (d for d in documents if d["paused_at"]):
        say(f"PAUSED: {paused['name']}: {paused['paused_reason']}")
        say(f"  let it go on with 'rebalancer portfolio resume {paused['name']}'")


@app.command("show")
def show(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show a portfolio: its rules, its book, and what that was worth at the newest known prices."""
    with open_session(data_dir) as session:
        with session.ports.transactions() as work:
            portfolio = work.portfolios.get(name)
            account = work.accounts.by_id(portfolio.account_id)
            book = work.ledger.books(account.id).of(portfolio.id)
        worth = displayed_worth(session.ports, portfolio, account, book)
    document = _written(portfolio, account.name, book)
    if as_json:
        print_json({**document, "worth": _worth_document(worth)})
        return
    rows = [(key, _shown(value)) for key, value in document.items() if key not in {"id", "account_id"}]
    rows.append(("worth", _worth_line(worth, portfolio)))
    print_table(name, ("field", "value"), rows)


@app.command("update")
def update(
    name: str,
    weights: Annotated[str | None, typer.Option(help="Percent per currency: BTC=50,ETH=30,EUR=20.")] = None,
    interval: Interval = None,
    threshold: Threshold = None,
    band: Annotated[str | None, typer.Option(help="Band in percent; 'none' removes it.")] = None,
    band_kind: BandKind = None,
    max_orders: Annotated[str | None, typer.Option(help="Most orders of one rebalance; 'none' sets no limit.")] = None,
    cash_reserve: CashReserve = None,
    time_zone: TimeZone = None,
    valuation_currency: Currency = None,
    description: Description = None,
    enable: Annotated[bool | None, typer.Option("--enable/--disable", help="Rebalance by itself or not.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change a portfolio; what is not given stays."""
    given = {
        "weights": weights,
        "interval": interval,
        "threshold": threshold,
        "band": band,
        "band_kind": band_kind,
        "max_orders": max_orders,
        "cash_reserve": cash_reserve,
        "time_zone": time_zone,
        "valuation_currency": valuation_currency,
        "description": description,
        "enabled": enable,
    }
    changes: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    for removable in ("band", "max_orders"):
        if changes.get(removable) == "none":
            changes[removable] = None
    if not changes:
        raise InvalidInputError("update", None, "nothing to change was given; see 'rebalancer portfolio update --help'")
    with open_session(data_dir) as session:
        document = _document(session, update_portfolio(session.ports, name, changes))
    if as_json:
        print_json(document)
        return
    console.print(f"Portfolio {name} is updated: {', '.join(changes)}.")


@app.command("resume")
def resume(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Let a portfolio that was paused after too many failures be rebalanced by itself again."""
    with open_session(data_dir) as session:
        document = _document(session, resume_portfolio(session.ports, name))
    if as_json:
        print_json(document)
        return
    if document["enabled"]:
        say(f"Portfolio {name} goes on; it is due at {minute(document['next_rebalance_at'])} UTC.")
    else:
        say(f"Portfolio {name} is not paused any more, and still not enabled.")


@app.command("delete")
def delete(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Delete a portfolio with its history; its money becomes unallocated."""
    with open_session(data_dir) as session:
        delete_portfolio(session.ports, name)
    if as_json:
        print_json({"deleted": name})
        return
    console.print(f"Portfolio {name} is deleted with its history; what its book held is unallocated now.")


@app.command("allocate")
def allocate(
    name: str,
    amounts: Annotated[list[str], typer.Argument(help="Amounts such as EUR=3000.")],
    source: Annotated[str | None, typer.Option("--from", help="Take it from this portfolio's book.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Move money into a portfolio's book; nothing moves at the venue."""
    with open_session(data_dir) as session:
        allocate_money(session.ports, name, parse_amounts(amounts, field="allocate"), source=source)
        with session.ports.transactions() as work:
            portfolio = work.portfolios.get(name)
        document = _document(session, portfolio)
    if as_json:
        print_json(document)
        return
    console.print(f"Moved {', '.join(amounts)} to {name}.")


@app.command("release")
def release(
    name: str,
    amounts: Annotated[list[str], typer.Argument(help="Amounts such as EUR=100.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Move money out of a portfolio's book into the unallocated one; nothing moves at the venue."""
    with open_session(data_dir) as session:
        release_money(session.ports, name, parse_amounts(amounts, field="release"))
        with session.ports.transactions() as work:
            portfolio = work.portfolios.get(name)
        document = _document(session, portfolio)
    if as_json:
        print_json(document)
        return
    console.print(f"Released {', '.join(amounts)} from {name}; it is unallocated now.")


@app.command("export")
def export(
    names: Annotated[list[str] | None, typer.Argument(help="Portfolios; all when none is named.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; standard output when absent.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write portfolios as JSON, as `import` takes them back."""
    del as_json  # the export is JSON in any case
    with open_session(data_dir) as session:
        document = export_portfolios(session.ports, names or [])
    if out is None:
        print_json(document)
        return
    try:
        out.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInputError("out", str(out), f"cannot be written: {error.strerror}; choose another file") from None
    say(f"Wrote {len(document['portfolios'])} portfolios to {out}.")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that `export` wrote; - for standard input.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Create every portfolio of a file, or none."""
    content = _read(file)
    with open_session(data_dir) as session:
        imported = import_portfolios(session.ports, content)
        documents = [_document(session, portfolio) for portfolio in imported]
    if as_json:
        print_json(documents)
        return
    console.print(f"Imported {', '.join(p.name for p in imported) or 'nothing'}.")


def _read(file: Path) -> object:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidInputError("file", str(file), f"cannot be read: {reason}; name an exported file") from None
    try:
        # Numbers stay text on their way to Decimal: a binary float never stands in between.
        return json.loads(
            text, parse_float=str, parse_int=_parse_int, parse_constant=str, object_pairs_hook=_unique_keys
        )
    except (json.JSONDecodeError, RecursionError) as error:
        where = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "its depth"
        raise InvalidInputError("file", str(file), f"is not JSON ({where}); export it again") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for key, value in pairs:
        if key in entries:
            raise InvalidInputError("file", key, "is a key that one object holds twice; keep one of them")
        entries[key] = value
    return entries


def _parse_int(text: str) -> int | str:
    return int(text) if len(text) < 20 else text


def _document(session: Session, portfolio: Portfolio) -> dict[str, Any]:
    with session.ports.transactions() as work:
        account = work.accounts.by_id(portfolio.account_id)
        book = work.ledger.books(account.id).of(portfolio.id)
    return _written(portfolio, account.name, book)


def _written(portfolio: Portfolio, account: str, book: Mapping[Any, Decimal]) -> dict[str, Any]:
    return {
        "id": str(portfolio.id),
        **portfolio_fields(portfolio, account),
        "target_weights": {c: plain(w) for c, w in portfolio.weights},
        "book": {c: plain(amount) for c, amount in sorted(book.items())},
        "last_rebalanced_at": moment(portfolio.last_rebalanced_at),
        "next_rebalance_at": moment(portfolio.next_rebalance_at),
        "paused_at": moment(portfolio.paused_at),
        "paused_reason": portfolio.paused_reason,
        "created_at": moment(portfolio.created_at),
        "updated_at": moment(portfolio.updated_at),
    }


def _worth_document(worth: Worth | None) -> dict[str, Any] | None:
    if worth is None:
        return None
    return {
        "amount": plain(worth.amount),
        "priced_at": moment(worth.priced_at),
        "age_seconds": round(worth.age.total_seconds()) if worth.age is not None else None,
        "price_source": worth.price_source,
        "recorded_at": moment(worth.recorded_at),
    }


def _worth_line(worth: Worth | None, portfolio: Portfolio) -> str:
    if worth is None:
        return f"not known before its first run; 'rebalancer plan {portfolio.name}' asks the venue"
    amount = f"{money(worth.amount)} {portfolio.valuation_currency}"
    if worth.age is None:
        return amount
    market = f"{'RECORDED market, ' if worth.recorded_at else ''}{worth.price_source}"
    return f"{amount} at prices of {worth.age.total_seconds() / 60:.0f} minutes ago ({market})"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={'equal share' if part is None else part}" for key, part in value.items()) or "-"
    return "-" if value is None or value == "" else str(value)
