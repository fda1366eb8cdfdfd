"""Reconciliation: the books against what the venue says it holds, and what happened there without us.

Deposits, withdrawals, rewards, fees and trades by hand are found in the venue's own ledger and become typed entries of
the unallocated book. They are booked only when together they explain the whole difference: half an explanation would
hide what is really wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from rebalancer_pipelines.application.books import adopt_opening_balance, totals_of
from rebalancer_pipelines.application.freeze import freeze_account
from rebalancer_pipelines.application.lease import sleep_holding
from rebalancer_pipelines.application.ports import Movement, MovementKind, Ports, UnitOfWork, Venue
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.ledger import Books, LedgerEntry, LedgerEntryKind, differences
from rebalancer_pipelines.domain.portfolio import Account, Holdings
from rebalancer_pipelines.domain.rebalance import Lease
from rebalancer_pipelines.domain.values import EXACT, ZERO, Currency, plain

_LOOKS_AGAIN = 3
"""Balances may lag behind trades; a difference counts once it was there this many looks later."""

_LEDGER_MARGIN = timedelta(minutes=5)
"""How far before the last proof the venue's ledger is read again: its lines may appear late."""

_KINDS = {
    MovementKind.TRADE: LedgerEntryKind.OUTSIDE_TRADE,
    MovementKind.DEPOSIT: LedgerEntryKind.DEPOSIT,
    MovementKind.WITHDRAWAL: LedgerEntryKind.WITHDRAWAL,
    MovementKind.REWARD: LedgerEntryKind.REWARD,
    MovementKind.CONVERSION: LedgerEntryKind.ADJUSTMENT,
    MovementKind.OTHER: LedgerEntryKind.ADJUSTMENT,
}


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The venue's balances beside the books, after everything that could be explained was booked."""

    balances: Holdings
    books: Books
    differences: Mapping[Currency, Decimal]


@dataclass(frozen=True, slots=True)
class Change:
    """What has moved at the venue since the books were last proved. `explanation` is empty when nothing explains it."""

    differences: Mapping[Currency, Decimal]
    explanation: Sequence[Movement]


def look_for_change(ports: Ports, account: Account, venue: Venue) -> Change:
    """Compare books and venue without booking anything. Raises `VenueUnreachableError`."""
    totals = totals_of(venue.balances())
    with ports.transactions() as work:
        found = differences(work.ledger.books(account.id).total(), totals)
        since = _proved_until(work, account)
    if not found:
        return Change(found, ())
    movements = venue.movements(since - _LEDGER_MARGIN)
    with ports.transactions() as work:
        return Change(found, _explanation(found, unbooked_movements(work, account, movements), since))


def reconcile(ports: Ports, account: Account, lease: Lease, venue: Venue) -> Reconciliation:
    """Prove that the books add up to the venue's balances, booking what happened at the venue without us.

    A difference that stays is looked at again after `reconcile_pause`, three times, and is then returned. Expects that
    no order of ours may still be at the venue.
    """
    result = _compare(ports, account, lease, venue)
    looks_left = _LOOKS_AGAIN if account.settings.reconcile_pause else 0
    while result.differences and looks_left:
        sleep_holding(ports, account, lease, account.settings.reconcile_pause)
        result = _compare(ports, account, lease, venue)
        looks_left -= 1
    return result


def check_books(ports: Ports, account: Account, found: Mapping[Currency, Decimal]) -> None:
    """Raise `DeniedError` (BOOKS_DIFFER) when the books do not add up to the venue's balances, to the last digit.

    Where money is real, the account is frozen with the difference as the reason.
    """
    if not found:
        return
    listed = list_amounts(found)
    if not account.is_paper:
        freeze_account(ports, account, f"the venue holds other amounts than the books ({listed})")
    raise DeniedError(
        DenialReason.BOOKS_DIFFER,
        f"the venue of account {account.name} holds other amounts than its books ({listed}); "
        f"look with 'rebalancer account review {account.name}'",
    )


def check_unallocated(account: Account, books: Books, portfolios: int) -> None:
    """Raise `DeniedError` (UNALLOCATED_SHORT) when money that portfolios own has left the account.

    Until somebody says whose it was, no portfolio can tell what it may still spend.
    """
    short = {currency: amount for currency, amount in books.unallocated.items() if amount < ZERO}
    if short and portfolios:
        currency, amount = next(iter(short.items()))
        raise DeniedError(
            DenialReason.UNALLOCATED_SHORT,
            f"{list_amounts(short)} left account {account.name} and no portfolio has given it; say whose it was with "
            f"'rebalancer portfolio release NAME {currency}={plain(EXACT.minus(amount))}'",
        )


def list_amounts(amounts: Mapping[Currency, Decimal]) -> str:
    """Signed amounts by currency, for people."""
    return ", ".join(f"{currency} {'+' if amount > 0 else ''}{plain(amount)}" for currency, amount in amounts.items())


def unbooked_movements(work: UnitOfWork, account: Account, movements: Sequence[Movement]) -> list[Movement]:
    """The movements that neither the books nor the fills of our orders know."""
    booked = work.ledger.booked_entry_ids(account.id, [m.entry_id for m in movements])
    ours = work.orders.known_trades(account.id, [m.trade_id for m in movements if m.trade_id])
    return [m for m in movements if m.entry_id not in booked and m.trade_id not in ours]


def _compare(ports: Ports, account: Account, lease: Lease, venue: Venue) -> Reconciliation:
    read_at = ports.clock.now()
    balances = venue.balances()
    totals = totals_of(balances)
    with ports.transactions() as work:
        work.accounts.fence(lease)
        adopt_opening_balance(work, account, balances, read_at)
        books = work.ledger.books(account.id)
        found = differences(books.total(), totals)
        since = _proved_until(work, account)
        if not found:
            work.accounts.mark_reconciled(account.id, read_at)
        work.commit()
    if not found:
        return Reconciliation(balances, books, found)
    movements = venue.movements(since - _LEDGER_MARGIN)
    with ports.transactions() as work:
        work.accounts.fence(lease)
        work.accounts.lock(account.id)
        books = work.ledger.books(account.id)
        explanation = _explanation(
            differences(books.total(), totals), unbooked_movements(work, account, movements), since
        )
        work.ledger.append(_entries(account, explanation))
        books = work.ledger.books(account.id)
        found = differences(books.total(), totals)
        if not found:
            work.accounts.mark_reconciled(account.id, read_at)
            work.activity.add("account.reconciled", account.name, {"lines": [m.entry_id for m in explanation]}, read_at)
        work.commit()
    return Reconciliation(balances, books, found)


def _proved_until(work: UnitOfWork, account: Account) -> datetime:
    return work.accounts.by_id(account.id).reconciled_at or account.created_at


def _explanation(
    found: Mapping[Currency, Decimal], movements: Sequence[Movement], since: datetime
) -> Sequence[Movement]:
    """The newest movements that explain a difference to the last digit; those since the last proof are preferred.

    Balances may lag, so what the last proof saw was true at some moment up to five minutes earlier: everything that
    happened after one moment is an explanation, single movements picked out of the row are none.
    """
    by_age = sorted(movements, key=lambda movement: movement.occurred_at, reverse=True)
    sums = dict[Currency, Decimal]()
    explaining: list[int] = []
    for count, movement in enumerate(by_age, start=1):
        moved = EXACT.subtract(movement.amount, movement.fee)
        sums[movement.currency] = EXACT.add(sums.get(movement.currency, ZERO), moved)
        if not differences(sums, found):
            explaining.append(count)
    proved = sum(movement.occurred_at > since for movement in by_age)
    if not explaining:
        return []
    count = proved if proved in explaining else explaining[0]
    return by_age[count - 1 :: -1]


def _entries(account: Account, movements: Iterable[Movement]) -> list[LedgerEntry]:
    return [
        LedgerEntry(
            account_id=account.id,
            portfolio_id=None,
            kind=kind,
            currency=movement.currency,
            amount=amount,
            cause=f"{movement.words} at the venue",
            occurred_at=movement.occurred_at,
            venue_entry_id=movement.entry_id,
        )
        for movement in movements
        for kind, amount in (
            (_KINDS[movement.kind], movement.amount),
            (LedgerEntryKind.FEE, EXACT.minus(movement.fee)),
        )
        if amount
    ]
