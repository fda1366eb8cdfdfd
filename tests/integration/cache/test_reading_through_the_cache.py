"""Reading commands are quick through the cache and right without it; a rebalance never rests on it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rebalancer_pipelines.adapters.assembly import open_ports
from rebalancer_pipelines.application.portfolio_display import displayed_worth, listed_portfolios
from rebalancer_pipelines.application.portfolios import create_portfolio, delete_portfolio, update_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.cli.app import run
from rebalancer_pipelines.domain.errors import DeniedError
from rebalancer_pipelines.domain.values import Currency
from tests.support.mute_server import mute_server
from tests.support.paper_account import open_paper_account
from tests.support.rebalancing import rebalance
from tests.support.stored import GAP, MORNING, Stored

EUR = Currency("EUR")
Opened = Callable[..., Any]


@pytest.fixture
def opened(ready_database: str, stored: Stored, valkey: str) -> Opened:
    """Opens ports on the Valkey, or on whatever else is given for it."""
    stored.show_recording(MORNING)

    @contextmanager
    def ports_with(redis_url: str = valkey) -> Iterator[Ports]:
        with open_ports(ready_database, redis_url=redis_url) as ports:
            yield ports

    return ports_with


def furnish(ports: Ports) -> None:
    open_paper_account(ports, {EUR: Decimal(1000)})
    create_portfolio(ports, {"name": "core", "account": "main", "weights": "BTC=50,ETH=20,EUR=30", "enabled": True})


def shown(ports: Ports) -> list[tuple[str, str, Any]]:
    return [(e.portfolio.name, e.account, e.portfolio.next_rebalance_at) for e in listed_portfolios(ports)]


def test_a_list_comes_from_the_cache_until_a_portfolio_changes(opened: Opened, stored: Stored) -> None:
    with opened() as ports, opened() as elsewhere:
        furnish(ports)
        listed_portfolios(ports)
        # Behind the program's back, so only the database knows of it.
        stored.change("UPDATE portfolio SET name = 'renamed'")
        assert [name for name, _, _ in shown(elsewhere)] == ["core"]
        stored.change("UPDATE portfolio SET name = 'core'")

        update_portfolio(elsewhere, "core", {"description": "new"})
        assert [e.portfolio.description for e in listed_portfolios(ports)] == ["new"]
        create_portfolio(elsewhere, {"name": "rest", "account": "main", "weights": "EUR=100"})
        assert [name for name, _, _ in shown(ports)] == ["core", "rest"]
        before = shown(ports)
        rebalance(elsewhere, "core")
        assert shown(ports)[0][2] > before[0][2]
        delete_portfolio(elsewhere, "rest")
        assert [name for name, _, _ in shown(ports)] == ["core"]


def test_a_change_that_is_undone_shows_nothing_new(opened: Opened) -> None:
    with opened() as ports:
        furnish(ports)
        listed_portfolios(ports)
        with pytest.raises(Exception, match="taken"):
            create_portfolio(ports, {"name": "core", "account": "main", "weights": "EUR=100"})
        assert [name for name, _, _ in shown(ports)] == ["core"]


def test_a_run_leaves_its_prices_and_its_errors(opened: Opened, stored: Stored) -> None:
    with opened() as ports:
        furnish(ports)
        with ports.transactions() as work:
            account, core = work.accounts.get("main"), work.portfolios.get("core")
        assert displayed_worth(ports, core, account, {EUR: Decimal(1000)}) is None
        rebalance(ports, "core", dry_run=True)
        assert set(ports.cache.prices(account, ["BTC/EUR", "ETH/EUR"])) == {"BTC/EUR", "ETH/EUR"}
        worth = displayed_worth(ports, core, account, {EUR: Decimal(1000)})
        assert worth is not None
        assert worth.amount == 1000
        assert worth.price_source == "recorded"
        assert worth.recorded_at is not None
        assert worth.age is not None
        assert 0 <= worth.age.total_seconds() < 60

        stored.show_recording(GAP)
        with pytest.raises(DeniedError):
            rebalance(ports, "core")
        assert ports.cache.errors(1)[0].line.startswith("core: PRICE_INVALID: no price for ETH/EUR; ")


def test_prices_in_the_cache_are_not_traded_on(opened: Opened, stored: Stored) -> None:
    """A cache full of sound but wrong prices changes neither plan nor orders."""
    with opened() as ports:
        furnish(ports)
        with ports.transactions() as work:
            account = work.accounts.get("main")
        real = ports.venues.connect(account).prices(["BTC/EUR", "ETH/EUR"])

        def lie() -> None:
            from dataclasses import replace

            ports.cache.keep_prices(account, [replace(m, bid=m.bid * 2, ask=m.ask * 2) for m in real.values()])

        lie()
        record = rebalance(ports, "core")
        traded = {order["market"]: Decimal(order["average_price"]) for order in record.orders if order["fills"]}
        assert set(traded) == {"BTC/EUR", "ETH/EUR"}
        for symbol, price in traded.items():
            assert abs(price / real[symbol].mid - 1) < Decimal("0.02")
        lie()
        assert rebalance(ports, "core").portfolio_value < 1001
    marks = stored.rows("SELECT symbol, bid FROM price_mark")
    assert all(row["bid"] == real[row["symbol"]].bid for row in marks)


@pytest.fixture(params=["killed", "mute", "drips"])
def bad_redis(request: pytest.FixtureRequest) -> Iterator[str]:
    with ExitStack() as stack:
        match request.param:
            case "killed":
                yield "redis://127.0.0.1:1"
            case "mute":
                yield stack.enter_context(mute_server())
            case _:
                yield stack.enter_context(mute_server(byte_every=0.02))


def test_a_whole_rebalance_and_every_display_are_the_same_with_a_redis_that_hangs(
    opened: Opened, bad_redis: str
) -> None:
    with opened(bad_redis) as ports:
        began = time.monotonic()
        furnish(ports)
        record = rebalance(ports, "core")
        assert record.success
        assert [name for name, _, _ in shown(ports)] == ["core"]
        with ports.transactions() as work:
            account, core = work.accounts.get("main"), work.portfolios.get("core")
            book = work.ledger.books(account.id).of(core.id)
        worth = displayed_worth(ports, core, account, book)
        assert worth is not None
        assert record.portfolio_value is not None
        assert abs(worth.amount - record.portfolio_value + record.fees_paid) < 5
        assert time.monotonic() - began < 8


def test_commands_print_the_same_with_and_without_a_cache(
    opened: Opened,
    ready_database: str,
    valkey: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", ready_database)
    monkeypatch.setenv("REBALANCER_DATA_DIR", str(tmp_path / "data"))
    with opened() as ports:
        furnish(ports)
        rebalance(ports, "core")

    def printed(redis_url: str, *command: str) -> str:
        monkeypatch.setenv("REDIS_URL", redis_url)
        capsys.readouterr()
        assert run(list(command)) == 0
        return re.sub(r'("age_seconds": )\d+', r"\1?", capsys.readouterr().out)

    for command in (("portfolio", "list"), ("portfolio", "show", "core"), ("status",)):
        for json in ((), ("--json",)):
            texts = {printed(url, *command, *json) for url in (valkey, valkey, "redis://127.0.0.1:1")}
            assert len(texts) == 1, command
    line = printed(valkey, "portfolio", "show", "core")
    assert re.search(r"worth +│ 99\d\.\d\d EUR at prices of 0 minutes ago \(RECORDED market, recorded\)", line)


def test_status_shows_what_went_wrong_last(
    opened: Opened,
    ready_database: str,
    valkey: str,
    tmp_path: Path,
    stored: Stored,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", ready_database)
    monkeypatch.setenv("REBALANCER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("REDIS_URL", valkey)
    with opened() as ports:
        furnish(ports)
        stored.show_recording(GAP)
        with pytest.raises(DeniedError):
            rebalance(ports, "core")
    assert run(["status"]) == 0
    assert re.search(r"\d\d:\d\d core: PRICE_INVALID: no price for ETH/EUR; ", capsys.readouterr().out)
