"""What can go wrong with one request. `KrakenDouble.inject` says with which.

`done` tells whether the engine takes the request: True executes the order and spoils only the answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tests.support.kraken_double.errors import API_RATE, INVALID_NONCE, LOCKOUT
from tests.support.kraken_double.gate import LOCKOUT_TIME, Gate
from tests.support.kraken_double.messages import NOTHING, Answer, Delivery, Manner, error_answer, json_answer

_PAGE = b"<html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>"


class Fault:
    """A sound request; every fault changes something of it."""

    done: bool = True

    @property
    def delay(self) -> timedelta | None:
        """How much later than the request's arrival the engine takes it."""
        return None

    def on_arrival(self, gate: Gate, now: datetime) -> None:
        """Change what the gate knows."""

    def rewritten(self, parameters: dict[str, str]) -> dict[str, str]:
        """The parameters as the engine is to read them."""
        return parameters

    def deliver(self, answer: Answer) -> Delivery:
        """`answer` is the engine's, and empty when it has not taken the request."""
        return Delivery(answer)


@dataclass(frozen=True)
class LoseRequest(Fault):
    """The connection is closed and nothing was done: the request never arrived."""

    done = False

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(NOTHING, Manner.CLOSE)


@dataclass(frozen=True)
class LoseResponse(Fault):
    """Done, but the connection is closed without an answer."""

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(NOTHING, Manner.CLOSE)


@dataclass(frozen=True)
class Reset(Fault):
    """The connection is reset (RST)."""

    done: bool = True

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(NOTHING, Manner.RESET)


@dataclass(frozen=True)
class Truncated(Fault):
    """Done, and the body is cut in the middle.

    `length_matches`: the announced length is that of the half, so no client notices by counting; otherwise the whole
    was announced and the connection closes half-way.
    """

    length_matches: bool = True

    def deliver(self, answer: Answer) -> Delivery:
        if self.length_matches:
            return Delivery(replace(answer, body=answer.body[: len(answer.body) // 2]))
        return Delivery(answer, Manner.CUT)


@dataclass(frozen=True)
class HtmlPage(Fault):
    """A proxy's page in HTML instead of the answer, with status 200."""

    done: bool = True

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(Answer(200, _PAGE, "text/html; charset=UTF-8"))


@dataclass(frozen=True)
class EmptyBody(Fault):
    """Status 200 and no body."""

    done: bool = True

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(Answer(200, b""))


@dataclass(frozen=True)
class EmptyJson(Fault):
    """Status 200 and `{}`."""

    done: bool = True

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(json_answer({}))


@dataclass(frozen=True)
class EmptyResult(Fault):
    """Status 200 and `{"error": [], "result": {}}`: no list of orders is not an empty list of orders."""

    done: bool = True

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(json_answer({"error": [], "result": {}}))


@dataclass(frozen=True)
class MissingTxid(Fault):
    """Done; the result describes the order but lacks its id."""

    def deliver(self, answer: Answer) -> Delivery:
        document = json.loads(answer.body)
        document.get("result", {}).pop("txid", None)
        return Delivery(json_answer(document))


@dataclass(frozen=True)
class Status(Fault):
    """A gateway's status and page: 502, 503, 504, 520, 523, 524."""

    status: int
    done: bool = True

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(Answer(self.status, _PAGE, "text/html; charset=UTF-8"))


@dataclass(frozen=True)
class AcceptedWithWarning(Fault):
    """Done; the error list holds a warning, and the result is there all the same."""

    warning: str = "WDatabase:Slow response"

    def deliver(self, answer: Answer) -> Delivery:
        document = json.loads(answer.body)
        document["error"].append(self.warning)
        return Delivery(json_answer(document))


@dataclass(frozen=True)
class Delayed(Fault):
    """The connection is closed at once, and the engine takes the request only when its clock has passed `seconds`.

    Key, signature and nonce are checked at arrival, the order's deadline when the engine takes it: that happens with
    the first request after that moment, or by `KrakenDouble.settle_delayed`.
    """

    seconds: float

    @property
    def delay(self) -> timedelta | None:
        return timedelta(seconds=self.seconds)

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(NOTHING, Manner.CLOSE)


@dataclass(frozen=True)
class Hang(Fault):
    """No answer until `KrakenDouble.release` or the end of the double."""

    done: bool = False

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(answer, Manner.HANG)


@dataclass(frozen=True)
class Drip(Fault):
    """The body arrives one byte at a time, `interval` real seconds apart: no single read ever times out."""

    interval: float = 0.05

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(answer, Manner.DRIP, self.interval)


@dataclass(frozen=True)
class ErrorAnswer(Fault):
    """Kraken's JSON with an error, such as `EService:Unavailable`; done=True executes the order nevertheless."""

    error: str
    done: bool = False

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(error_answer(self.error))


@dataclass(frozen=True)
class InvalidNonce(Fault):
    """Refused as if the nonce were too low; nothing done."""

    done = False

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(error_answer(INVALID_NONCE))


@dataclass(frozen=True)
class Lockout(Fault):
    """Refused, and so is every private request in the next `seconds`; nothing done."""

    seconds: float = LOCKOUT_TIME.total_seconds()
    done = False

    def on_arrival(self, gate: Gate, now: datetime) -> None:
        gate.lock(now + timedelta(seconds=self.seconds))

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(error_answer(LOCKOUT))


@dataclass(frozen=True)
class RateLimited(Fault):
    """Refused as if a counter were exceeded; nothing done."""

    error: str = API_RATE
    done = False

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(error_answer(self.error))


@dataclass(frozen=True)
class BadGzip(Fault):
    """The body claims to be gzip and is not."""

    done: bool = True

    def deliver(self, answer: Answer) -> Delivery:
        return Delivery(replace(answer, body=b"\x1f\x8b\x08 this is not gzip", content_encoding="gzip"))


@dataclass(frozen=True)
class OtherPair(Fault):
    """The request is taken as one for another pair: a ticker or an order of the wrong market."""

    pair: str

    def rewritten(self, parameters: dict[str, str]) -> dict[str, str]:
        return {**parameters, "pair": self.pair}


@dataclass(frozen=True)
class FixedAnswer(Fault):
    """Always this status and body; nothing done."""

    status: int
    body: str
    done = False

    def deliver(self, answer: Answer) -> Delivery:
        kind = "text/html" if self.body.startswith("<") else "application/json"
        return Delivery(Answer(self.status, self.body.encode(), kind))


_FAULTS: Mapping[str, type[Fault]] = {kind.__name__: kind for kind in Fault.__subclasses__()}


def fault_named(name: str, arguments: Mapping[str, Any]) -> Fault:
    """A fault from its class name and arguments, for those who inject over HTTP."""
    return _FAULTS[name](**arguments)
