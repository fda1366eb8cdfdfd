"""Bad input: exit code 2, one line that names field, value and remedy, and nothing stored."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from rebalancer_pipelines.adapters.assembly import open_ports
from rebalancer_pipelines.application.accounts import NewAccount, open_account
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.domain.values import Currency
from tests.support.stored import MORNING, Stored

EUR = Currency("EUR")


@pytest.fixture(scope="module")
def furnished(module_database: str) -> Iterator[Stored]:
    """An account with money and two portfolios, and an account that nobody uses. No test may change any of it."""
    with open_ports(module_database) as ports:
        open_account(ports, NewAccount("main", "paper", "recorded", deposits={EUR: Decimal(1000)}))
        open_account(ports, NewAccount("idle", "paper", "recorded"))
        for name in ("core", "side"):
            fields = {"name": name, "account": "main", "weights": "BTC=60,EUR=40"}
            create_portfolio(ports, fields, allocations={EUR: Decimal(400)})
    with Stored(module_database) as stored:
        stored.show_recording(MORNING)
        yield stored


@pytest.fixture
def refused(command_line: Callable[[str], Any], module_database: str, furnished: Stored) -> Callable[..., str]:
    """Run a command that must be refused as bad input; returns its one line."""
    execute = command_line(module_database)

    def run(*arguments: str) -> str:
        before = furnished.everything()
        outcome = execute(*arguments)
        assert outcome.code == 2, outcome
        assert outcome.out == ""
        assert outcome.err.startswith("Error: ")
        assert outcome.err.count("\n") == 1
        assert outcome.err.endswith("\n")
        assert "Traceback" not in outcome.err
        assert furnished.everything() == before
        return outcome.err

    return run


def create(weights: str, *options: str, name: str = "fresh", account: str = "main") -> list[str]:
    return ["portfolio", "create", name, "--account", account, "--weights", weights, *options]


def backfill(first: str, last: str, *options: str) -> list[str]:
    return ["backfill", "--from", first, "--to", last, *options]


GOOD = "BTC=60,EUR=40"


@pytest.mark.parametrize(
    ("arguments", "field", "value", "remedy"),
    [
        # Weights
        (create("BTC=NaN,EUR=40"), "weights.BTC", "NaN", "write it like 12.5"),
        (create("BTC=Infinity"), "weights.BTC", "Infinity", "write it like 12.5"),
        (create("BTC=lots"), "weights.BTC", "lots", "write it like 12.5"),
        (create("BTC=-10,EUR=110"), "weights.BTC", "-10", "between 0 and 100"),
        (create("BTC=50,btc=50"), "weights", "BTC", "name each currency once"),
        (create("BTC=50,EUR=40"), "weights", "90", "must be 100"),
        (create("BTC=70,EUR=40"), "weights", "110", "must be 100"),
        (create("BTC=100,EUR"), "weights.EUR", "EUR", "give it one"),
        (create(""), "weights", "''", "use letters and digits"),
        (create("BTC=60,,EUR=40"), "weights", "''", "use letters and digits"),
        (create("B TC=100"), "weights", "B TC", "use letters and digits"),
        (create("DOGE=50,EUR=50"), "weights.DOGE", "DOGE/EUR", "it has BTC"),
        (["portfolio", "update", "core", "--weights", "BTC=1"], "weights", "'1'", "must be 100"),
        # Days
        (backfill("2018-13-01", "2018-12-31"), "from", "2018-13-01", "write it like 2018-10-01"),
        (backfill("2018-12-01", "yesterday"), "to", "yesterday", "write it like 2018-10-01"),
        (backfill("2018-12-02", "2018-12-01"), "from", "2018-12-02", "exchange the two days"),
        (backfill("2018-12-01", "2999-01-01"), "to", "2999-01-01", "lies in the future"),
        (backfill("1999-01-01", "2018-12-01"), "from", "1999-01-01", "or later"),
        (backfill("2018-12-01", "2018-12-02", "--portfolio", "ghost"), "portfolio", "ghost", "there is core, side"),
        # Rules
        (create(GOOD, "--threshold", "-1"), "threshold", "-1", "greater than 0"),
        (create(GOOD, "--threshold", "0"), "threshold", "'0'", "greater than 0"),
        (create(GOOD, "--threshold", "NaN"), "threshold", "NaN", "write it like 12.5"),
        (create(GOOD, "--threshold", "1e99"), "threshold", "1e99", "at most 20 digits"),
        (create(GOOD, "--interval", "yearly"), "interval", "yearly", "use one of hourly, daily, weekly, monthly"),
        (create(GOOD, "--band", "0"), "band", "'0'", "above 0"),
        (create(GOOD, "--band", "NaN"), "band", "NaN", "write it like 12.5"),
        (create(GOOD, "--band", "5", "--band-kind", "round"), "band_kind", "round", "use one of absolute, relative"),
        (create(GOOD, "--band-kind", "relative"), "band_kind", "relative", "give --band"),
        (create(GOOD, "--max-orders", "0"), "max_orders", "0", "from 1 to"),
        (create(GOOD, "--max-orders", "1.5"), "max_orders", "1.5", "whole number"),
        (create(GOOD, "--cash-reserve", "1"), "cash_reserve", "'1'", "from 0 to below 1"),
        (create(GOOD, "--time-zone", "Moon/Base"), "time_zone", "Moon/Base", "use a name such as"),
        (create(GOOD, "--valuation-currency", "USD"), "valuation_currency", "USD", "choose another"),
        # Names
        (create(GOOD, name="core"), "name", "core", "choose another name"),
        (create(GOOD, name="two words"), "name", "two words", "use up to 63 letters"),
        (create(GOOD, name=""), "name", "''", "use up to 63 letters"),
        (create(GOOD, account="nowhere"), "account", "nowhere", "there is idle, main"),
        (["account", "add", "main", "--venue", "paper"], "name", "main", "choose another name"),
        (["account", "add", "a/b", "--venue", "paper"], "name", "a/b", "use up to 63 letters"),
        (["account", "add", "x", "--venue", "nyse"], "venue", "nyse", "paper"),
        (["account", "add", "x", "--venue", "binance"], "venue", "binance", "paper"),
        (["account", "add", "x", "--venue", "kraken"], "credentials", "KRAKEN_API_KEY", "is not set"),
        (["account", "add", "x", "--venue", "kraken", "--prices", "live"], "prices", "live", "leave it out"),
        (["account", "add", "x", "--venue", "kraken", "--deposit", "EUR=1"], "deposit", "EUR=1", "leave it out"),
        (["account", "add", "x", "--venue", "paper", "--key-env", "MY_KEY"], "key_env", "MY_KEY", "leave it out"),
        (["account", "add", "x", "--venue", "paper", "--secret-env", "S"], "secret_env", "'S'", "leave it out"),
        (["account", "add", "x", "--venue", "paper", "--store-key"], "store_key", "on paper", "leave it out"),
        (["account", "add", "x", "--venue", "paper", "--endpoint", "https://a.b"], "endpoint", "a.b", "leave it out"),
        (["account", "add", "x", "--venue", "paper", "--prices", "guessed"], "prices", "guessed", "use recorded"),
        (["account", "show", "nowhere"], "account", "nowhere", "there is idle, main"),
        (["account", "delete", "nowhere"], "account", "nowhere", "there is idle, main"),
        (["account", "delete", "main"], "account", "main", "used by core, side; delete them first"),
        *(
            ([*command, "nowhere", *rest], "portfolio", "nowhere", "there is core, side")
            for command, rest in [
                (["plan"], []),
                (["run"], []),
                (["run", "--dry-run"], []),
                (["history"], []),
                (["portfolio", "show"], []),
                (["portfolio", "update"], ["--threshold", "5"]),
                (["portfolio", "delete"], []),
                (["portfolio", "allocate"], ["EUR=1"]),
                (["portfolio", "release"], ["EUR=1"]),
                (["portfolio", "allocate", "core", "EUR=1", "--from"], []),
                (["portfolio", "export"], []),
            ]
        ),
        (["portfolio", "update", "core"], "update", "nothing to change", "--help"),
        # Settings
        *(
            ([*command, *how], field, value, remedy)
            for command in (["account", "set", "main"], ["account", "add", "x", "--venue", "paper"])
            for how, field, value, remedy in [
                (["--set", "max_turnover"], "set", "max_turnover", "write it like max_turnover=0.5"),
                (["--set", "turnover=1"], "set", "turnover", "use one of hold_seconds"),
                (["--set", "max_turnover=25"], "set.max_turnover", "25", "fraction from 0 to 1"),
                (["--set", "max_turnover=NaN"], "set.max_turnover", "NaN", "like 12.5"),
                (["--set", "price_collar=off"], "set.price_collar", "off", "like 12.5"),
                (["--set", "cash_reserve=1"], "set.cash_reserve", "'1'", "below 1"),
                (["--set", "not_after_seconds=61"], "set.not_after_seconds", "61", "from 3.5 to 60"),
                (["--set", "max_orders_per_run=0"], "set.max_orders_per_run", "'0'", "from 1 to 1000"),
                (["--set", "rate_tier=vip"], "set.rate_tier", "vip", "use starter, intermediate, pro"),
                (["--set", "max_order_notional=-1"], "set.max_order_notional", "-1", "greater than 0, or off"),
                (["--set", "max_turnover=1", "--set", "MAX_TURNOVER=1"], "set", "max_turnover", "each setting once"),
            ]
        ),
        (["account", "set", "main", "max_turnover=x"], "set.max_turnover", "'x'", "like 12.5"),
        (["account", "set", "main"], "set", "nothing to change", "max_turnover"),
        (["account", "set", "nowhere", "max_turnover=1"], "account", "nowhere", "there is idle, main"),
        # Trading
        (["account", "enable-trading", "main", "--confirm", "main"], "account", "main", "nothing to enable"),
        (["account", "enable-trading", "nowhere"], "account", "nowhere", "there is idle, main"),
        (["account", "disable-trading", "main"], "account", "main", "rebalancer halt --account main"),
        (["account", "review", "nowhere"], "account", "nowhere", "there is idle, main"),
        (["account", "review", "main", "--not-accepted", "x-1"], "not_accepted", "x-1", "no order of this account"),
        (["halt", "--account", "nowhere"], "account", "nowhere", "there is idle, main"),
        (["halt", "--reason", " "], "reason", "' '", "1 to 200 characters"),
        (["halt", "--reason", "x" * 201], "reason", "x" * 201, "1 to 200 characters"),
        (["resume", "--account", "nowhere"], "account", "nowhere", "there is idle, main"),
        (["run", "core", "--confirm", "EVERYTHING"], "confirm", "EVERYTHING", "use PRICE_COLLAR or TURNOVER"),
        # Amounts
        (["account", "add", "x", "--venue", "paper", "--deposit", "EUR"], "deposit", "'EUR'", "write it like EUR="),
        (["account", "add", "x", "--venue", "paper", "--deposit", "EUR=0"], "deposit.EUR", "'0'", "greater than 0"),
        (["account", "add", "x", "--venue", "paper", "--deposit", "EUR=NaN"], "deposit.EUR", "NaN", "like 12.5"),
        (["account", "add", "x", "--venue", "paper", "--deposit", "EUR=-5"], "deposit.EUR", "-5", "greater than 0"),
        (["account", "add", "x", "--venue", "paper", "--deposit", "€=5"], "deposit", "€", "letters and digits"),
        (
            ["account", "add", "x", "--venue", "paper", "--deposit", "EUR=5", "--deposit", "eur=6"],
            "deposit",
            "EUR",
            "name each currency once",
        ),
        (create(GOOD, "--allocate", "EUR=200.01"), "allocate.EUR", "200.01", "200 can be moved"),
        (["portfolio", "allocate", "core", "EUR=0"], "allocate.EUR", "'0'", "greater than 0"),
        (["portfolio", "allocate", "core", "EUR=201"], "allocate.EUR", "201", "200 can be moved"),
        (["portfolio", "allocate", "core", "EUR=401", "--from", "side"], "allocate.EUR", "401", "400 can be moved"),
        (["portfolio", "allocate", "core", "BTC=1"], "allocate.BTC", "'1'", "0 can be moved"),
        (["portfolio", "release", "core", "EUR=0"], "release.EUR", "'0'", "greater than 0"),
        (["portfolio", "release", "core", "EUR=401"], "release.EUR", "401", "400 can be moved"),
        (["portfolio", "release", "core", "BTC=1"], "release.BTC", "'1'", "0 can be moved"),
        # Other options
        (create(GOOD, "--max-orders", "²"), "max_orders", "²", "whole number"),
        (create(GOOD, "--max-orders", "99999999999"), "max_orders", "99999999999", "whole number"),
        (create(GOOD, "--description", "\x00"), "argument", "x00", "leave them out"),
        (["plan", "\udcff"], "argument", "udcff", "leave them out"),
        (["history", "--limit", "9" * 20], "limit", "9" * 20, "from 1 to"),
        (["history", "--limit", "many"], "limit", "many", "from 1 to"),
        (["up", "--port", "http"], "port", "http", "from 1 to"),
        (["history", "--limit", "0"], "limit", "0", "from 1 to"),
        (["history", "--limit", "-3"], "limit", "-3", "from 1 to"),
        (["up", "--port", "0"], "port", "0", "from 1 to 65535"),
        (["up", "--port", "65536"], "port", "65536", "from 1 to 65535"),
        (["up", "--speed", "NaN"], "speed", "NaN", "write it like 12.5"),
        (["up", "--speed", "0"], "speed", "'0'", "greater than 0"),
        (["up", "--speed", "-1"], "speed", "-1", "greater than 0"),
        (["portfolio", "import", "/nowhere/at/all.json"], "file", "/nowhere/at/all.json", "name an exported file"),
        (["portfolio", "export", "--out", "/nowhere/at/all.json"], "out", "/nowhere/at/all.json", "another file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refused(refused: Callable[..., str], arguments: list[str], field: str, value: str, remedy: str) -> None:
    line = refused(*arguments)
    assert line.removeprefix("Error: ").startswith(f"{field}: ")
    assert value in line
    assert remedy in line


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["history", "--limmit", "3"], "--limmit"),
        (["portfolio", "create", "fresh"], "--account"),
        (["plan"], "name"),
        (["plan", "core", "side"], "side"),
        (["rebalance", "core"], "rebalance"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_commands_that_do_not_parse(refused: Callable[..., str], arguments: list[str], named: str) -> None:
    line = refused(*arguments)
    assert named in line
    assert "see 'rebalancer --help'" in line


def test_a_taken_port(refused: Callable[..., str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused("up", "--port", str(port))
    assert line.startswith(f"Error: port: {port} ")
    assert "choose another with --port" in line


def entry(**changes: Any) -> dict[str, Any]:
    return {"name": "fresh", "account": "main", "weights": {"BTC": "60", "EUR": "40"}, **changes}


def document(*entries: object, version: object = 1) -> str:
    return json.dumps({"version": version, "portfolios": list(entries)})


@pytest.mark.parametrize(
    ("content", "field", "value", "remedy"),
    [
        (document(entry())[:-9], "file", "line 1, column", "export it again"),
        ("", "file", "line 1, column 1", "export it again"),
        ("[" * 100_000, "file", "its depth", "export it again"),
        ("[]", "file", "must be a document", '{"version": 1'),
        (document(entry(), version=2), "version", "'2'", "reads version 1"),
        ('{"version": 1}', "portfolios", "must be a document", '{"version": 1'),
        (document(entry(), "core"), "portfolios[1]", "core", "must be an object"),
        (document(entry(), entry(name="second", weights={"BTC": "60"})), "portfolios[1].weights", "60", "be 100"),
        (document(entry(), entry(name="second", weights={"BTC": "NaN"})), "portfolios[1].weights.BTC", "NaN", "12.5"),
        (document(entry(), entry(name="second", weights="BTC=1")), "portfolios[1].weights", "'1'", "must be 100"),
        (document(entry(), entry(name="second", weights=60)), "portfolios[1].weights", "60", "must be an object"),
        (document(entry(), entry(name="second", account="nowhere")), "portfolios[1].account", "nowhere", "there is"),
        (document(entry(), entry(name="second", weights={"DOGE": "100"})), "portfolios[1].weights.DOGE", "", "it has"),
        (document(entry(), entry(name="core")), "portfolios[1].name", "core", "choose another name"),
        (document(entry(), entry()), "portfolios[1].name", "fresh", "choose another name"),
        (document(entry(), entry(name="second", treshold="1")), "portfolios[1].treshold", "", "is not a field"),
        (document(entry(), entry(name="second", enabled="yes")), "portfolios[1].enabled", "yes", "true or false"),
        (document(entry(), {"name": "second"}), "portfolios[1].account", "is missing", "needs name, account"),
        (document(entry(), entry(name="second", max_orders=0)), "portfolios[1].max_orders", "0", "from 1 to"),
        (document(entry(), entry(name="second", threshold=0)), "portfolios[1].threshold", "0", "greater than 0"),
        (
            document(entry(), entry(name="second")).replace('"60"', "NaN"),
            "portfolios[0].weights.BTC",
            "NaN",
            "write it like 12.5",
        ),
    ],
)
def test_a_bad_file_imports_nothing(
    refused: Callable[..., str], tmp_path: Path, content: str, field: str, value: str, remedy: str
) -> None:
    file = tmp_path / "portfolios.json"
    file.write_text(content)
    line = refused("portfolio", "import", str(file))
    assert line.removeprefix("Error: ").startswith(f"{field}: ")
    assert value in line
    assert remedy in line


def test_a_file_that_is_no_text_imports_nothing(refused: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "portfolios.json"
    file.write_bytes(b"\xff\xfe\x00\x01")
    assert "it is not UTF-8 text; name an exported file" in refused("portfolio", "import", str(file))


@pytest.mark.parametrize(
    ("url", "place", "remedy"),
    [
        ("postgresql://me:s3cret-word@127.0.0.1:1/books", "127.0.0.1:1/books", "start the server or correct host"),
        ("postgresql://me:s3cret-word@nowhere.invalid/books", "nowhere.invalid:5432/books", "correct it"),
        ("me:s3cret-word at home", "DATABASE_URL", "write it like postgresql://"),
        ("postgresql://me:s3cret-word@host:port/books", "DATABASE_URL", "write it like postgresql://"),
        ("mysql://me:s3cret-word@127.0.0.1/books", "mysql", "use postgresql://"),
    ],
)
@pytest.mark.parametrize("arguments", [["portfolio", "list"], ["run", "core"], ["up", "--port", "3999"]], ids=" ".join)
def test_a_database_that_cannot_be_used(
    command_line: Callable[[str], Any], url: str, place: str, remedy: str, arguments: list[str]
) -> None:
    outcome = command_line(url)(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("Error: DATABASE_URL: ")
    assert outcome.err.count("\n") == 1
    assert place in outcome.err
    assert remedy in outcome.err
    assert "s3cret-word" not in outcome.err


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [("password", "user or password is wrong"), ("database", "the database or user does not exist")],
)
def test_a_database_that_refuses(
    command_line: Callable[[str], Any], module_database: str, wrong: str, remedy: str
) -> None:
    url = make_url(module_database)
    password = str(url.password)
    bad = url.set(password="s3cret-word") if wrong == "password" else url.set(database="that-is-not")
    outcome = command_line(bad.render_as_string(hide_password=False))("portfolio", "list")
    assert (outcome.code, outcome.out) == (2, "")
    assert remedy in outcome.err
    assert outcome.err.count("\n") == 1
    assert password not in outcome.err
    assert "s3cret-word" not in outcome.err
