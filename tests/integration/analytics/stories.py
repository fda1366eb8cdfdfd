"""Histories that a test can lay down whole: several portfolios, every run mode, prices, days."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

from tests.support.written_history import DAY, Ordered, Traded, WrittenHistory, noon

FIRST = date(2018, 2, 20)
LAST = FIRST + 24 * DAY
"""Over four weeks and the end of a month."""

_CODES = ("PRICE_STALE", "TURNOVER", "VENUE_UNREACHABLE")
_MODES = ((False, "scheduler"), (False, "manual"), (True, "manual"), (True, "backfill"))


@dataclass
class Story:
    """A random history that is the same for the same seed."""

    history: WrittenHistory
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def tell(self, *names: str) -> list[UUID]:
        """Portfolios with deposits, rebalances and valued days."""
        for offset in range((LAST - FIRST).days + 1):
            self.closes(FIRST + offset * DAY)
        return [self.portfolio(name) for name in names]

    def closes(self, day: date) -> None:
        for currency in ("BTC", "ETH"):
            self.history.close(currency, day, self._amount(90, 110))

    def portfolio(self, name: str) -> UUID:
        portfolio = self.history.portfolio(name)
        self.history.book(portfolio, "deposit", "EUR", Decimal(5000), noon(FIRST) - timedelta(hours=2))
        self.history.book(portfolio, "deposit", "BTC", Decimal(10), noon(FIRST) - timedelta(hours=2))
        for offset in range((LAST - FIRST).days + 1):
            day = FIRST + offset * DAY
            if self._random.random() < 0.3:
                kind = self._random.choice(["deposit", "reward"])
                self.history.book(portfolio, kind, "EUR", self._amount(1, 300), noon(day))
            if self._random.random() < 0.2:
                self.history.book(portfolio, "withdrawal", "EUR", -self._amount(1, 100), noon(day))
            for dry_run, triggered_by in _MODES:
                if self._random.random() < 0.5:
                    self.rebalance(portfolio, day, dry_run=dry_run, triggered_by=triggered_by)
        self.history.value_days(portfolio, LAST)
        return portfolio

    def rebalance(self, portfolio: UUID, day: date, *, dry_run: bool = False, triggered_by: str = "scheduler") -> UUID:
        success = self._random.random() < 0.7
        weight = self._amount(30, 70)
        return self.history.rebalance(
            portfolio,
            noon(day) + timedelta(seconds=self._random.randrange(20_000)),
            self._orders() if success else [],
            dry_run=dry_run,
            triggered_by=triggered_by,
            success=success,
            errors=[] if success else [{"code": self._random.choice(_CODES), "message": f"on {day}"}],
            weights={"BTC": (weight, Decimal(50), Decimal(50)), "EUR": (100 - weight, Decimal(50), Decimal(50))},
            value=self._amount(900, 1100) if self._random.random() < 0.9 else None,
            duration_ms=self._random.randrange(1, 20_000),
        )

    def _orders(self) -> Sequence[Ordered]:
        mid, quantity = self._amount(95, 105), self._amount(1, 3)
        fills = [
            Traded(
                quantity * part,
                mid * self._amount(0.98, 1.02),
                fee=self._amount(0, 1),
                fee_currency=self._random.choice(["EUR", "BTC"]) if part else "EUR",
                liquidity_side=self._random.choice(["maker", "taker", "internal"]),
                after=timedelta(milliseconds=self._random.randrange(60_000)),
            )
            for part in (Decimal("0.25"), Decimal("0.5"))
        ]
        return [Ordered("BTC/EUR", self._random.choice(["buy", "sell"]), quantity, mid, fills)]

    def _amount(self, least: float, most: float) -> Decimal:
        return Decimal(str(round(self._random.uniform(least, most), 6)))
