"""The gate of the private API: key, signature, nonce, counter, permission, and the lockout for repeated mistakes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.support.kraken_double.counters import REST, REST_COSTS, DecayingCounter, Tier
from tests.support.kraken_double.errors import (
    API_RATE,
    INVALID_KEY,
    INVALID_NONCE,
    INVALID_SIGNATURE,
    LOCKOUT,
    PERMISSION_DENIED,
    RefusedError,
)

DEFAULT_KEY = "double/of/a/key+that+is+nobodys+and+opens+nothing+at+all"
DEFAULT_SECRET = base64.b64encode(b"a secret that signs requests to the double only: 64 bytes long..").decode()
DEFAULT_PERMISSIONS = (
    "query-funds",
    "query-open-trades",
    "query-closed-trades",
    "query-ledger",
    "modify-trades",
    "close-trades",
)

_NEEDED = {
    "BalanceEx": {"query-funds"},
    "TradeVolume": {"query-funds"},
    "OpenOrders": {"query-open-trades"},
    "QueryOrders": {"query-open-trades", "query-closed-trades"},
    "ClosedOrders": {"query-closed-trades"},
    "TradesHistory": {"query-closed-trades"},
    "QueryTrades": {"query-closed-trades"},
    "Ledgers": {"query-ledger"},
    "QueryLedgers": {"query-ledger"},
    "AddOrder": {"modify-trades"},
    "CancelOrder": {"modify-trades", "close-trades"},
}
"""Permissions of which a call needs one."""

_MISTAKES_BEFORE_LOCKOUT = 10
_MISTAKES_WITHIN = timedelta(minutes=1)
LOCKOUT_TIME = timedelta(minutes=15)


@dataclass(slots=True)
class ApiKey:
    name: str
    key: str
    secret: str
    permissions: tuple[str, ...]
    counter: DecayingCounter
    last_nonce: int = 0
    last_used: datetime | None = None
    mistakes: list[datetime] = field(default_factory=list)
    locked_until: datetime | None = None


class Gate:
    def __init__(self, tier: Tier) -> None:
        self._tier = tier
        self._keys: dict[str, ApiKey] = {}

    def add_key(self, key: str, secret: str, permissions: Collection[str]) -> None:
        """A key with a REST counter and nonces of its own."""
        counter = DecayingCounter(REST[self._tier])
        self._keys[key] = ApiKey(f"key-{len(self._keys) + 1}", key, secret, tuple(permissions), counter)

    def lock(self, until: datetime) -> None:
        """Lock every key out."""
        for key in self._keys.values():
            key.locked_until = until

    def admit(
        self, endpoint: str, path: str, headers: Mapping[str, str], body: str, nonce: str | None, now: datetime
    ) -> ApiKey:
        """Let a signed request through; `headers` are by lower-case name, `path` starts with `/0/private/`.

        Raises `RefusedError`. A nonce counts as used as soon as the signature was right.
        """
        key = self._keys.get(headers.get("api-key", ""))
        if key is None:
            raise RefusedError(INVALID_KEY)
        if key.locked_until is not None and now < key.locked_until:
            raise RefusedError(LOCKOUT)
        if not hmac.compare_digest(_signature(key.secret, path, nonce or "", body), headers.get("api-sign", "")):
            self._note_mistake(key, now)
            raise RefusedError(INVALID_SIGNATURE)
        if not (nonce or "").isdecimal() or int(nonce or "0") <= key.last_nonce:
            self._note_mistake(key, now)
            raise RefusedError(INVALID_NONCE)
        key.last_nonce, key.last_used = int(nonce or "0"), now
        if not key.counter.add(REST_COSTS.get(endpoint, 1), now):
            raise RefusedError(API_RATE)
        needed = _NEEDED.get(endpoint)
        if needed and needed.isdisjoint(key.permissions):
            raise RefusedError(PERMISSION_DENIED)
        return key

    def _note_mistake(self, key: ApiKey, now: datetime) -> None:
        key.mistakes = [at for at in key.mistakes if now - at < _MISTAKES_WITHIN] + [now]
        if len(key.mistakes) >= _MISTAKES_BEFORE_LOCKOUT:
            key.mistakes.clear()
            key.locked_until = now + LOCKOUT_TIME


def _signature(secret: str, path: str, nonce: str, body: str) -> str:
    """HMAC-SHA512, under the decoded secret, of the path and the SHA-256 of nonce and body."""
    try:
        decoded = base64.b64decode(secret)
    except binascii.Error:
        decoded = b""
    digest = hashlib.sha256((nonce + body).encode()).digest()
    return base64.b64encode(hmac.digest(decoded, path.encode() + digest, "sha512")).decode()
