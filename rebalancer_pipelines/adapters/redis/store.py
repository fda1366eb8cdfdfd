"""Values in Redis, as far as it answers: no call raises, and none takes longer than a blink.

Socket timeouts are not enough for that: they leave out the look-up of a name, and a server that answers byte by byte
never meets one. So every call runs beside the caller, who leaves it behind when its time is up.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

CALL_SECONDS = 0.1
BYPASS_SECONDS = 10.0
"""How long Redis is not asked again after it has failed."""

_Result = TypeVar("_Result")


class RedisStore:
    """Bytes by key, each with a time to live. A failure looks like a value that is not there."""

    def __init__(self, url: str) -> None:
        """Prepare to connect. Raises `ValueError` when the address is none."""
        self._client: Any = redis.Redis.from_url(
            url,
            socket_timeout=CALL_SECONDS,
            socket_connect_timeout=CALL_SECONDS,
            retry=Retry(NoBackoff(), 0),
            max_connections=4,
            protocol=2,
        )
        self._bypassed_until = 0.0

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def get(self, keys: Sequence[str], *, longest: int) -> list[bytes | None]:
        """The value of each key. One that is of another kind or longer than `longest` bytes is deleted."""

        def ask(client: Any) -> list[Any]:
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                # Never more than that, however large somebody has made it.
                pipeline.getrange(key, 0, longest)
            return pipeline.execute(raise_on_error=False)

        answers = self._call(ask) or [b""] * len(keys)
        odd = [key for key, answer in zip(keys, answers, strict=True) if not _fits(answer, longest)]
        if odd:
            self.delete(*odd)
        return [answer if answer and _fits(answer, longest) else None for answer in answers]

    def set(self, values: Mapping[str, bytes], *, seconds: int) -> None:
        """Keep values for so many seconds."""

        def put(client: Any) -> None:
            pipeline = client.pipeline(transaction=False)
            for key, value in values.items():
                pipeline.set(key, value, ex=seconds)
            pipeline.execute(raise_on_error=False)

        if values:
            self._call(put)

    def set_if_absent(self, key: str, value: bytes, *, seconds: int) -> None:
        """Keep a value unless the key has one."""
        self._call(lambda client: client.set(key, value, ex=seconds, nx=True))

    def count_up(self, key: str) -> int | None:
        """Add one to a counter; one that is no number is deleted."""
        try:
            return self._call(lambda client: client.incr(key), raises=True)
        except redis.ResponseError:
            self.delete(key)
            return None

    def delete(self, *keys: str) -> None:
        """Delete values; it works in a full Redis, too."""
        self._call(lambda client: client.delete(*keys))

    def _call(self, operation: Callable[[Any], _Result], *, raises: bool = False) -> _Result | None:
        """The result of a call; None when Redis does not answer in time or refuses (`raises`: that is raised)."""
        if time.monotonic() < self._bypassed_until:
            return None
        results: list[_Result | None] = []
        refusals: list[redis.ResponseError] = []

        def run() -> None:
            try:
                results.append(operation(self._client))
            except redis.ResponseError as refusal:
                refusals.append(refusal)
            except Exception as error:  # noqa: BLE001 - a client fed with garbage may raise anything
                logger.info("Going on without the cache for %g s (%s)", BYPASS_SECONDS, type(error).__name__)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(CALL_SECONDS)
        if refusals:
            if raises:
                raise refusals[0]
            return None
        if not results:
            self._bypassed_until = time.monotonic() + BYPASS_SECONDS
            return None
        return results[0]


def _fits(answer: object, longest: int) -> bool:
    return isinstance(answer, bytes) and len(answer) <= longest
