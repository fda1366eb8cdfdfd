"""Refusals in Kraken's words."""

from __future__ import annotations

UNKNOWN_PAIR = "EQuery:Unknown asset pair"
NO_PRICE = "EService:Market in cancel_only mode: it has no price at this moment"
DEADLINE_ELAPSED = "EService:Deadline elapsed"
ORDER_MINIMUM = "EOrder:Order minimum not met"
COST_MINIMUM = "EOrder:Cost minimum not met"
TICK_SIZE = "EOrder:Tick size check failed"
INSUFFICIENT_FUNDS = "EOrder:Insufficient funds"
UNKNOWN_ORDER = "EOrder:Unknown order"
MALFORMED_ORDER_ID = "EOrder:Invalid order"
ORDER_RATE = "EOrder:Rate limit exceeded"
API_RATE = "EAPI:Rate limit exceeded"
INVALID_KEY = "EAPI:Invalid key"
INVALID_SIGNATURE = "EAPI:Invalid signature"
INVALID_NONCE = "EAPI:Invalid nonce"
PERMISSION_DENIED = "EGeneral:Permission denied"
LOCKOUT = "EGeneral:Temporary lockout"
UNAVAILABLE = "EService:Unavailable"
UNKNOWN_METHOD = "EGeneral:Unknown method"


class RefusedError(Exception):
    """The engine says no; the text is Kraken's error."""


def invalid(argument: str) -> RefusedError:
    return RefusedError(f"EGeneral:Invalid arguments:{argument}")
