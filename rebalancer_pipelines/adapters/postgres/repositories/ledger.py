"""The ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.tables import LedgerEntryRow
from rebalancer_pipelines.domain.ledger import Books, LedgerEntry
from rebalancer_pipelines.domain.values import Currency


class PostgresLedger:
    """Implements `ports.Ledger`. NUMERIC sums are exact."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def append(self, entries: Sequence[LedgerEntry]) -> None:
        """Book entries; an entry's fields are the table's columns."""
        if entries:
            rows = [{**asdict(entry), "kind": entry.kind.value} for entry in entries]
            self._session.execute(insert(LedgerEntryRow), rows)

    def books(self, account_id: UUID) -> Books:
        """Sum the entries of an account into its books."""
        sums = self._session.execute(
            select(LedgerEntryRow.portfolio_id, LedgerEntryRow.currency, func.sum(LedgerEntryRow.amount))
            .where(LedgerEntryRow.account_id == account_id)
            .group_by(LedgerEntryRow.portfolio_id, LedgerEntryRow.currency)
        ).all()
        unallocated: dict[Currency, Decimal] = {}
        by_portfolio: dict[UUID, dict[Currency, Decimal]] = defaultdict(dict)
        for portfolio_id, currency, amount in sums:
            if amount:
                book = unallocated if portfolio_id is None else by_portfolio[portfolio_id]
                book[Currency(currency)] = amount
        return Books(unallocated=unallocated, by_portfolio=dict(by_portfolio), is_untouched=not sums)
