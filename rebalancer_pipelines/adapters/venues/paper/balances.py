"""Balances at the paper venue: the rows that it locks, reads and moves."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from rebalancer_pipelines.adapters.postgres.tables import PaperBalanceRow
from rebalancer_pipelines.domain.portfolio import Holding
from rebalancer_pipelines.domain.values import EXACT, ZERO, Currency


def read_balances(connection: Connection, account_id: UUID) -> dict[Currency, Holding]:
    """What the account holds, by currency."""
    rows = connection.execute(
        select(PaperBalanceRow.currency, PaperBalanceRow.total, PaperBalanceRow.locked)
        .where(PaperBalanceRow.account_id == account_id)
        .order_by(PaperBalanceRow.currency)
    )
    return {
        Currency(currency): Holding(total=total, free=EXACT.subtract(total, locked)) for currency, total, locked in rows
    }


def lock_balances(connection: Connection, account_id: UUID) -> dict[Currency, Holding]:
    """Hold every other order of the account back until this transaction ends, and read what it holds."""
    connection.execute(
        select(PaperBalanceRow.currency)
        .where(PaperBalanceRow.account_id == account_id)
        .order_by(PaperBalanceRow.currency)
        .with_for_update()
    ).all()
    # Read only once the lock is held: a statement that waited would miss the rows that the other transaction added.
    return read_balances(connection, account_id)


def move_balances(connection: Connection, account_id: UUID, movements: Mapping[Currency, Decimal]) -> None:
    """Add signed amounts to what the account holds. The database refuses a balance below zero."""
    for currency, amount in sorted(movements.items()):
        # In two steps, because the row of an upsert must be valid by itself and a negative amount is not.
        zero = insert(PaperBalanceRow).values(account_id=account_id, currency=currency, total=ZERO)
        connection.execute(zero.on_conflict_do_nothing())
        connection.execute(
            update(PaperBalanceRow)
            .where(PaperBalanceRow.account_id == account_id, PaperBalanceRow.currency == currency)
            .values(total=PaperBalanceRow.total + amount)
        )
