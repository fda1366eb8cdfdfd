"""A history of portfolios, written straight into the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from typing import Any, Self
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from rebalancer_pipelines.domain.day_span import DaySpan

_EXACT = Context(prec=400)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Traded:
    """One execution of an order: so much at this price."""

    quantity: Decimal
    price: Decimal
    fee: Decimal = Decimal(0)
    fee_currency: str = "EUR"
    liquidity_side: str = "taker"
    after: timedelta = timedelta(seconds=2)


@dataclass(frozen=True)
class Ordered:
    """An order of a rebalance at the decision's mid, with what it traded."""

    symbol: str
    side: str
    quantity: Decimal
    mid: Decimal
    traded: Sequence[Traded] = ()


@dataclass
class WrittenHistory:
    """Writes to a database as the program would have; every statement is its own transaction."""

    url: str
    _connection: psycopg.Connection[Any] = field(init=False)
    _account_id: UUID = field(init=False)

    def __enter__(self) -> Self:
        self._connection = psycopg.connect(self.url, autocommit=True)
        self._account_id = self._insert("account", name=f"account-{uuid4()}", venue="paper", price_source="recorded")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def portfolio(self, name: str | None = None, currency: str = "EUR") -> UUID:
        return self._insert(
            "portfolio",
            name=name or f"portfolio-{uuid4()}",
            account_id=self._account_id,
            valuation_currency=currency,
        )

    def book(
        self, portfolio: UUID, kind: str, currency: str, amount: Decimal, at: datetime, *, fill: UUID | None = None
    ) -> None:
        """An entry of the ledger."""
        if amount:
            self._insert(
                "ledger_entry",
                account_id=self._account_id,
                portfolio_id=portfolio,
                kind=kind,
                currency=currency,
                amount=amount,
                cause="test",
                occurred_at=at,
                fill_id=fill,
            )

    def rebalance(
        self,
        portfolio: UUID,
        at: datetime,
        orders: Sequence[Ordered] = (),
        *,
        dry_run: bool = False,
        triggered_by: str = "scheduler",
        success: bool = True,
        errors: Sequence[Mapping[str, str]] = (),
        weights: Mapping[str, tuple[Decimal, Decimal, Decimal]] | None = None,
        value: Decimal | None = Decimal(1000),
        duration_ms: int = 1500,
    ) -> UUID:
        """An attempt with its orders, their fills, what was booked of them, and its row in the history.

        `weights`: of a currency before, after, and the target.
        """
        rebalance = self._insert(
            "rebalance",
            portfolio_id=portfolio,
            account_id=self._account_id,
            epoch=1,
            status="finished",
            dry_run=dry_run,
            triggered_by=triggered_by,
            dagster_run_id=str(uuid4()),
            started_at=at,
            finished_at=at,
        )
        for sequence, order in enumerate(orders):
            self._order(rebalance, portfolio, sequence, order, at, dry_run=dry_run)
        for currency, (before, after, target) in (weights or {}).items():
            for phase, weight in (("before", before), ("after", after)):
                self._connection.execute(
                    "INSERT INTO portfolio_position VALUES (%s, %s, %s, 1, 1, 1, 1, %s, %s)",
                    (rebalance, phase, currency, weight, target),
                )
        traded = [fill for order in orders for fill in order.traded]
        self._insert(
            "rebalance_history",
            id=rebalance,
            portfolio_id=portfolio,
            executed_at=at,
            success=success,
            dry_run=dry_run,
            portfolio_value=value,
            orders_planned=len(orders),
            orders_executed=sum(bool(order.traded) for order in orders),
            orders_failed=sum(not order.traded for order in orders),
            total_value_traded=sum((_EXACT.multiply(f.quantity, f.price) for f in traded), Decimal(0)),
            fees_paid=sum((f.fee for f in traded if f.fee_currency == "EUR"), Decimal(0)),
            orders=Jsonb([]),
            errors=Jsonb(list(errors)) if errors else None,
            triggered_by=triggered_by,
            duration_ms=duration_ms,
            price_source="recorded",
        )
        return rebalance

    def close(self, currency: str, day: date, price: Decimal | None) -> None:
        """A market's close of a day; None takes the bar away."""
        symbol, opened_at = f"{currency}/EUR", _start(day)
        self._connection.execute(
            "DELETE FROM price_bar WHERE symbol = %s AND opened_at = %s AND timeframe = '1d'", (symbol, opened_at)
        )
        if price is not None:
            self._insert(
                "price_bar",
                returning=None,
                price_source="recorded",
                symbol=symbol,
                timeframe="1d",
                opened_at=opened_at,
                open=price,
                high=price,
                low=price,
                close=price,
                origin="recording",
            )

    def change(self, statement: str, *values: object) -> None:
        self._connection.execute(statement, values)  # type: ignore[call-overload]

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, values).fetchall()  # type: ignore[call-overload]

    def value_days(self, portfolio: UUID, through: date, *, basis: str = "booked", since: date | None = None) -> None:
        """Value the days of a portfolio as the program does, from its first entry on.

        `since`: days before are left as they are.
        """
        ((first,),) = self.rows(
            "SELECT min(CAST(occurred_at AT TIME ZONE 'UTC' AS date)) FROM book_entry "
            "WHERE portfolio_id = %s AND basis = %s",
            portfolio,
            basis,
        )
        first = max(filter(None, (first, since)), default=None)
        if first is None or first > through:
            return
        with open_engine(self.url) as engine, PostgresUnitOfWork(engine) as work:
            work.daily_values.build([portfolio], DaySpan(first, through))
            work.commit()

    def _order(
        self, rebalance: UUID, portfolio: UUID, sequence: int, order: Ordered, at: datetime, *, dry_run: bool
    ) -> None:
        base, _, quote = order.symbol.partition("/")
        order_id = self._insert(
            "order_intent",
            rebalance_id=rebalance,
            account_id=self._account_id,
            portfolio_id=portfolio,
            sequence=sequence,
            client_order_id=str(uuid4()),
            symbol=order.symbol,
            base_currency=base,
            quote_currency=quote,
            side=order.side,
            quantity=order.quantity,
            price=order.mid,
            limit_price=order.mid,
            state="FILLED" if order.traded else "CANCELED",
            dry_run=dry_run,
            created_at=at,
        )
        sign = 1 if order.side == "buy" else -1
        for fill in order.traded:
            notional = _EXACT.multiply(fill.quantity, fill.price)
            fill_id = self._insert(
                "fill",
                order_intent_id=order_id,
                account_id=self._account_id,
                trade_id=str(uuid4()),
                quantity=fill.quantity,
                price=fill.price,
                notional=notional,
                fee=fill.fee,
                fee_currency=fill.fee_currency,
                liquidity_side=fill.liquidity_side,
                executed_at=at + fill.after,
            )
            if not dry_run:
                self.book(portfolio, "fill", base, sign * fill.quantity, at + fill.after, fill=fill_id)
                self.book(portfolio, "fill", quote, -sign * notional, at + fill.after, fill=fill_id)
                self.book(portfolio, "fee", fill.fee_currency, -fill.fee, at + fill.after, fill=fill_id)

    def _insert(self, table: str, *, returning: str | None = "id", **columns: Any) -> Any:
        names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
        statement = f"INSERT INTO {table} ({names}) VALUES ({places})"
        if returning is None:
            return self._connection.execute(statement, list(columns.values()))  # type: ignore[call-overload]
        found = self._connection.execute(f"{statement} RETURNING {returning}", list(columns.values())).fetchone()  # type: ignore[call-overload]
        assert found is not None
        return found[0]


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


def _start(day: date) -> datetime:
    return datetime.combine(day, time(0), UTC)
