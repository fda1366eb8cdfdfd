"""The account's ledger: every balance is the sum of its lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tests.support.kraken_double.amounts import EXACT, ZERO, rounded
from tests.support.kraken_double.identifiers import Identifiers
from tests.support.kraken_double.listings import Listings
from tests.support.kraken_double.records import LedgerLine

_LINES_CHECKED = 50


@dataclass(frozen=True, slots=True)
class Movement:
    """What a line is to say, before rounding: the balance changes by `amount` - `fee`."""

    asset: str
    amount: Decimal
    fee: Decimal = ZERO


class Ledger:
    def __init__(self, listings: Listings, identifiers: Identifiers) -> None:
        self.lines: list[LedgerLine] = []
        self._listings = listings
        self._identifiers = identifiers
        self._balances: dict[str, Decimal] = {}

    def balance(self, asset: str) -> Decimal:
        return self._balances.get(asset, ZERO)

    def balances(self) -> dict[str, Decimal]:
        """Every asset that ever had a line, by Kraken's id."""
        return dict(self._balances)

    def as_booked(self, movement: Movement) -> Movement:
        """The movement with amount and fee rounded to the asset's decimals, as its line will have them."""
        places = self._listings.decimals(movement.asset)
        return Movement(movement.asset, rounded(movement.amount, places), rounded(movement.fee, places))

    def write(
        self, movements: Sequence[Movement], *, refid: str, kind: str, now: datetime, subtype: str = ""
    ) -> tuple[LedgerLine, ...]:
        """Append one line for each movement, all with the same `refid`."""
        written = []
        for movement in map(self.as_booked, movements):
            balance = EXACT.add(self.balance(movement.asset), EXACT.subtract(movement.amount, movement.fee))
            line = LedgerLine(
                id=self._identifiers.next("L"),
                refid=refid,
                time=now,
                type=kind,
                subtype=subtype,
                asset=movement.asset,
                amount=movement.amount,
                fee=movement.fee,
                balance=balance,
            )
            self._balances[movement.asset] = balance
            self.lines.append(line)
            written.append(line)
        # Summing everything each time would make the thousandth order slow: the last lines stand for all before them.
        check_sums(self.lines[-_LINES_CHECKED:])
        return tuple(written)


def check_sums(lines: Sequence[LedgerLine]) -> None:
    """Assert that each line's balance is that of the asset's line before it, changed by amount - fee."""
    balances: dict[str, Decimal] = {}
    for line in lines:
        change = EXACT.subtract(line.amount, line.fee)
        before = balances.get(line.asset, EXACT.subtract(line.balance, change))
        assert line.balance == EXACT.add(before, change), f"{line} does not continue from {before}"
        balances[line.asset] = line.balance
