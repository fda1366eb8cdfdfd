"""Kraken's JSON, read without ever passing a number through a float."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NoReturn


def parse(body: str) -> Any:
    """The value that `body` writes; numbers are ints or exact decimals. Raises `ValueError` for what is no JSON."""
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")
