"""What keeps an account with real money from being opened or trusted: one line each, and nothing stored."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from tests.integration.cli.conftest import Outcome
from tests.support.kraken_double.double import KrakenDouble
from tests.support.kraken_double.gate import DEFAULT_PERMISSIONS

Cli = Callable[..., Outcome]

OTHER_SECRET = base64.b64encode(b"another secret, of another key; 64 bytes long as Kraken's are...").decode()
KEY, SECRET = "KRAKEN_API_KEY", "KRAKEN_API_SECRET"


@pytest.fixture
def refused(live: Cli, kraken: KrakenDouble) -> Callable[..., str]:
    """Try to add an account that must be refused; returns its one line."""

    def add(*options: str, code: int, endpoint: str | None = None, venue: str = "kraken", name: str = "main") -> str:
        before = live("account", "list", "--json").json
        where = endpoint or kraken.url
        outcome = live("account", "add", name, "--venue", venue, "--endpoint", where, *options)
        assert (outcome.code, outcome.out) == (code, "")
        assert outcome.err.startswith("Error: ")
        assert outcome.err.count("\n") == 1
        assert "Traceback" not in outcome.err
        assert live("account", "list", "--json").json == before
        assert kraken.count("AddOrder") == 0
        return outcome.err.removeprefix("Error: ")

    return add


def test_a_missing_variable(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SECRET)
    line = refused(code=2)
    assert line.startswith("credentials: ")
    assert SECRET in line
    monkeypatch.setenv(SECRET, "")
    assert SECRET in refused(code=2)
    assert "MY_KEY" in refused("--key-env", "MY_KEY", code=2)


@pytest.mark.parametrize("option", ["--key-env", "--secret-env"])
def test_the_key_itself_in_place_of_a_variable_is_not_repeated(
    refused: Callable[..., str], kraken: KrakenDouble, option: str
) -> None:
    for given in (kraken.key, kraken.secret, "A" * 56):
        line = refused(option, given, code=2)
        assert (
            line
            == f"{option[2:].replace('-', '_')}: must be the name of an environment variable, never the key itself\n"
        )


def test_a_wrong_key(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "a/key+that+kraken+does+not+know")
    line = refused(code=1)
    assert "Kraken does not know the API key" in line
    assert "a/key+that" not in line


def test_a_wrong_secret(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET, OTHER_SECRET)
    line = refused(code=1)
    assert "the secret does not belong to the API key" in line
    assert OTHER_SECRET not in line


@pytest.mark.parametrize("secret", ["not base64 at all!", "AAA"])
def test_a_secret_that_is_none(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv(SECRET, secret)
    line = refused(code=2)
    assert SECRET in line
    assert secret not in line


def test_a_key_that_may_too_little(
    refused: Callable[..., str], kraken: KrakenDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    kraken.add_key("weak", kraken.secret, [p for p in DEFAULT_PERMISSIONS if p != "modify-trades"])
    monkeypatch.setenv(KEY, "weak")
    line = refused(code=1)
    assert line.startswith("KEY_LACKS_PERMISSION: ")
    assert "Create & Modify Orders" in line


def test_a_key_that_may_too_much(
    refused: Callable[..., str], kraken: KrakenDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    kraken.add_key("strong", kraken.secret, [*DEFAULT_PERMISSIONS, "withdraw-funds"])
    monkeypatch.setenv(KEY, "strong")
    line = refused(code=1)
    assert line.startswith("KEY_CAN_WITHDRAW: ")
    assert "make a key without that permission" in line


@pytest.mark.parametrize(
    ("endpoint", "remedy"),
    [
        ("http://api.kraken.example", "https"),
        ("http://192.168.1.5:8000", "https"),
        ("ftp://127.0.0.1", "https"),
        ("api.kraken.com", "https"),
        ("https://user:a-pass-word@api.kraken.com", "endpoint"),
    ],
)
def test_an_address_that_is_not_fit(refused: Callable[..., str], endpoint: str, remedy: str) -> None:
    line = refused(code=2, endpoint=endpoint)
    assert line.startswith("endpoint: ")
    assert remedy in line
    assert "a-pass-word" not in line


def test_a_venue_that_nobody_answers_at(refused: Callable[..., str]) -> None:
    line = refused(code=1, endpoint="http://127.0.0.1:1")
    assert "127.0.0.1:1" in line
    assert "check the address" in line


def test_an_address_where_something_else_answers(refused: Callable[..., str], kraken: KrakenDouble) -> None:
    kraken.answer("GetApiKeyInfo", 200, "<html>hello</html>")
    line = refused(code=1)
    assert "check the address" in line


def test_another_venue_of_ccxt_is_told_what_it_lacks(refused: Callable[..., str]) -> None:
    line = refused(code=2, venue="binance")
    assert line.startswith("venue: 'binance'")
    assert "paper" in line


def test_the_same_key_serves_one_account(refused: Callable[..., str], live: Cli, kraken: KrakenDouble) -> None:
    assert live("account", "add", "first", "--venue", "kraken", "--endpoint", kraken.url).code == 0
    line = refused(code=2)
    assert "key" in line.split(":")[0]
    assert "first" in line
    assert "first" in refused("--store-key", code=2)


@pytest.mark.parametrize("options", [[], ["--confirm", "Main"], ["--confirm", ""]], ids=["none", "other", "empty"])
def test_trading_is_enabled_by_the_name_only(live: Cli, kraken: KrakenDouble, options: list[str]) -> None:
    assert live("account", "add", "main", "--venue", "kraken", "--endpoint", kraken.url).code == 0
    outcome = live("account", "enable-trading", "main", *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("Error: confirm: ")
    assert "write --confirm main" in outcome.err
    assert live("account", "show", "main", "--json").json["live_trading"] is False


def test_trading_is_not_enabled_with_a_key_that_has_become_unfit(live: Cli, kraken: KrakenDouble) -> None:
    assert live("account", "add", "main", "--venue", "kraken", "--endpoint", kraken.url).code == 0
    kraken.add_key(kraken.key, kraken.secret, [*DEFAULT_PERMISSIONS, "withdraw-funds"])
    outcome = live("account", "enable-trading", "main", "--confirm", "main")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("Error: KEY_CAN_WITHDRAW: ")
    assert live("account", "show", "main", "--json").json["live_trading"] is False


@pytest.mark.parametrize(
    "command",
    [["account", "show", "main"], ["plan", "core"], ["account", "enable-trading", "main", "--confirm", "main"]],
    ids=" ".join,
)
def test_later_a_missing_variable_is_named_too(
    live: Cli, kraken: KrakenDouble, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    assert live("account", "add", "main", "--venue", "kraken", "--endpoint", kraken.url).code == 0
    assert live("portfolio", "create", "core", "--account", "main", "--weights", "BTC=60,EUR=40").code == 0
    monkeypatch.delenv(KEY)
    outcome = live(*command)
    assert outcome.code == 2
    assert KEY in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_run_without_the_key_leaves_its_row(live: Cli, kraken: KrakenDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    assert live("account", "add", "main", "--venue", "kraken", "--endpoint", kraken.url).code == 0
    assert live("portfolio", "create", "core", "--account", "main", "--weights", "BTC=60,EUR=40").code == 0
    monkeypatch.delenv(KEY)
    outcome = live("run", "core")
    assert outcome.code == 1
    assert KEY in outcome.out
    (row,) = live("history", "--json").json
    assert row["success"] is False
