"""The books of an account: how money enters them, moves between them, and what a portfolio may trade of its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from rebalancer_pipelines.application.ports import UnitOfWork
from rebalancer_pipelines.domain.ledger import LedgerEntry, LedgerEntryKind
from rebalancer_pipelines.domain.portfolio import Account, Holding, Holdings, Portfolio
from rebalancer_pipelines.domain.values import EXACT, ZERO, Currency


def totals_of(balances: Holdings) -> dict[Currency, Decimal]:
    """What a venue holds by currency, without the currencies of which it holds nothing."""
    return {currency: holding.total for currency, holding in balances.items() if holding.total}


def adopt_opening_balance(work: UnitOfWork, account: Account, balances: Holdings, now: datetime) -> None:
    """Book what an account holds when it is first seen; an account with any entry is left alone.

    `now` is a moment before the balances were read: what moves later is found in the venue's own ledger.
    """
    work.accounts.lock(account.id)
    if work.ledger.is_untouched(account.id):
        work.accounts.mark_reconciled(account.id, now)
        work.ledger.append(
            [
                LedgerEntry(account.id, None, LedgerEntryKind.DEPOSIT, currency, amount, "opening balance", now)
                for currency, amount in totals_of(balances).items()
            ]
        )


def claim_for_sole_portfolio(work: UnitOfWork, account: Account, now: datetime) -> None:
    """With one portfolio on an account, everything there is its own: move the unallocated book to it."""
    work.accounts.lock(account.id)
    if work.portfolios.count_on_account(account.id) == 1:
        (portfolio,) = work.portfolios.on_account(account.id)
        transfer(work, portfolio, work.ledger.books(account.id).unallocated, now, source=None)


def transfer(
    work: UnitOfWork,
    portfolio: Portfolio,
    amounts: Mapping[Currency, Decimal],
    now: datetime,
    *,
    source: Portfolio | None,
) -> None:
    """Move amounts into a portfolio's book from another's, or from the unallocated one; the account's sum stays."""
    origin, name = (source.id, source.name) if source else (None, "unallocated")
    entries: list[LedgerEntry] = []
    for currency, amount in amounts.items():
        for book, moved in ((origin, EXACT.minus(amount)), (portfolio.id, amount)):
            entries.append(
                LedgerEntry(
                    portfolio.account_id,
                    book,
                    LedgerEntryKind.TRANSFER,
                    currency,
                    moved,
                    f"from {name} to {portfolio.name}",
                    now,
                )
            )
    if entries:
        work.ledger.append(entries)


def portfolio_holdings(book: Mapping[Currency, Decimal], balances: Holdings) -> dict[Currency, Holding]:
    """A portfolio's units, with what the venue lets it trade.

    Locked units of a currency cannot be told apart by portfolio, so each book on the account counts them as its own:
    a portfolio never sells units that may be another's free ones.
    """
    holdings: dict[Currency, Holding] = {}
    for currency, total in book.items():
        at_venue = balances.get(currency)
        locked = at_venue.locked if at_venue else ZERO
        holdings[currency] = Holding(total=total, free=max(ZERO, EXACT.subtract(total, locked)))
    return holdings
