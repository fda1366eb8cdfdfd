"""What a database holds, read beside the program; and the few facts that a test sets there."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, LiteralString, Self

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

MORNING = datetime(2019, 2, 5, 9, 30, tzinfo=UTC)
"""A moment of the recording at which all five markets have a price."""
GAP = datetime(2019, 1, 7, 14, 30, tzinfo=UTC)
"""A moment at which ETH, LTC, XRP and EOS have none; BTC has one."""


class Stored:
    """A connection of its own; every statement is its own transaction."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def rows(self, query: LiteralString, *values: object) -> list[dict[str, Any]]:
        return self._connection.execute(query, values).fetchall()

    def row(self, query: LiteralString, *values: object) -> dict[str, Any]:
        (only,) = self.rows(query, *values)
        return only

    def change(self, statement: LiteralString, *values: object) -> None:
        self._connection.execute(statement, values)

    def everything(self) -> dict[str, list[str]]:
        """Every row of every table of the program, as text; only how often an account was held is left out."""
        names = [
            row["tablename"]
            for row in self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
        ]
        assert "portfolio" in names
        return {name: self._contents(name) for name in names}

    def show_recording(self, moment: datetime) -> None:
        """Let the recorded market show this moment from now on, in real time."""
        self.change("DELETE FROM recorded_clock")
        self.change("INSERT INTO recorded_clock (recorded_at, started_at, speed) VALUES (%s, now(), 1)", moment)

    def venue_balances(self) -> dict[tuple[str, str], Decimal]:
        """What the paper venue holds, by account and currency, without zeros."""
        return self._sums(
            "SELECT account.name, currency, total AS amount FROM paper_balance "
            "JOIN account ON account.id = account_id WHERE total <> 0"
        )

    def ledger_sums(self) -> dict[tuple[str, str], Decimal]:
        """What the books of an account sum to, by account and currency, without zeros."""
        return self._sums(
            "SELECT account.name, currency, sum(amount) AS amount FROM ledger_entry "
            "JOIN account ON account.id = account_id GROUP BY 1, 2 HAVING sum(amount) <> 0"
        )

    def book(self, portfolio: str) -> dict[str, Decimal]:
        """What one portfolio's book holds, without zeros."""
        found = self.rows(
            "SELECT currency, sum(amount) AS amount FROM ledger_entry JOIN portfolio ON portfolio.id = portfolio_id "
            "WHERE portfolio.name = %s GROUP BY currency HAVING sum(amount) <> 0",
            portfolio,
        )
        return {row["currency"]: row["amount"] for row in found}

    def history(self, portfolio: str) -> list[dict[str, Any]]:
        """A portfolio's history rows, oldest first."""
        return self.rows(
            "SELECT rebalance_history.* FROM rebalance_history JOIN portfolio ON portfolio.id = portfolio_id "
            "WHERE portfolio.name = %s ORDER BY executed_at",
            portfolio,
        )

    def open_claims(self) -> list[dict[str, Any]]:
        """What is taken up and has no outcome yet, by portfolio."""
        return self.rows(
            "SELECT portfolio.name, portfolio_due.* FROM portfolio_due JOIN portfolio ON portfolio.id = portfolio_id "
            "WHERE batch_id IS NOT NULL ORDER BY portfolio.name"
        )

    def due_at(self, portfolio: str) -> datetime:
        """When a portfolio is due next."""
        return self.row(
            "SELECT next_rebalance_at FROM portfolio_due JOIN portfolio ON portfolio.id = portfolio_id "
            "WHERE portfolio.name = %s",
            portfolio,
        )["next_rebalance_at"]

    def make_due(self, portfolio: str, moment: datetime) -> None:
        """Let a portfolio be due next at a moment."""
        self.change(
            "UPDATE portfolio_due SET next_rebalance_at = %s FROM portfolio "
            "WHERE portfolio.id = portfolio_id AND portfolio.name = %s",
            moment,
            portfolio,
        )

    def held_leases(self) -> list[str]:
        """Names of the accounts that somebody holds."""
        return [row["name"] for row in self.rows("SELECT name FROM account WHERE lease_until IS NOT NULL")]

    def _contents(self, table: str) -> list[str]:
        query = sql.SQL("SELECT (to_jsonb(t) - 'lease_epoch')::text AS line FROM {} AS t ORDER BY 1").format(
            sql.Identifier(table)
        )
        return [row["line"] for row in self._connection.execute(query)]

    def _sums(self, query: LiteralString) -> dict[tuple[str, str], Decimal]:
        return {(row["name"], row["currency"]): row["amount"] for row in self.rows(query)}
