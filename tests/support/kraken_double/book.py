"""The order book of a pair: levels of price and volume that trades consume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tests.support.kraken_double.amounts import EXACT, ZERO
from tests.support.kraken_double.records import Side


@dataclass(slots=True)
class Level:
    """`volume` in base currency; None is a depth that no order exhausts."""

    price: Decimal
    volume: Decimal | None


@dataclass(frozen=True, slots=True)
class Execution:
    price: Decimal
    volume: Decimal


@dataclass(slots=True)
class Book:
    """Bids from the highest, asks from the lowest. `quoted` is False until someone gave it a usable price."""

    bids: list[Level] = field(default_factory=list)
    asks: list[Level] = field(default_factory=list)
    quoted: bool = False

    def set_levels(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        self.bids = sorted(bids, key=lambda level: level.price, reverse=True)
        self.asks = sorted(asks, key=lambda level: level.price)
        self.quoted = bool(bids or asks)

    def match(self, side: Side, volume: Decimal, limit: Decimal | None) -> list[Execution]:
        """What an order of the taker's `side` would trade now, best price first, one execution for each level."""
        executions = []
        for level in self._facing(side):
            if volume <= ZERO or (limit is not None and not _is_within(side, level.price, limit)):
                break
            taken = volume if level.volume is None else min(volume, level.volume)
            executions.append(Execution(level.price, taken))
            volume = EXACT.subtract(volume, taken)
        return executions

    def consume(self, side: Side, executions: Sequence[Execution]) -> None:
        """Take what `match` promised out of the levels."""
        levels = self._facing(side)
        for execution in executions:
            level = next(level for level in levels if level.price == execution.price)
            if level.volume is not None:
                level.volume = EXACT.subtract(level.volume, execution.volume)
        levels[:] = [level for level in levels if level.volume is None or level.volume > ZERO]

    def _facing(self, side: Side) -> list[Level]:
        return self.asks if side == "buy" else self.bids


def _is_within(side: Side, price: Decimal, limit: Decimal) -> bool:
    return price <= limit if side == "buy" else price >= limit
