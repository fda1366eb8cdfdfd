"""What Kraken's answer to AddOrder proves about the order: that it is there, that it is not, or nothing.

The raw answer is judged, never ccxt's exception: a bare `ExchangeError` may stand for an order that was accepted with a
warning, and `create_order` can return without an id and without an error.
"""

from __future__ import annotations

import re
from typing import cast

from rebalancer_pipelines.adapters.venues.ccxt.kraken.reply import error_texts, reply_of
from rebalancer_pipelines.adapters.venues.ccxt.one_line import one_line
from rebalancer_pipelines.adapters.venues.ccxt.raw_answer import Failure, RawAnswer
from rebalancer_pipelines.application.ports import Accepted, Rejected, Unclear

_REFUSALS = (
    "EOrder:",
    "EGeneral:Invalid arguments",
    "EGeneral:Permission denied",
    "EGeneral:Temporary lockout",
    "EAPI:",
    "EQuery:",
)
"""How definite refusals begin. EService errors are none: `Deadline elapsed` is documented as a request timed out."""

NOT_SENT = "EService:Unavailable"
"""How a refusal begins whose order never left this machine: the venue could not be reached."""

_ORDER_ID = re.compile(r"[A-Z0-9]{6}-[A-Z0-9]{5}-[A-Z0-9]{6}")
"""The shape of Kraken's order ids: one that is not of it would make Kraken refuse every look-up that names it."""

_MARKET_MODE = ("EService:Market in ", " mode")


def classify(answer: RawAnswer) -> Accepted | Rejected | Unclear:
    """Judge the answer to one AddOrder."""
    if answer.never_sent:
        return Rejected(one_line(f"{NOT_SENT} ({answer.words})"))
    reply = reply_of(answer)
    if answer.status != 200 or reply is None:
        return Unclear(_words(answer))
    result = reply.get("result") or {}
    order_id = _order_id(result)
    if order_id is not None:
        return Accepted(order_id)
    errors = error_texts(reply)
    if errors and isinstance(result, dict) and "txid" not in result and all(map(is_definite_refusal, errors)):
        return Rejected(one_line("; ".join(errors)))
    return Unclear(one_line("; ".join(errors)) if errors else _words(answer))


def is_definite_refusal(error: str) -> bool:
    """Whether this word of Kraken's proves that the order is not there."""
    begin, end = _MARKET_MODE
    return error.startswith(_REFUSALS) or (error.startswith(begin) and end in error[len(begin) :])


def _order_id(result: object) -> str | None:
    """The one transaction id of the answer. An answer with several, or with anything else there, is not clear."""
    ids = cast("dict[str, object]", result).get("txid") if isinstance(result, dict) else None
    if not isinstance(ids, list):
        return None
    entries = cast("list[object]", ids)
    only = entries[0] if len(entries) == 1 else None
    return only if isinstance(only, str) and _ORDER_ID.fullmatch(only) else None


def _words(answer: RawAnswer) -> str:
    """What is known of an answer that proves nothing."""
    if answer.failure is Failure.DISCONNECTED:
        return "the connection broke before the answer was there"
    if answer.status is None:
        return one_line(answer.words or "no answer")
    return one_line(f"HTTP {answer.status}: {answer.body or 'an empty answer'}")
