"""Kraken's answers taken apart: the error list, the result, and the values in it, or a clear no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from rebalancer_pipelines.adapters.venues.ccxt.kraken.json_answer import parse
from rebalancer_pipelines.adapters.venues.ccxt.raw_answer import RawAnswer
from rebalancer_pipelines.domain.values import ZERO

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MalformedReplyError(Exception):
    """The answer lacks what it must have, or has something else there. It is never to be taken for an empty one."""


def reply_of(answer: RawAnswer) -> Mapping[str, Any] | None:
    """The JSON object that Kraken answered, whatever the status; None when it is none."""
    if answer.body is None:
        return None
    try:
        reply = parse(answer.body)
    except ValueError:
        return None
    return cast("Mapping[str, Any]", reply) if isinstance(reply, dict) else None


def error_texts(reply: Mapping[str, Any]) -> tuple[str, ...]:
    """The entries of the error list; empty unless it is a list of texts."""
    errors = reply.get("error")
    if not isinstance(errors, list):
        return ()
    entries = cast("list[object]", errors)
    texts = tuple(entry for entry in entries if isinstance(entry, str))
    return texts if len(texts) == len(entries) else ()


def table(reply: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object within an answer. Raises `MalformedReplyError`."""
    value = reply.get(name)
    if not isinstance(value, dict):
        raise MalformedReplyError(f"{name} is no object")
    return cast("Mapping[str, Any]", value)


def rows(entries: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Objects by id. Raises `MalformedReplyError` unless every entry is one."""
    return {name: table(entries, name) for name in entries}


def text(row: Mapping[str, Any], name: str) -> str:
    """A text that is not empty. Raises `MalformedReplyError`."""
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedReplyError(f"{name} is no text")
    return value


def texts(row: Mapping[str, Any], name: str) -> Sequence[str]:
    """A list of texts; empty where there is none at all, as Kraken leaves empty lists out."""
    value = row.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise MalformedReplyError(f"{name} is no list")
    entries = cast("list[object]", value)
    found = [entry for entry in entries if isinstance(entry, str)]
    if len(found) != len(entries):
        raise MalformedReplyError(f"{name} holds something else than texts")
    return found


def number(row: Mapping[str, Any], name: str) -> Decimal:
    """A finite number, exactly as written. Raises `MalformedReplyError`."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise MalformedReplyError(f"{name} is no number")
    try:
        read = Decimal(value)
    except InvalidOperation:
        raise MalformedReplyError(f"{name} is no number") from None
    if not read.is_finite():
        raise MalformedReplyError(f"{name} is no finite number")
    return read


def amount(row: Mapping[str, Any], name: str) -> Decimal:
    """A number that is not negative. Raises `MalformedReplyError`."""
    read = number(row, name)
    if read < ZERO:
        raise MalformedReplyError(f"{name} is negative")
    return read


def moment(row: Mapping[str, Any], name: str) -> datetime:
    """A time in seconds since 1970, to the microsecond. Raises `MalformedReplyError`."""
    seconds = number(row, name)
    try:
        return _EPOCH + timedelta(microseconds=int(seconds.scaleb(6)))
    except (OverflowError, InvalidOperation):
        raise MalformedReplyError(f"{name} is no time") from None


def whole(row: Mapping[str, Any], name: str) -> int:
    """A count. Raises `MalformedReplyError`."""
    read = amount(row, name)
    if read != int(read):
        raise MalformedReplyError(f"{name} is no whole number")
    return int(read)
