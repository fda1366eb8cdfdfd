"""Balances at the paper venue: the lock over them, and how they are read and moved."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection, Numeric, Text, func, select, update
from sqlalchemy.dialects.postgresql import insert

from rebalancer_pipelines.adapters.postgres.given_rows import given_rows
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


def lock_account(connection: Connection, account_id: UUID) -> None:
    """Let no other order or deposit of the account in until this transaction ends.

    One lock for the account, not its rows: an order may add a row, and whoever already waits for the others would
    take them in another sequence than whoever comes later, until two wait for each other.
    """
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"paper account {account_id}", 0))))


def move_balances(connection: Connection, account_id: UUID, movements: Mapping[Currency, Decimal]) -> None:
    """Add signed amounts to what the locked account holds. The database refuses a balance below zero."""
    if not movements:
        return
    moved = given_rows("moved", currency=(Text(), list(movements)), amount=(Numeric(), list(movements.values())))
    # In two steps, because the row of an upsert must be valid by itself and a negative amount is not.
    zeros = [{"account_id": account_id, "currency": currency, "total": ZERO} for currency in movements]
    connection.execute(insert(PaperBalanceRow).values(zeros).on_conflict_do_nothing())
    connection.execute(
        update(PaperBalanceRow)
        .where(PaperBalanceRow.account_id == account_id, PaperBalanceRow.currency == moved.c.currency)
        .values(total=PaperBalanceRow.total + moved.c.amount)
    )
