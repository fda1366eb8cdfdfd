"""Decimal arithmetic without surprises: exact products, and the two roundings that Kraken shows."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_HALF_UP, Context, Decimal, Inexact

EXACT = Context(prec=80, traps=[Inexact])
"""Raises when a result does not fit, so that nothing is ever rounded by accident."""

_QUANTIZE = Context(prec=80)
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
ZERO = Decimal(0)


def product(*factors: Decimal) -> Decimal:
    result = Decimal(1)
    for factor in factors:
        result = EXACT.multiply(result, factor)
    return result


def rounded(amount: Decimal, places: int) -> Decimal:
    """Half up, as ledger lines are."""
    return amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, _QUANTIZE)


def truncated(amount: Decimal, places: int) -> Decimal:
    """Toward zero, as an order's `cost` and `fee` are."""
    return amount.quantize(Decimal(1).scaleb(-places), ROUND_DOWN, _QUANTIZE)


def rounded_up(amount: Decimal, places: int) -> Decimal:
    """Never less than `amount`, as money on hold is."""
    return amount.quantize(Decimal(1).scaleb(-places), ROUND_CEILING, _QUANTIZE)


def text(amount: Decimal, places: int) -> str:
    """Plain digits with exactly `places` decimals, rounded half up."""
    return f"{rounded(amount, places):f}"


def is_multiple(amount: Decimal, step: Decimal) -> bool:
    return EXACT.remainder(amount, step) == 0


def positive_number(written: object) -> Decimal | None:
    """A number above zero in plain digits, as Kraken takes them; None for anything else."""
    if not isinstance(written, str) or not _NUMBER.fullmatch(written):
        return None
    number = Decimal(written)
    return number if number > ZERO else None
