"""Values of our own as rows of a query: one array per column, however many rows there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, TableValuedAlias, bindparam, func
from sqlalchemy.types import TypeEngine


def given_rows(name: str, **columns: tuple[TypeEngine[Any], Sequence[Any]]) -> TableValuedAlias:
    """A table `name` to join with; each column has its type and its values, one a row, None where there is none."""
    arrays = [bindparam(None, list(values), ARRAY(type_), unique=True) for type_, values in columns.values()]
    return func.unnest(*arrays).table_valued(*columns).render_derived(name)
