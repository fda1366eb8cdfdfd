"""Printing: JSON for programs, tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Where nobody looks at a terminal, lines are as long as they need to be.
_WIDTH = None if sys.stdout.isatty() else 160
console = Console(highlight=False, width=_WIDTH)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

_CENT = Decimal("0.01")


def say(line: str) -> None:
    """Print a sentence as it stands: what people and venues write may look like markup."""
    console.print(line, markup=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """Print one JSON document and nothing else."""
    console.out(json.dumps(document, indent=2, ensure_ascii=False), highlight=False)


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, numbers: Sequence[str] = ()
) -> None:
    """Print a table; the columns named in `numbers` stand to the right. Cells are text as it stands, not markup."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    console.print(table)


def money(amount: str | Decimal | None) -> str:
    """An amount to the cent, for people."""
    return "-" if amount is None else f"{Decimal(amount).quantize(_CENT) + 0:,}"


def price_notice(document: dict[str, Any]) -> str:
    """Where a plan's prices come from; a recording says so."""
    if document["recorded_at"]:
        shown = datetime.fromisoformat(document["recorded_at"])
        return f"RECORDED market, showing {shown:%Y-%m-%d %H:%M} UTC: not today's prices"
    return f"prices: {document['price_source']} at {document['priced_at']}"


def minute(moment: str | None) -> str:
    """A time to the minute, in UTC, for people."""
    return moment[:16].replace("T", " ") if moment else "-"
