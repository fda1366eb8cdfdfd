"""What an API key of Kraken's may do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rebalancer_pipelines.adapters.venues.ccxt.kraken.reply import MalformedReplyError, texts
from rebalancer_pipelines.application.ports import KeyPermissions

NEEDED: Mapping[str, str] = {
    "query-funds": "Query Funds",
    "query-open-trades": "Query Open Orders & Trades",
    "query-closed-trades": "Query Closed Orders & Trades",
    "query-ledger": "Query Ledger Entries",
    "modify-trades": "Create & Modify Orders",
    "close-trades": "Cancel/Close Orders",
}
"""What this program needs, by the names in GetApiKeyInfo, in Kraken's words for people.

Source: docs.kraken.com, "API key permissions"."""

_WITHDRAWING = frozenset({"withdraw-funds", "add-withdraw-address", "update-withdraw-address"})


def read_permissions(result: Mapping[str, Any]) -> KeyPermissions:
    """The result of GetApiKeyInfo. Raises `MalformedReplyError`, also for an answer that does not speak of them."""
    if result.get("permissions") is None:
        raise MalformedReplyError("permissions are missing")
    granted = set(texts(result, "permissions"))
    return KeyPermissions(
        can_withdraw=bool(granted & _WITHDRAWING),
        missing=tuple(words for name, words in NEEDED.items() if name not in granted),
    )
