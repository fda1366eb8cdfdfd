"""Lines of Kraken's own ledger, by which alone it changes balances: each by `amount` - `fee`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from rebalancer_pipelines.adapters.venues.ccxt.kraken.catalogue import Catalogue
from rebalancer_pipelines.adapters.venues.ccxt.kraken.reply import moment, number, rows, text
from rebalancer_pipelines.adapters.venues.ccxt.one_line import one_line
from rebalancer_pipelines.application.ports import Movement, MovementKind
from rebalancer_pipelines.domain.values import Currency

TRADE = "trade"
"""The type of the two lines that a trade writes, one for each currency, with the trade's id as their `refid`."""

_KINDS: Mapping[str, MovementKind] = {
    TRADE: MovementKind.TRADE,
    "deposit": MovementKind.DEPOSIT,
    "withdrawal": MovementKind.WITHDRAWAL,
    "staking": MovementKind.REWARD,
    "reward": MovementKind.REWARD,
    "dividend": MovementKind.REWARD,
    "airdrop": MovementKind.REWARD,
}
"""What a type means whatever its subtype says. Any other, such as `adjustment`, `settled`, `spend`, is OTHER."""

_BETWEEN_FORMS = frozenset({"spottostaking", "spotfromstaking", "stakingtospot", "stakingfromspot"})
"""Subtypes of `transfer` that move units between forms of their currency. Those to and from futures do not."""


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One line. `currency` is that of the asset whatever its form; `reference` is the id of what caused the line."""

    entry_id: str
    reference: str
    type: str
    subtype: str
    currency: Currency
    amount: Decimal
    fee: Decimal
    written_at: datetime


def read_lines(entries: Mapping[str, Any], catalogue: Catalogue) -> list[LedgerLine]:
    """The lines of a ledger by their ids, oldest first. Raises `MalformedReplyError`."""
    lines = [
        LedgerLine(
            entry_id=entry_id,
            reference=text(row, "refid"),
            type=text(row, "type"),
            subtype=str(row.get("subtype") or ""),
            currency=catalogue.form_of(text(row, "asset")).currency,
            amount=number(row, "amount"),
            fee=number(row, "fee"),
            written_at=moment(row, "time"),
        )
        for entry_id, row in rows(entries).items()
    ]
    return sorted(lines, key=lambda line: (line.written_at, line.entry_id))


def movement_of(line: LedgerLine) -> Movement:
    """A line in the words of the rest of the program."""
    return Movement(
        entry_id=line.entry_id,
        kind=_kind(line),
        currency=line.currency,
        amount=line.amount,
        fee=line.fee,
        occurred_at=line.written_at,
        words=one_line(f"{line.type} {line.subtype}"),
        trade_id=line.reference if line.type == TRADE else None,
    )


def _kind(line: LedgerLine) -> MovementKind:
    if line.type == "earn":
        # Allocations move units between forms; what earning brings is told apart by its subtype alone.
        return MovementKind.REWARD if "reward" in line.subtype else MovementKind.CONVERSION
    if line.type == "transfer" and line.subtype in _BETWEEN_FORMS:
        return MovementKind.CONVERSION
    return _KINDS.get(line.type, MovementKind.OTHER)
