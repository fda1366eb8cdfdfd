"""Kraken's private API for one key: each call takes a turn first, reads are asked again where that is harmless."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from rebalancer_pipelines.adapters.venues.ccxt.client import CcxtClient
from rebalancer_pipelines.adapters.venues.ccxt.key_turns import Charge, KeyTurns
from rebalancer_pipelines.adapters.venues.ccxt.kraken.explanations import malformed, unreadable
from rebalancer_pipelines.adapters.venues.ccxt.kraken.limits import reading
from rebalancer_pipelines.adapters.venues.ccxt.kraken.reply import (
    MalformedReplyError,
    error_texts,
    reply_of,
    rows,
    table,
    whole,
)
from rebalancer_pipelines.adapters.venues.ccxt.raw_answer import RawAnswer

_T = TypeVar("_T")

_ATTEMPTS = 3
"""How often a read is tried that Kraken refuses for its rate or its nonce."""

_KEY_RATE = "EAPI:Rate limit"

_MOST_PAGES = 200
"""Pages after which a list is taken to have no end. Kraken shows fifty entries on each."""

_MOST_READINGS = 3
"""How often a list is read from its beginning that grows meanwhile."""


class PrivateApi:
    """One account's private endpoints. `place` is the API's address, for people."""

    def __init__(self, client: CcxtClient, turns: KeyTurns, place: str) -> None:
        self._client = client
        self._turns = turns
        self._place = place

    def read(self, what: str, endpoint: str, parameters: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """The result of a call that changes nothing. `what` is what people are told it was about.

        Raises `VenueUnreachableError`, also for an answer without a result.
        """
        charge = reading(endpoint)
        answer = self._ask(endpoint, parameters or {}, charge)
        for _ in range(_ATTEMPTS - 1):
            errors = errors_of(answer)
            if _has(errors, _KEY_RATE):
                self._turns.fill_up(rest=True)
            elif not _has(errors, "EAPI:Invalid nonce"):
                break
            answer = self._ask(endpoint, parameters or {}, charge)
        reply = reply_of(answer)
        if answer.status != 200 or reply is None or not _is_free_of_errors(reply):
            raise unreadable(what, endpoint, answer, self._place)
        try:
            return table(reply, "result")
        except MalformedReplyError as error:
            raise malformed(what, str(error)) from None

    def read_as(
        self,
        what: str,
        endpoint: str,
        parameters: Mapping[str, str],
        understand: Callable[[Mapping[str, Any]], _T],
    ) -> _T:
        """What `understand` makes of the result. Raises `VenueUnreachableError`, also where it cannot."""
        result = self.read(what, endpoint, parameters)
        try:
            return understand(result)
        except MalformedReplyError as error:
            raise malformed(what, str(error)) from None

    def pages(self, what: str, endpoint: str, name: str, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        """Every entry of a list that comes in pages, newest first, by id.

        Entries that arrive meanwhile push others to later pages: what is repeated counts once, and the beginning is
        read again until nothing is missing. Raises `VenueUnreachableError`, also when something stays missing.
        """
        found: dict[str, Any] = {}
        for _ in range(_MOST_READINGS):
            offset = 0
            for _ in range(_MOST_PAGES):
                page, count = self._page(what, endpoint, name, {**parameters, "ofs": str(offset)})
                known = len(found)
                found |= page
                if len(found) >= count:
                    return found
                if len(found) == known:
                    break
                offset = len(found)
        raise malformed(what, f"{name} lacks entries that its count promises")

    def send(self, endpoint: str, parameters: Mapping[str, str], charge: Charge, nonce: int) -> RawAnswer:
        """Send a call that changes something, once, within a turn that was taken for it."""
        answer = self._client.call(f"privatePost{endpoint}", parameters, nonce=nonce)
        errors = errors_of(answer)
        if _has(errors, _KEY_RATE):
            self._turns.fill_up(rest=True)
        if _has(errors, "EOrder:Rate limit"):
            self._turns.fill_up(market=charge.market)
        return answer

    def turn(self, charge: Charge, *, until: datetime | None = None) -> AbstractContextManager[int]:
        """A turn for `send`."""
        self._client.prepare()
        return self._turns.turn(charge, until=until)

    @property
    def place(self) -> str:
        """The API's address."""
        return self._place

    @property
    def time_waited(self) -> timedelta:
        """How long calls have waited for the counters."""
        return self._turns.time_waited

    @property
    def time_called(self) -> timedelta:
        """Real time spent in calls."""
        return self._client.time_called

    def _ask(self, endpoint: str, parameters: Mapping[str, str], charge: Charge) -> RawAnswer:
        self._client.prepare()
        with self._turns.turn(charge) as nonce:
            return self._client.call(f"privatePost{endpoint}", parameters, nonce=nonce)

    def _page(
        self, what: str, endpoint: str, name: str, parameters: Mapping[str, str]
    ) -> tuple[Mapping[str, Any], int]:
        return self.read_as(
            what, endpoint, parameters, lambda result: (rows(table(result, name)), whole(result, "count"))
        )


def errors_of(answer: RawAnswer) -> tuple[str, ...]:
    """Kraken's errors in an answer; empty where it has none."""
    reply = reply_of(answer)
    return error_texts(reply) if reply is not None else ()


def _is_free_of_errors(reply: Mapping[str, Any]) -> bool:
    """Whether the error list is there and holds no more than warnings."""
    return reply.get("error") == [] or (
        bool(texts := error_texts(reply)) and all(error.startswith("W") for error in texts)
    )


def _has(errors: tuple[str, ...], beginning: str) -> bool:
    return any(error.startswith(beginning) for error in errors)
