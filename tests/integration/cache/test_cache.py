"""What the cache keeps, for how long, and that nothing which happens to Redis is more than a miss."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from rebalancer_pipelines.adapters.embedded.valkey_server import valkey_server
from rebalancer_pipelines.adapters.redis.cache import open_cache
from rebalancer_pipelines.adapters.redis.store import BYPASS_SECONDS, CALL_SECONDS
from rebalancer_pipelines.application.ports import Cache, ListedPortfolio
from rebalancer_pipelines.domain.account_settings import AccountSettings
from rebalancer_pipelines.domain.drift import DriftBand, DriftBandKind
from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.portfolio import Account, TradingState
from tests.support.builders import NOON, a_policy, a_portfolio
from tests.support.mute_server import mute_server
from tests.support.valkey import running_valkey

ACCOUNT = Account(UUID(int=2), "main", "paper", "live", TradingState.ACTIVE, None, NOON, AccountSettings())
BTC = PriceMark("BTC/EUR", Decimal("50000.10"), Decimal("50000.2000000000000000001"), "kraken", NOON)
ETH = PriceMark("ETH/EUR", Decimal(2000), Decimal(2001), "recorded", NOON, NOON - timedelta(days=2000))
SYMBOLS = ("BTC/EUR", "ETH/EUR", "LTC/EUR")
BAND = DriftBand(Decimal("5.5"), DriftBandKind.RELATIVE)
LISTED = (
    ListedPortfolio(a_portfolio("BTC=50,ETH,EUR=20", policy=a_policy(band=BAND, max_orders=3)), "main"),
    ListedPortfolio(replace(a_portfolio(), name="other", next_rebalance_at=NOON, description="ü \U0001f600"), "main"),
)
PORTFOLIOS = "rebalancer:1:books:portfolios"
PRICE = "rebalancer:1:books:price:paper:live::BTC/EUR"
ERRORS = "rebalancer:1:books:errors:"
BLINK = 3 * CALL_SECONDS + 0.2
"""Time for what a use of the cache may ask of Redis at most, on a busy machine."""


class Table:
    """Where the portfolios stand; counts how often it is read."""

    def __init__(self, *listed: ListedPortfolio) -> None:
        self.listed: Sequence[ListedPortfolio] = listed
        self.read = 0

    def load(self) -> Sequence[ListedPortfolio]:
        self.read += 1
        return self.listed


@pytest.fixture
def table() -> Table:
    return Table(*LISTED)


def test_portfolios_are_read_once_and_come_back_as_they_are(cache: Cache, table: Table) -> None:
    assert tuple(cache.portfolios(table.load)) == LISTED
    assert tuple(cache.portfolios(table.load)) == LISTED
    assert table.read == 1


def test_a_change_is_seen_at_once(cache: Cache, table: Table, valkey: str) -> None:
    cache.portfolios(table.load)
    table.listed = LISTED[:1]
    with open_cache(valkey, "books") as elsewhere:
        elsewhere.forget_portfolios()
    assert tuple(cache.portfolios(table.load)) == LISTED[:1]
    assert table.read == 2


def test_what_was_read_before_a_change_is_not_shown_after_it(cache: Cache, table: Table) -> None:
    def slow() -> Sequence[ListedPortfolio]:
        before = table.load()
        table.listed = LISTED[:1]
        cache.forget_portfolios()
        return before

    assert tuple(cache.portfolios(slow)) == LISTED
    assert tuple(cache.portfolios(table.load)) == LISTED[:1]


def test_two_databases_do_not_see_each_others_portfolios(cache: Cache, table: Table, valkey: str) -> None:
    cache.portfolios(table.load)
    with open_cache(valkey, "other") as other:
        assert tuple(other.portfolios(lambda: ())) == ()
    assert tuple(cache.portfolios(table.load)) == LISTED


def test_an_empty_list_is_kept_too(cache: Cache) -> None:
    table = Table()
    assert [tuple(cache.portfolios(table.load)) for _ in range(2)] == [(), ()]
    assert table.read == 1


def test_a_list_that_is_too_long_is_not_kept(cache: Cache, inside: Any) -> None:
    table = Table(*LISTED * 1500)
    assert len(cache.portfolios(table.load)) == len(cache.portfolios(table.load)) == 3000
    assert table.read == 2
    assert [key for key in inside.scan_iter() if key.startswith(PORTFOLIOS.encode() + b":")] == []


def test_prices_come_back_to_the_last_digit(cache: Cache) -> None:
    assert cache.prices(ACCOUNT, SYMBOLS) == {}
    cache.keep_prices(ACCOUNT, [BTC, ETH])
    assert cache.prices(ACCOUNT, SYMBOLS) == {"BTC/EUR": BTC, "ETH/EUR": ETH}
    assert cache.prices(ACCOUNT, ()) == {}
    cache.keep_prices(ACCOUNT, [])


@pytest.mark.parametrize(
    "other", [{"venue": "kraken"}, {"price_source": "recorded"}, {"endpoint": "http://127.0.0.1:1"}]
)
def test_prices_belong_to_a_venue_and_a_source(cache: Cache, other: dict[str, str]) -> None:
    cache.keep_prices(ACCOUNT, [BTC])
    assert cache.prices(replace(ACCOUNT, id=UUID(int=9), name="second"), SYMBOLS) == {"BTC/EUR": BTC}
    assert cache.prices(replace(ACCOUNT, **other), SYMBOLS) == {}


def test_everything_ends_by_itself(cache: Cache, table: Table, inside: Any) -> None:
    cache.portfolios(table.load)
    cache.keep_prices(ACCOUNT, [BTC])
    cache.note_error(NOON, "a line")
    left = {key.decode(): inside.ttl(key) for key in inside.scan_iter() if not key.endswith(b"errors:count")}
    assert len(left) == 4
    (kept,) = [key for key in left if key.startswith(f"{PORTFOLIOS}:")]
    assert 0 < left[kept] <= 30
    assert 0 < left[PRICE] <= 600
    assert 0 < left[PORTFOLIOS] <= 86_400
    assert 0 < left[f"{ERRORS}1"] <= 7 * 86_400
    inside.expire(kept, 0)
    inside.expire(PRICE, 0)
    cache.portfolios(table.load)
    assert table.read == 2
    assert cache.prices(ACCOUNT, SYMBOLS) == {}


def test_the_newest_errors_come_first_and_old_ones_make_room(cache: Cache, inside: Any) -> None:
    assert cache.errors(5) == ()
    for number in range(1, 206):
        cache.note_error(NOON + timedelta(seconds=number), f"line\n{number} \x1b[31m")
    newest = cache.errors(3)
    assert [error.line for error in newest] == ["line 205  [31m", "line 204  [31m", "line 203  [31m"]
    assert newest[0].at == NOON + timedelta(seconds=205)
    assert len(cache.errors(1000)) == 200
    assert inside.dbsize() == 201
    cache.note_error(NOON, "x" * 100_000)
    assert len(cache.errors(1)[0].line) == 500


POISONS: list[Callable[[Any, str], object]] = [
    lambda client, key: client.set(key, b"\xff\x00garbage"),
    lambda client, key: client.set(key, b""),
    lambda client, key: client.set(key, b"null"),
    lambda client, key: client.set(key, b"[{}]"),
    lambda client, key: client.set(key, b"[" * 30_000),
    lambda client, key: client.set(key, b"9" * 19),
    lambda client, key: client.set(key, b"x" * 5_000_000),
    lambda client, key: (client.delete(key), client.rpush(key, "a", "b")),
    lambda client, key: (client.delete(key), client.hset(key, "a", "b")),
]


@pytest.mark.parametrize("poison", POISONS)
def test_whatever_stands_there_instead_is_a_miss_and_mended(
    cache: Cache, table: Table, inside: Any, poison: Callable[[Any, str], object]
) -> None:
    cache.portfolios(table.load)
    cache.keep_prices(ACCOUNT, [BTC, ETH])
    for line in ("first", "second", "third"):
        cache.note_error(NOON, line)
    for key in list(inside.scan_iter()):
        if not key.endswith((b"errors:1", b"ETH/EUR")):
            poison(inside, key.decode())
    assert tuple(cache.portfolios(table.load)) == LISTED
    assert cache.prices(ACCOUNT, SYMBOLS) == {"ETH/EUR": ETH}
    assert {error.line for error in cache.errors(10)} <= {"first"}

    cache.keep_prices(ACCOUNT, [BTC])
    assert cache.prices(ACCOUNT, SYMBOLS) == {"BTC/EUR": BTC, "ETH/EUR": ETH}
    for _ in range(2):
        cache.note_error(NOON, "again")
    assert "again" in [error.line for error in cache.errors(10)]
    read = table.read
    assert [tuple(cache.portfolios(table.load)) for _ in range(2)] == [LISTED, LISTED]
    assert table.read <= read + 1


@pytest.mark.parametrize(
    "change",
    [
        ('"50000.10"', '"-1"'),
        ('"50000.10"', '"NaN"'),
        ('"50000.10"', '"60000"'),
        ('"50000.10"', "true"),
        ("BTC/EUR", "ETH/EUR"),
        ('"kraken"', '"\\u001b[31m"'),
        ("12:00:00Z", "12:00:00"),
        ("}", ',"more":1'),
    ],
)
def test_a_price_that_cannot_be_one_is_a_miss(cache: Cache, inside: Any, change: tuple[str, str]) -> None:
    cache.keep_prices(ACCOUNT, [BTC])
    text = inside.get(PRICE).decode()
    assert change[0] in text
    inside.set(PRICE, text.replace(*change))
    assert cache.prices(ACCOUNT, SYMBOLS) == {}


@pytest.mark.parametrize(
    "change",
    [
        ('"long-term"', '"a b"'),
        ('"description":""', '"description":"\\u001b[31m"'),
        ("12:00:00Z", "12:00:00"),
        ('"threshold":"10"', '"threshold":"-10"'),
        ('"UTC"', '"Mars"'),
        ('"weekly"', '"never"'),
        ('"account":"main"', '"account":""'),
    ],
)
def test_a_portfolio_that_cannot_be_one_is_a_miss(
    cache: Cache, table: Table, inside: Any, change: tuple[str, str]
) -> None:
    cache.portfolios(table.load)
    (key,) = [key for key in inside.scan_iter() if key.startswith(f"{PORTFOLIOS}:".encode())]
    text = inside.get(key).decode()
    assert change[0] in text
    inside.set(key, text.replace(*change))
    assert tuple(cache.portfolios(table.load)) == LISTED
    assert table.read == 2


def test_a_full_redis_keeps_nothing_and_still_forgets(cache: Cache, table: Table, inside: Any) -> None:
    cache.portfolios(table.load)
    inside.config_set("maxmemory-policy", "noeviction")
    inside.config_set("maxmemory", "1")
    table.listed = LISTED[:1]
    cache.forget_portfolios()
    cache.keep_prices(ACCOUNT, [BTC])
    cache.note_error(NOON, "a line")
    assert tuple(cache.portfolios(table.load)) == LISTED[:1]
    assert (cache.prices(ACCOUNT, SYMBOLS), list(cache.errors(5))) == ({}, [])
    inside.config_set("maxmemory", "64mb")
    cache.keep_prices(ACCOUNT, [BTC])
    assert cache.prices(ACCOUNT, SYMBOLS) == {"BTC/EUR": BTC}


def use_everything(cache: Cache, table: Table) -> float:
    """Every use once; returns how long the slowest took."""
    took: list[float] = []

    def timed(use: Callable[[], object]) -> object:
        began = time.monotonic()
        result = use()
        took.append(time.monotonic() - began)
        return result

    assert tuple(timed(lambda: cache.portfolios(table.load))) == LISTED  # type: ignore[arg-type]
    timed(cache.forget_portfolios)
    timed(lambda: cache.keep_prices(ACCOUNT, [BTC]))
    assert timed(lambda: cache.prices(ACCOUNT, SYMBOLS)) == {}
    timed(lambda: cache.note_error(NOON, "a line"))
    assert timed(lambda: cache.errors(5)) == ()
    return max(took)


@pytest.fixture(params=["nobody listens", "never answers", "drips", "no such host", "no address", "none"])
def unusable(request: pytest.FixtureRequest) -> Iterator[str | None]:
    with ExitStack() as stack:
        match request.param:
            case "nobody listens":
                yield "redis://127.0.0.1:1"
            case "never answers":
                yield stack.enter_context(mute_server())
            case "drips":
                yield stack.enter_context(mute_server(byte_every=CALL_SECONDS / 5))
            case "no such host":
                yield "redis://cache.invalid:6379"
            case "no address":
                yield "nonsense://:::"
            case _:
                yield None


def test_without_a_redis_that_answers_everything_is_the_same_within_a_blink(unusable: str | None, table: Table) -> None:
    with open_cache(unusable, "books") as cache:
        assert use_everything(cache, table) < BLINK
        began = time.monotonic()
        for _ in range(20):
            use_everything(cache, table)
        # A Redis that has failed is left alone, so only the first use has waited for it.
        assert time.monotonic() - began < BYPASS_SECONDS / 10


def test_a_redis_that_is_killed_in_the_middle_is_missed_by_nobody(tmp_path: Path, table: Table) -> None:
    folder = tmp_path / "data"
    with running_valkey(folder) as url, open_cache(url, "books") as cache:
        cache.portfolios(table.load)
        cache.keep_prices(ACCOUNT, [BTC])
        assert cache.prices(ACCOUNT, SYMBOLS) == {"BTC/EUR": BTC}
        valkey_server(folder).stop()
        assert use_everything(cache, table) < BLINK
