"""A real Valkey, one per module, emptied before every test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from rebalancer_pipelines.adapters.redis.cache import open_cache
from rebalancer_pipelines.application.ports import Cache
from tests.support.valkey import running_valkey


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_valkey(tmp_path_factory.mktemp("valkey") / "data") as url:
        yield url


@pytest.fixture
def valkey(_server: str) -> str:
    """URL of a Valkey without a key in it and with room."""
    with redis.Redis.from_url(_server) as client:
        client.config_set("maxmemory", "64mb")
        client.flushall()
    return _server


@pytest.fixture
def inside(valkey: str) -> Iterator[Any]:
    """A hand on the Valkey from outside the program."""
    with redis.Redis.from_url(valkey) as client:
        yield client


@pytest.fixture
def cache(valkey: str) -> Iterator[Cache]:
    with open_cache(valkey, "books") as opened:
        yield opened
