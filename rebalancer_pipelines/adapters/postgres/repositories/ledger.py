"""The ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.copying import column_values, copy_rows
from rebalancer_pipelines.adapters.postgres.tables import LedgerEntryRow
from rebalancer_pipelines.domain.ledger import Books, LedgerEntry, LedgerEntryKind
from rebalancer_pipelines.domain.values import Currency

_FLOWS = [kind.value for kind in LedgerEntryKind if kind not in {LedgerEntryKind.FILL, LedgerEntryKind.FEE}]
"""Kinds that change what a book is worth by other than its own trading."""


class PostgresLedger:
    """Implements `ports.Ledger`. NUMERIC sums are exact."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def append(self, entries: Sequence[LedgerEntry]) -> None:
        """Book entries; an entry's fields are the table's columns."""
        rows = [{**column_values(entry), "kind": entry.kind.value} for entry in entries]
        copy_rows(self._session, LedgerEntryRow, rows)

    def booked_entry_ids(self, account_id: UUID, entry_ids: Collection[str]) -> Collection[str]:
        """Which of these lines of the venue's ledger are booked already."""
        booked = self._session.scalars(
            select(LedgerEntryRow.venue_entry_id).where(
                LedgerEntryRow.account_id == account_id, LedgerEntryRow.venue_entry_id.in_(entry_ids)
            )
        )
        return {entry_id for entry_id in booked if entry_id is not None}

    def flows(self, portfolio_id: UUID, since: datetime) -> Mapping[Currency, Decimal]:
        """What came into a portfolio's book or left it after that moment; currencies that sum to zero are left out."""
        sums = self._session.execute(
            select(LedgerEntryRow.currency, func.sum(LedgerEntryRow.amount))
            .where(
                LedgerEntryRow.portfolio_id == portfolio_id,
                LedgerEntryRow.occurred_at > since,
                LedgerEntryRow.kind.in_(_FLOWS),
            )
            .group_by(LedgerEntryRow.currency)
        )
        return {Currency(currency): amount for currency, amount in sums if amount}

    def is_untouched(self, account_id: UUID) -> bool:
        """Whether the account has no entry at all."""
        return not self._session.scalars(
            select(exists(select(LedgerEntryRow.id).where(LedgerEntryRow.account_id == account_id)))
        ).one()

    def books(self, account_id: UUID) -> Books:
        """Sum the entries of an account into its books."""
        sums = (
            self._session.connection()
            .execute(
                select(LedgerEntryRow.portfolio_id, LedgerEntryRow.currency, func.sum(LedgerEntryRow.amount))
                .where(LedgerEntryRow.account_id == account_id)
                .group_by(LedgerEntryRow.portfolio_id, LedgerEntryRow.currency)
            )
            .all()
        )
        unallocated: dict[Currency, Decimal] = {}
        by_portfolio: dict[UUID, dict[Currency, Decimal]] = defaultdict(dict)
        for portfolio_id, currency, amount in sums:
            if amount:
                book = unallocated if portfolio_id is None else by_portfolio[portfolio_id]
                book[Currency(currency)] = amount
        return Books(unallocated=unallocated, by_portfolio=dict(by_portfolio), is_untouched=not sums)
