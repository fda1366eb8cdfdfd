"""Kraken on 127.0.0.1, for tests that speak to it through the real ccxt: it trades, books, counts, forgets and lies.

with kraken_double(clock=clock, balances={"EUR": "10000"}) as double:
    double.inject("AddOrder", LoseResponse())
"""

from __future__ import annotations

from tests.support.kraken_double.double import KrakenDouble
from tests.support.kraken_double.faults import (
    AcceptedWithWarning,
    BadGzip,
    Delayed,
    Drip,
    EmptyBody,
    EmptyJson,
    EmptyResult,
    ErrorAnswer,
    Fault,
    FixedAnswer,
    Hang,
    HtmlPage,
    InvalidNonce,
    Lockout,
    LoseRequest,
    LoseResponse,
    MissingTxid,
    OtherPair,
    RateLimited,
    Reset,
    Status,
    Truncated,
)
from tests.support.kraken_double.running import kraken_double

__all__ = [
    "AcceptedWithWarning",
    "BadGzip",
    "Delayed",
    "Drip",
    "EmptyBody",
    "EmptyJson",
    "EmptyResult",
    "ErrorAnswer",
    "Fault",
    "FixedAnswer",
    "Hang",
    "HtmlPage",
    "InvalidNonce",
    "KrakenDouble",
    "Lockout",
    "LoseRequest",
    "LoseResponse",
    "MissingTxid",
    "OtherPair",
    "RateLimited",
    "Reset",
    "Status",
    "Truncated",
    "kraken_double",
]
