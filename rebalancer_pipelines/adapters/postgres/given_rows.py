"""Values of our own in a query, as arrays: however many there are, it is the same statement."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, TableValuedAlias, Uuid, any_, bindparam, func, literal
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.types import TypeEngine


def among(column: InstrumentedAttribute[Any], ids: Collection[UUID]) -> ColumnElement[bool]:
    """Whether a column has one of these ids. As a list each would be a parameter, and every length a statement."""
    return column == any_(literal(list(ids), ARRAY(Uuid())))


def given_rows(name: str, **columns: tuple[TypeEngine[Any], Sequence[Any]]) -> TableValuedAlias:
    """A table `name` to join with; each column has its type and its values, one a row, None where there is none."""
    arrays = [bindparam(None, list(values), ARRAY(type_), unique=True) for type_, values in columns.values()]
    return func.unnest(*arrays).table_valued(*columns).render_derived(name)
