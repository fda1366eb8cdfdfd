"""Requests and answers between the engine and the wire."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """`headers` are by lower-case name; `target` is path and query as they were sent."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    content_encoding: str | None = None


class Manner(Enum):
    """How an answer travels."""

    WHOLE = auto()
    CUT = auto()
    """Half of the body, then the connection is closed although the announced length promised more."""
    DRIP = auto()
    """The body one byte at a time."""
    CLOSE = auto()
    """Nothing; the connection is closed."""
    RESET = auto()
    """Nothing; the connection is reset (RST)."""
    HANG = auto()
    """Nothing, until it is released."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An answer and its manner. `interval` is real seconds between the bytes of a drip."""

    answer: Answer
    manner: Manner = Manner.WHOLE
    interval: float = 0.0
    released: threading.Event | None = None


NOTHING = Answer(200, b"")


def json_answer(document: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(document, separators=(",", ":")).encode())


def error_answer(error: str) -> Answer:
    return json_answer({"error": [error]})


def result_answer(result: Any) -> Answer:
    return json_answer({"error": [], "result": result})
