"""Books with prices day by day: how a test writes them down, and what each day is worth in plain Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from rebalancer_pipelines.domain.day_span import DaySpan

SPAN = DaySpan(date(2018, 9, 26), date(2018, 10, 3))
"""It reaches over the end of the rehearsed year."""
REHEARSED_LAST = date(2018, 9, 30)
CURRENCIES = ("EUR", "BTC", "ETH", "XYZ")
_FLOWS = ("deposit", "withdrawal", "transfer", "adjustment")

_trades = count(1)

_REBALANCE = """
    INSERT INTO rebalance (
        id, portfolio_id, account_id, epoch, status, dry_run, triggered_by, dagster_run_id, started_at, finished_at
    ) VALUES (:rebalance, :portfolio, :account, 0, 'finished', true, 'backfill', :trade, :at, :at)
"""
_ORDER = """
    INSERT INTO order_intent (
        id, rebalance_id, account_id, portfolio_id, sequence, client_order_id, symbol, base_currency, quote_currency,
        side, quantity, price, limit_price, state, dry_run, not_after
    ) VALUES (
        :order, :rebalance, :account, :portfolio, 0, :trade, 'BTC/EUR', 'BTC', 'EUR',
        'buy', :quantity, 1, 1, 'FILLED', true, :at
    )
"""
_FILL = """
    INSERT INTO fill (
        order_intent_id, account_id, trade_id, quantity, price, fee, fee_currency, liquidity_side, executed_at, notional
    ) VALUES (:order, :account, :trade, :quantity, 1, :fee, 'EUR', 'taker', :at, :notional)
"""


@dataclass(frozen=True)
class Entry:
    """One movement of a booked ledger, or one leg of what a rehearsal did; `amount` is signed."""

    basis: str
    at: datetime
    kind: str
    currency: str
    amount: Decimal


@dataclass(frozen=True)
class Day:
    """What a day must come to. `holdings`: units and price by currency."""

    value: Decimal | None
    inflow: Decimal | None
    outflow: Decimal | None
    missing: tuple[str, ...]
    entry_count: int
    holdings: Mapping[str, tuple[Decimal, Decimal | None]]


Bars = dict[tuple[str, date], Decimal]
"""Closes in EUR by currency and day."""

_moments = st.builds(
    lambda minutes: datetime(2018, 9, 25, tzinfo=UTC) + timedelta(minutes=minutes),
    # Midnights too: an entry at a day's first moment is not the day's before.
    st.integers(0, 9 * 1440) | st.integers(0, 8).map(lambda days: days * 1440),
)
_amounts = st.integers(1, 10**12).map(lambda units: Decimal(units).scaleb(-8)) | st.just(Decimal("1.500"))
_signed = st.builds(lambda amount, sign: amount * sign, _amounts, st.sampled_from((1, -1)))

_booked = st.builds(
    Entry,
    st.just("booked"),
    _moments,
    st.sampled_from((*_FLOWS, "fill", "fee", "reward", "outside_trade")),
    st.sampled_from(CURRENCIES),
    _signed,
)
_deposits = st.builds(
    Entry, st.just("rehearsed"), _moments, st.just("deposit"), st.sampled_from(CURRENCIES[:2]), _amounts
)
_fills = st.builds(
    lambda at, units, notional, fee: [
        Entry("rehearsed", at, "fill", "BTC", units),
        Entry("rehearsed", at, "fill", "EUR", -notional),
        Entry("rehearsed", at, "fee", "EUR", -fee),
    ],
    _moments,
    _amounts,
    _amounts,
    _amounts,
)
books = st.builds(
    lambda booked, deposits, fills: [*booked, *deposits, *(leg for legs in fills for leg in legs)],
    st.lists(_booked, max_size=12),
    st.lists(_deposits, max_size=2, unique_by=lambda entry: (entry.at, entry.currency)),
    st.lists(_fills, max_size=3),
)
bars = st.dictionaries(
    st.tuples(st.sampled_from(CURRENCIES[1:]), st.builds(lambda d: SPAN.first + timedelta(days=d), st.integers(-1, 8))),
    st.integers(1, 10**9).map(lambda price: Decimal(price).scaleb(-4)),
    max_size=25,
)


def expected(entries: Sequence[Entry], closes: Bars, span: DaySpan = SPAN) -> dict[tuple[str, date], Day]:
    """Every day of both bases, reckoned entry by entry."""
    with_bars = {currency for currency, _ in closes}
    days: dict[tuple[str, date], Day] = {}
    for basis in ("booked", "rehearsed"):
        mine = [entry for entry in entries if entry.basis == basis]
        for day in span.days():
            if not mine or day < min(entry.at.date() for entry in mine):
                continue
            if basis == "rehearsed" and day > REHEARSED_LAST:
                continue
            days[basis, day] = _day(day, mine, closes, with_bars)
    return days


def _day(day: date, entries: Sequence[Entry], closes: Bars, with_bars: set[str]) -> Day:
    so_far = [entry for entry in entries if entry.at.date() <= day]
    of_day = [entry for entry in so_far if entry.at.date() == day]
    prices: dict[str, Decimal | None] = {c: closes.get((c, day)) for c in CURRENCIES}
    prices["EUR"] = Decimal(1)
    units = {c: sum((e.amount for e in so_far if e.currency == c), Decimal(0)) for c in CURRENCIES}
    flows = [entry for entry in of_day if entry.kind in _FLOWS]
    traded = {entry.currency for entry in so_far if entry.kind == "fill"}
    needed = {c for c in CURRENCIES if units[c]} | {entry.currency for entry in flows}
    missing = tuple(sorted(c for c in needed if prices[c] is None and (c in with_bars or c in traded)))
    value = sum((units[c] * price for c in CURRENCIES if (price := prices[c]) is not None), Decimal(0))
    worth = [(e.amount, price) for e in flows if (price := prices[e.currency]) is not None]
    return Day(
        value=None if missing else value,
        inflow=None if missing else sum((a * p for a, p in worth if a > 0), Decimal(0)),
        outflow=None if missing else -sum((a * p for a, p in worth if a < 0), Decimal(0)),
        missing=missing,
        entry_count=len(so_far),
        holdings={c: (units[c], prices[c]) for c in CURRENCIES if units[c] or any(e.currency == c for e in of_day)},
    )


def built(session: Session, portfolio_id: UUID) -> dict[tuple[str, date], Day]:
    """What is stored of a portfolio."""
    holdings: dict[tuple[str, date], dict[str, tuple[Decimal, Decimal | None]]] = {}
    for row in session.execute(text("SELECT * FROM daily_holding WHERE portfolio_id = :id"), {"id": portfolio_id}):
        holdings.setdefault((row.basis, row.day), {})[row.currency] = (row.units, row.price)
    rows = session.execute(text("SELECT * FROM daily_portfolio_value WHERE portfolio_id = :id"), {"id": portfolio_id})
    return {
        (row.basis, row.day): Day(
            row.value,
            row.inflow,
            row.outflow,
            tuple(row.missing),
            row.entry_count,
            holdings.get((row.basis, row.day), {}),
        )
        for row in rows
    }


def row_versions(session: Session) -> list[str]:
    """Every row that was built with the transaction that wrote it."""
    query = " UNION ALL ".join(
        f"SELECT '{table}' || xmin || ctid || to_jsonb({table}) AS line FROM {table}"
        for table in ("daily_portfolio_value", "daily_holding")
    )
    return sorted(session.execute(text(query)).scalars())


def write_bars(session: Session, closes: Bars) -> None:
    """Store closes of the recorded market, in place of others."""
    for (currency, day), close in closes.items():
        session.execute(
            text(
                "INSERT INTO price_bar VALUES ('recorded', :symbol, '1d', :at, :close, :close, :close, :close, 1, "
                "'recording') ON CONFLICT (price_source, symbol, timeframe, opened_at) DO UPDATE SET "
                "open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close"
            ),
            {"symbol": f"{currency}/EUR", "at": datetime(day.year, day.month, day.day, tzinfo=UTC), "close": close},
        )


def write_entries(session: Session, account_id: UUID, portfolio_id: UUID, entries: Sequence[Entry]) -> None:
    """Store entries: booked ones in the ledger, rehearsed ones as what a rehearsal leaves."""
    legs: dict[datetime, list[Entry]] = {}
    for entry in entries:
        if entry.basis == "booked":
            session.execute(
                text(
                    "INSERT INTO ledger_entry (account_id, portfolio_id, kind, currency, amount, cause, occurred_at) "
                    "VALUES (:account_id, :portfolio_id, :kind, :currency, :amount, 'test', :at)"
                ),
                _values(entry, account_id, portfolio_id),
            )
        elif entry.kind == "deposit":
            session.execute(
                text("INSERT INTO rehearsed_deposit VALUES (:portfolio_id, :currency, :at, :amount)"),
                _values(entry, account_id, portfolio_id),
            )
        else:
            legs.setdefault(entry.at, []).append(entry)
    for at, moved in legs.items():
        for base, quote, fee in zip(moved[::3], moved[1::3], moved[2::3], strict=True):
            _write_fill(session, account_id, portfolio_id, at, base.amount, -quote.amount, -fee.amount)


def _write_fill(
    session: Session,
    account_id: UUID,
    portfolio_id: UUID,
    at: datetime,
    quantity: Decimal,
    notional: Decimal,
    fee: Decimal,
) -> None:
    trade = f"T{next(_trades)}"
    ids = {"rebalance": uuid4(), "order": uuid4(), "account": account_id, "portfolio": portfolio_id}
    values: dict[str, Any] = {**ids, "trade": trade, "at": at, "quantity": quantity, "notional": notional, "fee": fee}
    for statement in (_REBALANCE, _ORDER, _FILL):
        session.execute(text(statement), values)


def _values(entry: Entry, account_id: UUID, portfolio_id: UUID) -> dict[str, Any]:
    return {
        "account_id": account_id,
        "portfolio_id": portfolio_id,
        "kind": entry.kind,
        "currency": entry.currency,
        "amount": entry.amount,
        "at": entry.at,
    }
