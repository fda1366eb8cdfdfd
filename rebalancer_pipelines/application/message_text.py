"""How figures and words stand in a message to people: plain text, short, to the cent."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from rebalancer_pipelines.domain.values import EXACT, Currency

_CENT = Decimal("0.01")


def money(amount: Decimal, currency: Currency) -> str:
    """An amount with its currency, such as 1,234.50 EUR."""
    return f"{EXACT.quantize(amount, _CENT) + 0:,} {currency}"


def change(amount: Decimal) -> str:
    """A difference with its sign; what rounds to nothing has none."""
    rounded = EXACT.quantize(amount, _CENT)
    return f"{rounded:+,}" if rounded else "0.00"


def minute(moment: datetime) -> str:
    """A time to the minute."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def printable(text: str) -> str:
    """The text without characters that a database, a terminal or a messenger may choke on; lines stay lines."""
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)


def cut(text: str, longest: int) -> str:
    """At most so many characters of it."""
    return text if len(text) <= longest else f"{text[: longest - 2]} …"
