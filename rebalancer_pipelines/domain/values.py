"""The smallest words of the domain: currencies, exact decimals and how they are rounded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from functools import reduce
from typing import NewType

from rebalancer_pipelines.domain.errors import InvalidInputError

Currency = NewType("Currency", str)
"""A currency code as venues write it, upper case: `BTC`, `EUR`. Dagster keeps the word *asset* for itself."""

ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)

EXACT = Context(prec=120, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
"""Arithmetic of money. 120 digits hold every product of an amount, a price and a fee rate that `parse_decimal` accepts
(39 digits each) without rounding, so sums and products are exact; it is entered explicitly so that a plan never
depends on a caller's decimal context."""

_CURRENCY = re.compile(r"[A-Z0-9]{1,12}")


def parse_currency(text: str, *, field: str = "currency") -> Currency:
    """Read a currency code; lower case is accepted. Raises `InvalidInputError` naming `field`."""
    code = text.strip().upper()
    if not _CURRENCY.fullmatch(code):
        raise InvalidInputError(field, text, "is not a currency code; use letters and digits such as BTC or EUR")
    return Currency(code)


def parse_decimal(text: str | int | Decimal, *, field: str) -> Decimal:
    """Read a finite decimal number exactly as written. Raises `InvalidInputError` naming `field`."""
    try:
        number = Decimal(text)
    except (InvalidOperation, ValueError, TypeError):
        raise InvalidInputError(field, text, "is not a number; write it like 12.5") from None
    if not number.is_finite():
        raise InvalidInputError(field, str(text), "is not a finite number; write it like 12.5")
    if number.adjusted() > 20 or _exponent(number) < -18:
        raise InvalidInputError(field, str(text), "is out of range; use at most 20 digits and 18 decimals")
    return number


def parse_positive(text: str | int | Decimal, *, field: str) -> Decimal:
    """Read a decimal above zero. Raises `InvalidInputError` naming `field`."""
    number = parse_decimal(text, field=field)
    if number <= ZERO:
        raise InvalidInputError(field, str(text), "must be greater than 0")
    return number


def parse_whole(text: str | int, *, field: str, least: int, most: int) -> int:
    """Read a whole number within bounds. Raises `InvalidInputError` naming `field`."""
    digits = str(text).strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 18 and least <= int(digits) <= most):
        raise InvalidInputError(field, str(text), f"must be a whole number from {least} to {most}")
    return int(digits)


def plain(number: Decimal) -> str:
    """Write a decimal in full, without exponent or trailing zeros: the one canonical text of a value."""
    if not number:
        return "0"
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def exact_sum(numbers: Iterable[Decimal]) -> Decimal:
    """Sum without rounding, whatever the caller's decimal context."""
    return reduce(EXACT.add, numbers, ZERO)


def is_multiple(number: Decimal, increment: Decimal) -> bool:
    """Whether `number` stands on the grid of `increment`."""
    return not EXACT.remainder(number, increment)


def floor_to(number: Decimal, increment: Decimal) -> Decimal:
    """Round a number ≥ 0 down to a multiple of `increment`, written with no more digits than the increment has."""
    return EXACT.quantize(EXACT.subtract(number, EXACT.remainder(number, increment)), increment)


def ceil_to(number: Decimal, increment: Decimal) -> Decimal:
    """Round a number ≥ 0 up to a multiple of `increment`, written with no more digits than the increment has."""
    rest = EXACT.remainder(number, increment)
    reached = EXACT.add(EXACT.subtract(number, rest), increment) if rest else number
    return EXACT.quantize(reached, increment)


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0
