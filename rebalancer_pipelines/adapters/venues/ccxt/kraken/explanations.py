"""Why something could not be read from Kraken, in one line: what was asked, why it failed, what to do."""

from __future__ import annotations

from collections.abc import Mapping

from rebalancer_pipelines.adapters.venues.ccxt.kraken.permissions import NEEDED
from rebalancer_pipelines.adapters.venues.ccxt.kraken.reply import error_texts, reply_of
from rebalancer_pipelines.adapters.venues.ccxt.one_line import LONGEST, one_line
from rebalancer_pipelines.adapters.venues.ccxt.raw_answer import Failure, RawAnswer
from rebalancer_pipelines.domain.errors import VenueUnreachableError

_PERMISSION_OF: Mapping[str, str] = {
    "BalanceEx": "query-funds",
    "TradeVolume": "query-funds",
    "OpenOrders": "query-open-trades",
    "QueryOrders": "query-closed-trades",
    "ClosedOrders": "query-closed-trades",
    "QueryTrades": "query-closed-trades",
    "Ledgers": "query-ledger",
    "AddOrder": "modify-trades",
    "CancelOrder": "close-trades",
}

_REMEDIES = (
    ("EAPI:Invalid key", "Kraken does not know the API key; give the account the right one"),
    ("EAPI:Invalid signature", "the secret does not belong to the API key; give the account the right one"),
    ("EAPI:Invalid nonce", "another program uses the same API key; give this one a key of its own"),
    ("EAPI:Rate limit", "another program uses the same API key; wait a minute"),
    ("EGeneral:Temporary lockout", "Kraken locks the key out after too many errors; wait 15 minutes"),
    ("EService:Unavailable", "Kraken is down or in maintenance; look at status.kraken.com"),
    ("EService:Busy", "Kraken is busy; try again"),
    ("EService:Market in", "Kraken restricts trading now; look at status.kraken.com"),
    ("EGeneral:Too many requests", "too many requests from this address; wait a minute"),
)
"""What an error of Kraken's means and what to do about it, by its beginning."""

_FAILURES: Mapping[Failure, str] = {
    Failure.TIMEOUT: "no answer in time ({words}); check the network and try again",
    Failure.REFUSED: "nobody listens at {place}; check the address",
    Failure.UNKNOWN_HOST: "the host of {place} is unknown; check network and address",
    Failure.INSECURE: "{place} cannot prove who it is (TLS); check address and clock",
    Failure.DISCONNECTED: "the connection broke; try again",
    Failure.OTHER: "{words}; try again",
}


def unreadable(what: str, endpoint: str, answer: RawAnswer, place: str) -> VenueUnreachableError:
    """The error for a call to `endpoint` that should have told `what`, at the API's address `place`."""
    return VenueUnreachableError(_sentence(what, _cause(endpoint, answer, place)))


def malformed(what: str, detail: str) -> VenueUnreachableError:
    """The error for an answer in another shape than Kraken's."""
    return VenueUnreachableError(_sentence(what, f"the answer is not Kraken's ({detail}); try again"))


def _cause(endpoint: str, answer: RawAnswer, place: str) -> str:
    if answer.failure is not None:
        return _FAILURES[answer.failure].format(words=one_line(answer.words, longest=100), place=place)
    reply = reply_of(answer)
    errors = error_texts(reply) if reply is not None else ()
    if errors:
        return _meaning(endpoint, errors)
    if answer.status == 429:
        return "too many requests from this address (HTTP 429); wait a minute"
    if answer.status is not None and answer.status >= 500:
        return f"Kraken's gateway answers HTTP {answer.status}; look at status.kraken.com and try again"
    if answer.status != 200 or "<" in (answer.body or "")[:1]:
        return f"{place} answers HTTP {answer.status} and not as Kraken does; check the address"
    return f"the answer is not Kraken's ({one_line(answer.body or 'empty', longest=60)}); try again"


def _meaning(endpoint: str, errors: tuple[str, ...]) -> str:
    words = one_line("; ".join(errors), longest=70)
    if any(error.startswith("EGeneral:Permission denied") for error in errors):
        permission = NEEDED[_PERMISSION_OF[endpoint]] if endpoint in _PERMISSION_OF else endpoint
        return f"the API key lacks '{permission}' ({words}); grant it at Kraken"
    for error in errors:
        for beginning, remedy in _REMEDIES:
            if error.startswith(beginning):
                return f"{remedy} ({words})"
    return f"{words}; try again"


def _sentence(what: str, cause: str) -> str:
    begin = f"kraken's {what} cannot be read: "
    return begin + one_line(cause, longest=LONGEST - len(begin))
