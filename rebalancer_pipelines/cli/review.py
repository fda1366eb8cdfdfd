"""`rebalancer account review`: what keeps an account from trading, and the way out of it."""

from __future__ import annotations

from typing import Annotated

import typer

from rebalancer_pipelines.application.review import Review, review_account
from rebalancer_pipelines.cli.account_documents import read_shortage, review_document
from rebalancer_pipelines.cli.options import AsJson, DataDir
from rebalancer_pipelines.cli.output import print_json, print_table, say
from rebalancer_pipelines.cli.session import open_session
from rebalancer_pipelines.domain.errors import DeniedError
from rebalancer_pipelines.domain.order import Order, OrderState
from rebalancer_pipelines.domain.portfolio import Account, TradingState
from rebalancer_pipelines.domain.values import plain


def review(
    name: str,
    not_accepted: Annotated[
        list[str] | None,
        typer.Option(help="Client order id of an order that you have looked for at the venue and that is not there."),
    ] = None,
    accept_balances: Annotated[
        bool, typer.Option("--accept-balances", help="The venue is right: book every difference that is left.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Ask the venue again what became of everything; exit 1 while something is left for you to decide."""
    with open_session(data_dir) as session:
        found = review_account(session.ports, name, not_accepted=not_accepted or [], accept_balances=accept_balances)
        with session.ports.transactions() as work:
            account = work.accounts.get(name)
        shortage = read_shortage(session.ports, account)
    if as_json:
        print_json(review_document(found, account, shortage))
    else:
        _print_review(found, account, shortage)
    raise typer.Exit(0 if found.is_clear and shortage is None else 1)


def _print_review(found: Review, account: Account, shortage: DeniedError | None) -> None:
    say(f"{account.name}: {account.trading_state.value} {account.trading_state_reason or ''}".rstrip())
    if found.orders:
        _print_orders(found.orders, account)
    if found.differences:
        _print_differences(found, account)
    if found.is_clear:
        say("No order of unknown fate, and books and venue agree.")
    if shortage is not None:
        say(shortage.message)
    elif found.is_clear and account.trading_state is TradingState.HALTED:
        say(f"Let it trade again: rebalancer resume --account {account.name}")


def _print_orders(orders: tuple[Order, ...], account: Account) -> None:
    columns = ("client order id", "side", "market", "quantity", "filled", "limit", "sent until", "state", "reason")
    rows = (
        (
            order.client_order_id,
            order.side.value,
            order.symbol,
            plain(order.quantity),
            plain(order.filled_quantity),
            plain(order.limit_price),
            f"{order.not_after:%Y-%m-%d %H:%M:%S}" if order.not_after else "-",
            order.state.value,
            order.reason or "",
        )
        for order in orders
    )
    print_table("Orders of unknown fate (times in UTC)", columns, rows, numbers=("quantity", "filled", "limit"))
    say(
        f"Look at {account.venue} itself, among open orders, closed orders and trades: the same market, side and "
        "quantity, shortly before 'sent until'."
    )
    say("If it is there: cancel it there should it still be open, then run this command again; it books what traded.")
    waiting = [order.client_order_id for order in orders if order.state is OrderState.NEEDS_REVIEW]
    for client_order_id in waiting:
        say(f"If it is not there: rebalancer account review {account.name} --not-accepted {client_order_id}")
    if len(waiting) < len(orders):
        say("Orders in other states than NEEDS_REVIEW the program still finds out by itself; run this again later.")


def _print_differences(found: Review, account: Account) -> None:
    rows = [(currency, f"{'+' if amount > 0 else ''}{plain(amount)}") for currency, amount in found.differences.items()]
    print_table("The venue holds more (+) or less (-) than the books", ("currency", "difference"), rows)
    if found.movements:
        lines = (
            (
                f"{movement.occurred_at:%Y-%m-%d %H:%M:%S}",
                movement.words,
                movement.currency,
                plain(movement.amount),
                plain(movement.fee),
                movement.entry_id,
            )
            for movement in found.movements
        )
        columns = ("at (UTC)", "what", "currency", "amount", "fee", "ledger id")
        print_table("Lines of the venue's ledger that the books lack", columns, lines, numbers=("amount", "fee"))
        say("Together they do not come to the difference, so none of them was booked.")
    else:
        say("The venue's ledger has no line that the books lack.")
    say("Balances may lag behind: run this again in some minutes first.")
    say(
        "If the venue is right, and you know why: "
        f"rebalancer account review {account.name} --accept-balances books the difference."
    )
