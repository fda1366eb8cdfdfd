"""The cache in Redis: what is kept there, under which keys, for how long, and what counts as a sound copy.

Keys begin with the version of what they hold and the database it was read from. Answers of an API can be kept beside
these, as one more use with a key, a time to live and a check of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import TypeVar
from uuid import uuid4

from pydantic import AwareDatetime, TypeAdapter
from typing_extensions import TypedDict

from rebalancer_pipelines.adapters.redis.store import RedisStore
from rebalancer_pipelines.application.message_text import cut, printable
from rebalancer_pipelines.application.ports.cache import Cache, ListedPortfolio, NoCache, NotedError
from rebalancer_pipelines.domain.errors import RebalancerError
from rebalancer_pipelines.domain.market import PriceMark, check_quote
from rebalancer_pipelines.domain.portfolio import Account, parse_name

_VERSION = 1

_PORTFOLIOS_SECONDS = 30
"""Also how long a copy may be wrong when Redis was away at the moment of a change."""
_PORTFOLIOS_BYTES = 1_000_000
"""A longer list is read from the database, which is quicker at it."""

_GENERATION_SECONDS = 86_400
_GENERATION = re.compile(rb"[0-9a-f]{32}")

_PRICE_SECONDS = 600
_PRICE_BYTES = 1_000

_ERROR_SECONDS = 7 * 86_400
_ERROR_BYTES = 4_000
_ERRORS_KEPT = 200
_LONGEST_LINE = 500

_Kept = TypeVar("_Kept")


class _Price(TypedDict):
    symbol: str
    bid: Decimal
    ask: Decimal
    source: str
    observed_at: AwareDatetime
    recorded_at: AwareDatetime | None


class _Error(TypedDict):
    at: AwareDatetime
    line: str


_PORTFOLIOS: TypeAdapter[tuple[ListedPortfolio, ...]] = TypeAdapter(tuple[ListedPortfolio, ...])
_PRICE: TypeAdapter[_Price] = TypeAdapter(_Price)
_ERROR: TypeAdapter[_Error] = TypeAdapter(_Error)


@contextmanager
def open_cache(url: str | None, database: str) -> Generator[Cache]:
    """The cache for a block: of what stands in `database`, in the Redis at `url` where there is one.

    An address that is none is as good as no Redis; `rebalancer doctor` tells of it.
    """
    try:
        store = RedisStore(url) if url else None
    except ValueError:
        store = None
    if store is None:
        yield NoCache()
        return
    try:
        yield RedisCache(store, database)
    finally:
        store.close()


class RedisCache:
    """Implements `Cache`."""

    def __init__(self, store: RedisStore, database: str) -> None:
        """Keep copies of what stands in `database` in the store."""
        self._store = store
        self._prefix = f"rebalancer:{_VERSION}:{database}:"

    def portfolios(self, load: Callable[[], Sequence[ListedPortfolio]]) -> Sequence[ListedPortfolio]:
        """A copy of this generation, or what `load` returns.

        A change ends the generation. What was loaded before the change but kept after it is of the old one, which
        nobody looks at any more.
        """
        generation = self._generation()
        if generation is None:
            return load()
        key = f"{self._prefix}portfolios:{generation}"
        kept = _read(_PORTFOLIOS, self._get(key, _PORTFOLIOS_BYTES))
        if kept is not None and all(_is_sound(listed) for listed in kept):
            return kept
        loaded = load()
        text = _PORTFOLIOS.dump_json(tuple(loaded))
        if len(text) <= _PORTFOLIOS_BYTES:
            self._store.set({key: text}, seconds=_PORTFOLIOS_SECONDS)
        return loaded

    def forget_portfolios(self) -> None:
        """End the generation."""
        self._store.delete(self._generation_key)

    def prices(self, account: Account, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """Those of the prices that are there and sound."""
        if not symbols:
            return {}
        wanted = sorted(symbols)
        texts = self._store.get([self._price_key(account, symbol) for symbol in wanted], longest=_PRICE_BYTES)
        found = (_mark(symbol, text) for symbol, text in zip(wanted, texts, strict=True))
        return {mark.symbol: mark for mark in found if mark is not None}

    def keep_prices(self, account: Account, marks: Iterable[PriceMark]) -> None:
        """Keep each under its market."""
        texts = {
            self._price_key(account, mark.symbol): _PRICE.dump_json(
                _Price(
                    symbol=mark.symbol,
                    bid=mark.bid,
                    ask=mark.ask,
                    source=mark.source,
                    observed_at=mark.observed_at,
                    recorded_at=mark.recorded_at,
                )
            )
            for mark in marks
        }
        self._store.set(texts, seconds=_PRICE_SECONDS)

    def errors(self, limit: int) -> Sequence[NotedError]:
        """The newest lines of the ring."""
        count = self._get(self._error_key("count"), 20)
        if count is None or not count.isdigit():
            return ()
        newest = int(count)
        numbers = range(newest, max(0, newest - min(limit, _ERRORS_KEPT)), -1)
        texts = self._store.get([self._error_key(number % _ERRORS_KEPT) for number in numbers], longest=_ERROR_BYTES)
        noted = (_read(_ERROR, text) for text in texts)
        return [NotedError(error["at"], cut(printable(error["line"]), _LONGEST_LINE)) for error in noted if error]

    def note_error(self, at: datetime, line: str) -> None:
        """Put a line into the ring, over the oldest one when it is full."""
        number = self._store.count_up(self._error_key("count"))
        if number is not None:
            text = _ERROR.dump_json(_Error(at=at, line=cut(printable(" ".join(line.split())), _LONGEST_LINE)))
            self._store.set({self._error_key(number % _ERRORS_KEPT): text}, seconds=_ERROR_SECONDS)

    @property
    def _generation_key(self) -> str:
        return f"{self._prefix}portfolios"

    def _generation(self) -> str | None:
        """The name of the present generation, a new one where there is none; None without Redis."""
        key = self._generation_key
        found = self._get(key, 32)
        if not _is_generation(found):
            if found is not None:
                self._store.delete(key)
            # Whoever comes first names it; to be told which name that was takes another look.
            self._store.set_if_absent(key, uuid4().hex.encode(), seconds=_GENERATION_SECONDS)
            found = self._get(key, 32)
        if found is None or not _is_generation(found):
            self._store.delete(key)
            return None
        return found.decode()

    def _price_key(self, account: Account, symbol: str) -> str:
        return f"{self._prefix}price:{account.venue}:{account.price_source}:{account.endpoint or ''}:{symbol}"

    def _error_key(self, name: str | int) -> str:
        return f"{self._prefix}errors:{name}"

    def _get(self, key: str, longest: int) -> bytes | None:
        return self._store.get([key], longest=longest)[0]


def _read(kind: TypeAdapter[_Kept], text: bytes | None) -> _Kept | None:
    """What a text holds; None for one that does not hold what it should."""
    if text is None:
        return None
    try:
        return kind.validate_json(text)
    except (ValueError, RebalancerError):
        return None


def _is_generation(text: bytes | None) -> bool:
    return text is not None and _GENERATION.fullmatch(text) is not None


def _mark(symbol: str, text: bytes | None) -> PriceMark | None:
    found = _read(_PRICE, text)
    if found is None or found["symbol"] != symbol or not found["source"].isprintable():
        return None
    try:
        return check_quote(PriceMark(**found), symbol)
    except RebalancerError:
        return None


def _is_sound(listed: ListedPortfolio) -> bool:
    """Whether it could be shown as it stands."""
    portfolio = listed.portfolio
    times = (
        portfolio.anchor_at,
        portfolio.last_rebalanced_at,
        portfolio.next_rebalance_at,
        portfolio.created_at,
        portfolio.updated_at,
    )
    try:
        for name in (portfolio.name, listed.account):
            parse_name(name, field="name")
    except RebalancerError:
        return False
    return portfolio.description.isprintable() and all(time is None or time.tzinfo is not None for time in times)
