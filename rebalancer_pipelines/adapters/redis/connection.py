"""Reaching Redis."""

from __future__ import annotations

from urllib.parse import urlsplit

import redis

from rebalancer_pipelines.domain.errors import RebalancerError


def ping_redis(url: str, *, remedy: str = "correct or unset it, it is optional") -> None:
    """Ask Redis for a sign of life. Raises `RebalancerError` naming the address, never the password, and the remedy."""
    try:
        _ping(url)
    except (redis.RedisError, ValueError, OSError) as error:
        parts = urlsplit(url)
        place = f"{parts.hostname}:{parts.port}" if parts.hostname else "that address"
        raise RebalancerError(f"REDIS_URL: no answer from {place} ({type(error).__name__}); {remedy}") from None


def answers(url: str) -> bool:
    """Whether Redis gives a sign of life."""
    try:
        _ping(url)
    except redis.RedisError:
        return False
    return True


def _ping(url: str) -> None:
    with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
        client.ping()
