"""The marts as dbt leaves them, filled by hand: what reads them is tested without building them.

`told_history` writes a portfolio's days and rebalances at the recorded market's real prices.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from rebalancer_pipelines.adapters.prices.recorded_bars import bar_opened_at
from rebalancer_pipelines.domain.values import Currency

_MARTS = {
    "rebalance_success_rate": "portfolio_id uuid, portfolio_name text, run_mode text, grain text, period_start date, "
    "rebalances bigint, successes bigint, failures bigint, success_rate numeric",
    "traded_value": "portfolio_id uuid, portfolio_name text, run_mode text, grain text, period_start date, "
    "currency text, side text, valuation_currency text, orders bigint, quantity numeric, traded_value numeric",
    "rebalance_statistics": "portfolio_id uuid, portfolio_name text, run_mode text, valuation_currency text, "
    "rebalances bigint, total_value_traded numeric, average_portfolio_value numeric, average_duration_ms numeric, "
    "p95_duration_ms double precision, orders_planned numeric, orders_executed numeric, orders_failed numeric, "
    "fees_paid numeric",
    "recent_rebalances": "id uuid, portfolio_id uuid, portfolio_name text, executed_at timestamptz, run_mode text, "
    "success boolean, orders_executed integer, total_value_traded numeric, portfolio_value numeric, "
    "valuation_currency text, triggered_by text, duration_ms bigint, first_error text",
    "execution_quality": "portfolio_id uuid, portfolio_name text, run_mode text, symbol text, side text, "
    "fills bigint, notional numeric, slippage_bps numeric, fees_bps numeric, maker_share numeric, "
    "median_seconds_to_fill double precision",
    "drift_history": "rebalance_id uuid, portfolio_id uuid, portfolio_name text, run_mode text, "
    "executed_at timestamptz, drift_before numeric, drift_after numeric",
    "portfolio_performance": "portfolio_id uuid, portfolio_name text, basis text, day date, valuation_currency text, "
    "value numeric, inflow numeric, outflow numeric, daily_return numeric, cumulative_return numeric, "
    "drawdown numeric, volatility double precision, fees_to_date numeric, fee_drag numeric, hold_value numeric, "
    "hold_return numeric, edge numeric",
    "failure_reasons": "portfolio_id uuid, portfolio_name text, run_mode text, code text, occurrences bigint, "
    "last_at timestamptz, last_message text",
}

_FEE = Decimal("0.0026")
_SLIPPAGE = Decimal("0.0005")
_CENT = Decimal("0.01")


@dataclass
class Marts:
    """The schema `analytics` of a database, with empty marts to begin with."""

    url: str

    def __post_init__(self) -> None:
        with self._connect() as connection:
            connection.execute("CREATE SCHEMA analytics")
            for name, columns in _MARTS.items():
                connection.execute(f"CREATE TABLE analytics.{name} ({columns})")  # type: ignore[arg-type]

    def write(self, mart: str, *rows: Mapping[str, Any]) -> None:
        """Add rows to a mart; columns that a row does not name are null."""
        self._insert(sql.Identifier("analytics", mart), rows)

    def write_days(self, days: Iterable[Mapping[str, Any]], holdings: Iterable[Mapping[str, Any]]) -> None:
        """Add daily values with their holdings."""
        self._insert(sql.Identifier("daily_portfolio_value"), days)
        self._insert(sql.Identifier("daily_holding"), holdings)

    def portfolio(self, name: str) -> tuple[UUID, str]:
        """The id and the name, as most marts begin."""
        with self._connect() as connection:
            found = connection.execute("SELECT id FROM portfolio WHERE name = %s", (name,)).fetchone()
        assert found is not None, name
        return found[0], name

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url)

    def _insert(self, target: sql.Identifier, rows: Iterable[Mapping[str, Any]]) -> None:
        with self._connect() as connection, connection.cursor() as cursor:
            for row in rows:
                names = sql.SQL(", ").join(map(sql.Identifier, row))
                marks = sql.SQL(", ").join([sql.Placeholder()] * len(row))
                cursor.execute(
                    sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(target, names, marks), list(row.values())
                )


@dataclass
class ToldHistory:
    """A portfolio that is traded back to its weights every so many days, from `first` on, at recorded prices.

    It is as right as a picture needs: the marts' own formulas are tested where they are written. `lost` days have no
    value, `flows` come in (or, below zero, go out) on their days in EUR, `shift` moves all days, to another year say.
    It makes up the rows of all portfolios together, where `alone`.
    """

    name: str
    basis: str = "booked"
    run_mode: str = "live"
    weights: Mapping[str, int] = field(default_factory=lambda: {"BTC": 50, "ETH": 30, "EUR": 20})
    first: date = date(2017, 10, 1)
    days: int = 365
    every: int = 7
    money: Decimal = Decimal(10000)
    lost: Sequence[date] = ()
    failed: Sequence[int] = ()
    flows: Mapping[date, Decimal] = field(default_factory=dict)
    shift: timedelta = timedelta(0)
    alone: bool = True


def tell(marts: Marts, history: ToldHistory) -> None:
    """Write a history into the daily tables and the marts."""
    portfolio_id, name = marts.portfolio(history.name)
    owner = {"portfolio_id": portfolio_id, "portfolio_name": name}
    told = _Teller(history)
    told.live()
    keyed = {"portfolio_id": portfolio_id, "basis": history.basis}
    marts.write_days([{**keyed, **day} for day in told.days], [{**keyed, **row} for row in told.holdings])
    marts.write("portfolio_performance", *({**owner, "basis": history.basis, **row} for row in told.performance))
    ran = {"run_mode": history.run_mode}
    everybody: dict[str, Any] = {"portfolio_id": None, "portfolio_name": None}
    for who in (owner, everybody) if history.alone else (owner,):
        marts.write("rebalance_success_rate", *({**who, **ran, **row} for row in told.success_rates()))
        marts.write("traded_value", *({**who, **ran, **row} for row in told.traded_values()))
        marts.write("rebalance_statistics", {**who, **ran, **told.statistics()})
        marts.write("failure_reasons", *({**who, **ran, **row} for row in told.failures()))
    marts.write("execution_quality", *({**owner, **ran, **row} for row in told.quality()))
    marts.write("drift_history", *({**owner, **ran, "rebalance_id": uuid4(), **row} for row in told.drift))
    triggered = "backfill" if history.run_mode == "backfill" else "scheduler"
    marts.write(
        "recent_rebalances",
        *({**owner, **ran, "id": uuid4(), "triggered_by": triggered, **row} for row in told.rebalances),
    )


class _Teller:
    def __init__(self, history: ToldHistory) -> None:
        self._history = history
        self._units = {currency: Decimal(0) for currency in history.weights} | {"EUR": history.money}
        self._paid = Decimal(0)
        self.days: list[dict[str, Any]] = []
        self.holdings: list[dict[str, Any]] = []
        self.performance: list[dict[str, Any]] = []
        self.drift: list[dict[str, Any]] = []
        self.rebalances: list[dict[str, Any]] = []
        self.trades: list[tuple[date, str, str, Decimal, Decimal]] = []

    def live(self) -> None:
        told = self._history
        index = peak = Decimal(1)
        hold: dict[str, Decimal] = {}
        value_before: Decimal | None = None
        returns: list[float] = []
        entries = 1
        for number in range(told.days):
            day = told.first + timedelta(days=number)
            prices = {currency: _close(currency, day) for currency in told.weights}
            if number % told.every == 0:
                self._rebalance(number, day, prices)
                entries += 3
            flow = told.flows.get(day, Decimal(0)) + (told.money if number == 0 else 0)
            if number:
                self._units["EUR"] += flow
            shown = day + told.shift
            lost = day in told.lost
            worth = {c: self._units[c] * prices[c] for c in self._units}
            value = sum(worth.values(), Decimal(0))
            inflow, outflow = max(flow, Decimal(0)), max(-flow, Decimal(0))
            self.days.append(
                {
                    "day": shown,
                    "valuation_currency": "EUR",
                    "value": None if lost else value,
                    "inflow": None if lost else inflow,
                    "outflow": None if lost else outflow,
                    "missing": json.dumps(["ETH"] if lost else []),
                    "entry_count": entries,
                }
            )
            self.holdings += [
                {"day": shown, "currency": c, "units": self._units[c], "price": None if lost and c == "ETH" else p}
                for c, p in prices.items()
            ]
            row: dict[str, Any] = {"day": shown, "valuation_currency": "EUR", "value": None}
            if not lost:
                if not hold:
                    hold = {c: worth[c] / prices[c] for c in worth}
                elif flow:
                    held = sum((hold[c] * prices[c] for c in hold), Decimal(0))
                    hold = {c: units * (1 + flow / held) for c, units in hold.items()}
                daily = None
                if value_before is not None:
                    daily = (value + outflow) / (value_before + inflow) - 1
                    returns.append(float(daily))
                    index *= 1 + daily
                    peak = max(peak, index)
                hold_value = sum((hold[c] * prices[c] for c in hold), Decimal(0))
                hold_return = hold_value / (told.money + sum(v for d, v in told.flows.items() if d <= day)) - 1
                window = returns[-30:]
                mean = sum(window) / len(window) if window else 0
                spread = sum((r - mean) ** 2 for r in window) / (len(window) - 1) if len(window) > 1 else 0
                row |= {
                    "value": value,
                    "inflow": inflow,
                    "outflow": outflow,
                    "daily_return": daily,
                    "cumulative_return": index - 1,
                    "drawdown": index / peak - 1,
                    "volatility": (spread * 365) ** 0.5 if len(window) > 1 else None,
                    "fees_to_date": self._paid,
                    "fee_drag": self._paid / value,
                    "hold_value": hold_value,
                    "hold_return": hold_return,
                    "edge": index - 1 - hold_return,
                }
                value_before = value
            elif self.performance:
                # What was reached by then is carried over.
                carried = ("cumulative_return", "drawdown", "hold_return", "fees_to_date")
                row |= {name: self.performance[-1][name] for name in carried}
            self.performance.append(row)

    def _rebalance(self, number: int, day: date, prices: Mapping[str, Decimal]) -> None:
        told = self._history
        value = sum((self._units[c] * prices[c] for c in self._units), Decimal(0))
        before = self._distance(prices, value)
        failed = number // told.every in told.failed
        traded = Decimal(0)
        paid = Decimal(0)
        orders = 0
        if not failed:
            for currency, weight in told.weights.items():
                change = value * weight / 100 - self._units[currency] * prices[currency]
                if currency == "EUR" or abs(change) < 10:
                    continue
                self._units[currency] += change / prices[currency]
                fee = (abs(change) * _FEE).quantize(_CENT)
                self._units["EUR"] -= change + fee + abs(change) * _SLIPPAGE
                paid += fee
                traded += abs(change)
                orders += 1
                side = "buy" if change > 0 else "sell"
                self.trades.append((day, currency, side, abs(change) / prices[currency], abs(change)))
        self._paid += paid
        executed_at = datetime.combine(day + told.shift, time(9, 30), UTC)
        self.drift.append(
            {"executed_at": executed_at, "drift_before": before, "drift_after": self._distance(prices, value)}
        )
        self.rebalances.append(
            {
                "executed_at": executed_at,
                "success": not failed,
                "orders_executed": orders,
                "total_value_traded": traded,
                "portfolio_value": value,
                "valuation_currency": "EUR",
                "duration_ms": 900 + 37 * (number % 11),
                "first_error": "PRICE_STALE: ETH/EUR has no price; wait for one" if failed else None,
            }
        )

    def _distance(self, prices: Mapping[str, Decimal], value: Decimal) -> Decimal:
        weights = self._history.weights
        return sum((abs(self._units[c] * prices[c] / value * 100 - weights[c]) for c in weights), Decimal(0)) / 2

    def _periods(self, day: date) -> list[tuple[str, date | None]]:
        shown = day + self._history.shift
        week = shown - timedelta(days=shown.weekday())
        return [("all", None), ("day", shown), ("week", week), ("month", shown.replace(day=1))]

    def success_rates(self) -> list[dict[str, Any]]:
        counted: dict[tuple[str, date | None], list[int]] = {}
        for row in self.rebalances:
            for period in self._periods(row["executed_at"].date() - self._history.shift):
                found = counted.setdefault(period, [0, 0])
                found[0] += 1
                found[1] += row["success"]
        return [
            {
                "grain": grain,
                "period_start": start,
                "rebalances": count,
                "successes": done,
                "failures": count - done,
                "success_rate": Decimal(done) * 100 / count,
            }
            for (grain, start), (count, done) in counted.items()
        ]

    def traded_values(self) -> list[dict[str, Any]]:
        summed: dict[tuple[str, date | None, str, str], list[Decimal]] = {}
        for day, currency, side, quantity, worth in self.trades:
            for grain, start in self._periods(day):
                found = summed.setdefault((grain, start, currency, side), [Decimal(0), Decimal(0), Decimal(0)])
                for place, amount in enumerate((Decimal(1), quantity, worth)):
                    found[place] += amount
        return [
            {
                "grain": grain,
                "period_start": start,
                "currency": currency,
                "side": side,
                "valuation_currency": "EUR",
                "orders": int(orders),
                "quantity": quantity,
                "traded_value": worth,
            }
            for (grain, start, currency, side), (orders, quantity, worth) in summed.items()
        ]

    def statistics(self) -> dict[str, Any]:
        rows = self.rebalances
        executed = sum(row["orders_executed"] for row in rows)
        times = sorted(row["duration_ms"] for row in rows)
        return {
            "valuation_currency": "EUR",
            "rebalances": len(rows),
            "total_value_traded": sum((row["total_value_traded"] for row in rows), Decimal(0)),
            "average_portfolio_value": sum((row["portfolio_value"] for row in rows), Decimal(0)) / len(rows),
            "average_duration_ms": Decimal(sum(times)) / len(times),
            "p95_duration_ms": float(times[int(len(times) * 0.95)]) if len(times) > 1 else float(times[0]),
            "orders_planned": executed,
            "orders_executed": executed,
            "orders_failed": 0,
            "fees_paid": self._paid,
        }

    def failures(self) -> list[dict[str, Any]]:
        failed = [row for row in self.rebalances if not row["success"]]
        if not failed:
            return []
        return [
            {
                "code": "PRICE_STALE",
                "occurrences": len(failed),
                "last_at": failed[-1]["executed_at"],
                "last_message": "ETH/EUR has no price; wait for one",
            }
        ]

    def quality(self) -> list[dict[str, Any]]:
        sums: dict[tuple[str, str], list[Decimal]] = {}
        for _, currency, side, _, worth in self.trades:
            sums.setdefault((f"{currency}/EUR", side), []).append(worth)
        return [
            {
                "symbol": symbol,
                "side": side,
                "fills": len(found),
                "notional": sum(found, Decimal(0)),
                "slippage_bps": Decimal("5.0"),
                "fees_bps": Decimal("26.0"),
                "maker_share": Decimal(0),
                "median_seconds_to_fill": 0.4,
            }
            for (symbol, side), found in sorted(sums.items())
        ]


def _close(currency: str, day: date) -> Decimal:
    """The day's last known close of the recording, as a day has gaps in it."""
    if currency == "EUR":
        return Decimal(1)
    end = datetime.combine(day, time(23), UTC)
    for hours in range(200):
        bar = bar_opened_at(Currency(currency), end - timedelta(hours=hours))
        if bar is not None:
            return bar.close
    raise AssertionError(f"no price of {currency} near {day}")
