"""The ledger: append-only entries whose sums are the books of the portfolios on an account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from rebalancer_pipelines.domain.order import Fill, Order, OrderSide
from rebalancer_pipelines.domain.values import EXACT, ZERO, Currency


class LedgerEntryKind(StrEnum):
    """What moved money.

    A FILL is an order of ours, an OUTSIDE_TRADE somebody else's on the same account. A TRANSFER moves money between the
    books of one account and sums to zero. An ADJUSTMENT is a difference that nothing explains and a person accepted.
    """

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    FILL = "fill"
    FEE = "fee"
    OUTSIDE_TRADE = "outside_trade"
    REWARD = "reward"
    TRANSFER = "transfer"
    ADJUSTMENT = "adjustment"


FLOWS = (
    LedgerEntryKind.DEPOSIT,
    LedgerEntryKind.WITHDRAWAL,
    LedgerEntryKind.TRANSFER,
    LedgerEntryKind.ADJUSTMENT,
)
"""Money that is put in or taken out: no gain and no loss of the portfolio's own."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One movement of one currency in one book; `amount` is signed. `portfolio_id` None is the unallocated book.

    `cause` says what brought it about (a trade id, a person's words); `fill_id` points at the fill it books,
    `venue_entry_id` names the line of the venue's own ledger that it books: each line is booked once per account.
    """

    account_id: UUID
    portfolio_id: UUID | None
    kind: LedgerEntryKind
    currency: Currency
    amount: Decimal
    cause: str
    occurred_at: datetime
    fill_id: UUID | None = None
    venue_entry_id: str | None = None


@dataclass(frozen=True, slots=True)
class Books:
    """Holdings of one account as the ledger has them: per portfolio, and what no portfolio owns yet.

    `is_untouched` is true while the ledger has no entry of the account at all.
    """

    unallocated: Mapping[Currency, Decimal]
    by_portfolio: Mapping[UUID, Mapping[Currency, Decimal]]
    is_untouched: bool = False

    def of(self, portfolio_id: UUID) -> Mapping[Currency, Decimal]:
        """The book of one portfolio; empty when nothing was ever booked to it."""
        return self.by_portfolio.get(portfolio_id, {})

    def total(self) -> dict[Currency, Decimal]:
        """Sum of all books by currency: what the venue must hold."""
        totals: dict[Currency, Decimal] = {}
        for book in (self.unallocated, *self.by_portfolio.values()):
            for currency, amount in book.items():
                totals[currency] = EXACT.add(totals.get(currency, ZERO), amount)
        return totals


def fill_entries(
    order: Order,
    fills: Iterable[Fill],
    *,
    account_id: UUID,
    portfolio_id: UUID,
    fill_ids: Mapping[str, UUID],
) -> list[LedgerEntry]:
    """Book fills of an order: base and quote as FILL, the fee apart as FEE.

    `fill_ids` maps the trade ids that are to be booked to their stored fills; others were booked before.
    """
    entries: list[LedgerEntry] = []
    for fill in fills:
        if fill.trade_id not in fill_ids:
            continue
        bought = order.side is OrderSide.BUY
        moves = (
            (
                LedgerEntryKind.FILL,
                order.base_currency,
                fill.quantity if bought else EXACT.minus(fill.quantity),
            ),
            (
                LedgerEntryKind.FILL,
                order.quote_currency,
                EXACT.minus(fill.notional) if bought else fill.notional,
            ),
            (LedgerEntryKind.FEE, fill.fee_currency, EXACT.minus(fill.fee)),
        )
        entries.extend(
            LedgerEntry(
                account_id=account_id,
                portfolio_id=portfolio_id,
                kind=kind,
                currency=currency,
                amount=amount,
                cause=f"trade {fill.trade_id}",
                occurred_at=fill.executed_at,
                fill_id=fill_ids[fill.trade_id],
            )
            for kind, currency, amount in moves
            if amount
        )
    return entries


def differences(expected: Mapping[Currency, Decimal], actual: Mapping[Currency, Decimal]) -> dict[Currency, Decimal]:
    """`actual - expected` for every currency in which the two differ; empty when they agree to the last digit."""
    currencies: Iterable[Currency] = sorted({*expected, *actual})
    found = {c: EXACT.subtract(actual.get(c, ZERO), expected.get(c, ZERO)) for c in currencies}
    return {c: amount for c, amount in found.items() if amount}
