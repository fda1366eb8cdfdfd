"""Opening accounts and looking into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.reconcile import adopt_opening_balance, totals_of
from rebalancer_pipelines.domain.ledger import Books, differences
from rebalancer_pipelines.domain.portfolio import Account, Holdings, Portfolio, parse_name
from rebalancer_pipelines.domain.values import Currency


def open_account(
    ports: Ports, *, name: str, venue: str, price_source: str, deposits: Mapping[Currency, Decimal]
) -> Account:
    """Store an account, put its play money on it where the venue is paper, and book its opening balance.

    Raises `InvalidInputError` when the name is taken or the venue cannot be used; then nothing is stored. Stopped in
    between, the account exists and its opening balance is booked when it is first used.
    """
    parse_name(name, field="name")
    ports.venues.check(venue, price_source, deposits)
    with ports.transactions() as work:
        account = work.accounts.add(name, venue, price_source, ports.clock.now())
        work.activity.add("account.opened", name, {"venue": venue, "prices": price_source}, ports.clock.now())
        work.commit()
    if deposits:
        ports.venues.fund(account, deposits)
    balances = ports.venues.connect(account).balances()
    with ports.transactions() as work:
        adopt_opening_balance(work, account, balances, ports.clock.now())
        work.commit()
    return account


@dataclass(frozen=True, slots=True)
class AccountOverview:
    """An account with what its venue holds and how the books divide it.

    `is_being_settled`: a rebalance is under way or was cut off, so books and venue may differ for a moment.
    """

    account: Account
    portfolios: tuple[Portfolio, ...]
    balances: Holdings
    books: Books
    differences: Mapping[Currency, Decimal]
    is_being_settled: bool


def look_into_account(ports: Ports, name: str) -> AccountOverview:
    """Read an account's balances at its venue beside its books. Raises `NotFoundError`, `VenueUnreachableError`."""
    with ports.transactions() as work:
        account = work.accounts.get(name)
    balances = ports.venues.connect(account).balances()
    with ports.transactions() as work:
        books = work.ledger.books(account.id)
        portfolios = tuple(work.portfolios.on_account(account.id))
        is_being_settled = bool(work.rebalances.active_on(account.id))
    found = differences(books.total(), totals_of(balances))
    return AccountOverview(account, portfolios, balances, books, found, is_being_settled)


def delete_account(ports: Ports, name: str) -> None:
    """Delete an account. Raises `InvalidInputError` while portfolios use it."""
    with ports.transactions() as work:
        account = work.accounts.get(name)
        work.accounts.delete(account.id)
        work.activity.add("account.deleted", name, {}, ports.clock.now())
        work.commit()
