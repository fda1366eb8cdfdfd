"""`rebalancer notify test`, and what `doctor` and `up` say of the addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.listener import Listener, listening
from tests.support.stored import Stored

SECRET = "s3cret-word"


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    for name in ("NOTIFY_URLS", "NOTIFY_KINDS", "NOTIFY_TIME_ZONE"):
        monkeypatch.delenv(name, raising=False)
    with listening() as opened:
        yield opened


def test_every_address_is_tried_and_named(
    cli: Callable[..., Any], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_URLS", f"{listener.url()}, json://{SECRET}@127.0.0.1:1")
    outcome = cli("notify", "test")
    assert outcome.code == 1
    assert outcome.out.splitlines() == [
        "URL 1 (json) took the message",
        "URL 2 (json) refused the message or cannot be reached",
    ]
    assert SECRET not in outcome.out + outcome.err
    assert listener.titles == ["Test of the rebalancer"]

    monkeypatch.setenv("NOTIFY_URLS", listener.url())
    outcome = cli("notify", "test", "--json")
    assert outcome.code == 0
    assert outcome.json == [{"position": 1, "scheme": "json", "worked": True, "problem": None}]


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("NOTIFY_URLS", f"tgramm://{SECRET}", "NOTIFY_URLS: 'URL 1 (tgramm)' is not an address that apprise knows; "),
        ("NOTIFY_KINDS", "everything", "NOTIFY_KINDS: 'everything' is unknown; use some of rebalanced, denied, "),
        ("NOTIFY_TIME_ZONE", "Mars", "NOTIFY_TIME_ZONE: 'Mars' is not a time zone; use a name such as Europe/Berlin"),
    ],
)
@pytest.mark.parametrize("command", [("notify", "test"), ("up",)])
def test_a_slip_in_the_environment_is_refused_at_once(
    cli: Callable[..., Any],
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    variable: str,
    value: str,
    line: str,
) -> None:
    monkeypatch.setenv("NOTIFY_URLS", listener.url())
    monkeypatch.setenv(variable, value)
    outcome = cli(*command)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"Error: {line}")
    assert SECRET not in outcome.err


def test_without_an_address_there_is_nothing_to_test(cli: Callable[..., Any], listener: Listener) -> None:
    outcome = cli("notify", "test")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("Error: NOTIFY_URLS: is not set; ")


def test_the_doctor_looks_at_the_addresses_and_at_what_did_not_arrive(
    cli: Callable[..., Any], listener: Listener, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finding() -> tuple[bool, str]:
        (found,) = [f for f in cli("doctor", "--json").json if f["check"] == "notifications"]
        return found["ok"], found["detail"]

    assert finding() == (True, "none; NOTIFY_URLS is not set, it is optional")
    monkeypatch.setenv("NOTIFY_URLS", listener.url())
    assert finding() == (True, "URL 1 (json); told of denied, digest, failed, frozen, paused")
    stored.change(
        "INSERT INTO notification (kind, subject, title, body, created_at, attempts, last_error) "
        "VALUES ('failed', 'core', 'core failed', '', now(), 1, 'URL 1 (json) did not answer')"
    )
    assert finding() == (
        False,
        "1 messages of the last day were not delivered (URL 1 (json) did not answer); try 'rebalancer notify test'",
    )
    monkeypatch.setenv("NOTIFY_URLS", f"nonsense://{SECRET}")
    ok, detail = finding()
    assert not ok
    assert detail.startswith("NOTIFY_URLS: 'URL 1 (nonsense)' is not an address")
