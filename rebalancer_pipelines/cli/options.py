"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from rebalancer_pipelines.domain.account_settings import find_setting
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.values import Currency, parse_currency, parse_positive

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Where the embedded database keeps its data (env: REBALANCER_DATA_DIR).", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]

_DEFAULT = "default"


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


def parse_changes(texts: Sequence[str]) -> dict[str, str | None]:
    """Read `max_turnover=0.5` items; the word `default` becomes None. Raises `InvalidInputError` naming the setting."""
    changes: dict[str, str | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInputError("set", text, "is not a setting with its value; write it like max_turnover=0.5")
        name = find_setting(name.strip().lower()).name
        if name in changes:
            raise InvalidInputError("set", name, "is named twice; name each setting once")
        changes[name] = None if value.strip().lower() == _DEFAULT else value.strip()
    return changes
