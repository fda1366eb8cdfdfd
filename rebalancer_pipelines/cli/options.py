"""Options that several commands share."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.values import Currency, parse_currency, parse_positive

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Where the embedded database keeps its data (env: REBALANCER_DATA_DIR).", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def parse_amounts(texts: list[str], *, field: str) -> dict[Currency, Decimal]:
    """Read `EUR=10000` items. Raises `InvalidInputError` naming `field`."""
    amounts: dict[Currency, Decimal] = {}
    for text in texts:
        name, equals, amount = text.partition("=")
        if not equals:
            raise InvalidInputError(field, text, "is not an amount; write it like EUR=10000")
        currency = parse_currency(name, field=field)
        if currency in amounts:
            raise InvalidInputError(field, currency, "is named twice; name each currency once")
        amounts[currency] = parse_positive(amount, field=f"{field}.{currency}")
    return amounts
