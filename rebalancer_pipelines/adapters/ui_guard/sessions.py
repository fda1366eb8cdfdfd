"""Who is logged in: a signed value that a browser keeps, good until it expires, is ended, or this process ends."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from rebalancer_pipelines.application.ports import Clock

LIFETIME = timedelta(hours=12)


class Sessions:
    """Opens, knows and ends sessions. The key that signs them is made anew with every process and kept nowhere."""

    def __init__(self, clock: Clock, lifetime: timedelta = LIFETIME) -> None:
        """Sessions last for `lifetime`, however much they are used."""
        self._clock = clock
        self._lifetime = lifetime
        self._key = secrets.token_bytes(32)
        self._ended: dict[str, datetime] = {}
        self._listeners: dict[str, list[Callable[[], None]]] = {}

    def open(self) -> str:
        """A new session's value, for a cookie."""
        expires = self._clock.now() + self._lifetime
        content = f"{secrets.token_urlsafe(16)}.{int(expires.timestamp())}"
        return f"{content}.{self._signature(content)}"

    def left(self, value: str) -> timedelta | None:
        """How long a session is still good, or None when it is not: forged, expired or ended."""
        content, _, signature = value.rpartition(".")
        if not hmac.compare_digest(signature.encode(errors="replace"), self._signature(content).encode()):
            return None
        name, _, stamp = content.rpartition(".")
        left = datetime.fromtimestamp(int(stamp), UTC) - self._clock.now()
        return left if left > timedelta() and name not in self._ended else None

    def end(self, value: str) -> None:
        """Forget a session for good and tell who listens for that; a value that is none is ignored."""
        left = self.left(value)
        if left is None:
            return
        now = self._clock.now()
        self._ended = {name: expires for name, expires in self._ended.items() if expires > now}
        name = _name(value)
        self._ended[name] = now + left
        for tell in tuple(self._listeners.get(name, ())):
            tell()

    @contextmanager
    def telling_of_end(self, value: str, tell: Callable[[], None]) -> Generator[None]:
        """Call `tell` when the session is ended meanwhile; that it expires can be known before, from `left`."""
        name = _name(value)
        listeners = self._listeners.setdefault(name, [])
        listeners.append(tell)
        try:
            yield
        finally:
            listeners.remove(tell)
            if not listeners:
                del self._listeners[name]

    def _signature(self, content: str) -> str:
        return hmac.new(self._key, content.encode(errors="replace"), hashlib.sha256).hexdigest()


def _name(value: str) -> str:
    return value.partition(".")[0]
