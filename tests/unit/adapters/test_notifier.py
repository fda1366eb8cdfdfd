"""Addresses to tell people at: how they are read, what may be shown of them, and how long anybody waits for them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from rebalancer_pipelines.adapters.notifier import AppriseNotifier, open_notifier, parse_addresses
from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.application.ports import NotifierError
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.notification import Notification, NotificationKind
from tests.support.builders import NOON
from tests.support.listener import Listener, listening

SECRET = "s3cret-word"
MESSAGE = Notification(NotificationKind.FAILED, "core", "core failed", "5 < 6 & [all] *is* lost\nüber 1,000 EUR", NOON)
NOBODY = f"json://me:{SECRET}@127.0.0.1:1/{SECRET}"


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as opened:
        yield opened


def told(*urls: str, seconds: float = 5.0) -> AppriseNotifier:
    return AppriseNotifier(parse_addresses(" ".join(urls)), seconds=seconds)


@pytest.mark.parametrize(
    ("text", "schemes"),
    [
        ("", []),
        (" , \n", []),
        ("json://a", ["json"]),
        ("json://a ntfys://b\n\tTGRAM://c", ["json", "ntfys", "tgram"]),
        ("json://a,ntfys://b , mailtos://c;json://d,", ["json", "ntfys", "mailtos", "json"]),
        ("mailto://u:p@h?to=a@h,b@h", ["mailto"]),
        ("s3cret-word json://a", ["no scheme", "json"]),
    ],
)
def test_addresses_are_separated_by_white_space_or_commas(text: str, schemes: list[str]) -> None:
    found = parse_addresses(text)
    assert [address.scheme for address in found] == schemes
    assert [address.position for address in found] == list(range(1, len(schemes) + 1))


def test_an_address_shows_its_place_and_scheme_and_nothing_else() -> None:
    (address,) = parse_addresses(NOBODY)
    assert address.name == "URL 1 (json)"
    assert SECRET not in repr(address)
    assert SECRET not in repr(Settings(NOTIFY_URLS=NOBODY))  # pyright: ignore[reportCallIssue]


def test_nobody_is_told_where_no_address_is_given() -> None:
    assert open_notifier(Settings(NOTIFY_URLS=" ")) is None  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"tgramm://{SECRET}", "URL 2 (tgramm)"),
        (SECRET, "URL 2 (no scheme)"),
        (f"tgram://{SECRET}", "URL 2 (tgram)"),
        (f"https://127.0.0.1/{SECRET}/\x00", "URL 2 (https)"),
    ],
)
def test_a_bad_address_is_named_without_its_secret(url: str, shown: str, caplog: pytest.LogCaptureFixture) -> None:
    notifier = told("json://127.0.0.1", url)
    with caplog.at_level(logging.DEBUG), pytest.raises(InvalidInputError) as refused:
        notifier.check()
    assert str(refused.value).startswith(f"NOTIFY_URLS: '{shown}' is not an address")
    assert SECRET not in str(refused.value) + caplog.text


def test_a_message_arrives_as_it_was_written(listener: Listener) -> None:
    notifier = told(listener.url())
    notifier.check()
    notifier.send(MESSAGE)
    (message,) = listener.messages
    assert (message["title"], message["message"]) == (MESSAGE.title, MESSAGE.body)


def test_one_address_that_takes_it_is_enough(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        told(NOBODY, listener.url()).send(MESSAGE)
    assert listener.titles == [MESSAGE.title]
    assert "Not told everywhere: URL 1 (json) refused the message or cannot be reached" in caplog.text
    assert SECRET not in caplog.text


def test_when_nobody_takes_it_every_address_is_named(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    listener.status = 500
    with caplog.at_level(logging.DEBUG), pytest.raises(NotifierError) as failed:
        told(listener.url(), NOBODY, SECRET).send(MESSAGE)
    assert str(failed.value) == (
        "URL 1 (json) refused the message or cannot be reached; URL 2 (json) refused the message or cannot be reached; "
        "URL 3 (no scheme) is not an address that apprise knows"
    )
    assert SECRET not in caplog.text


def test_nobody_waits_for_an_address_that_does_not_answer(listener: Listener) -> None:
    listener.answers.clear()
    with listening() as quick:
        notifier = told(listener.url(), quick.url(), listener.url(), seconds=0.5)
        began = time.monotonic()
        attempts = notifier.try_all(MESSAGE)
    assert time.monotonic() - began < 3
    assert [attempt.problem for attempt in attempts] == [
        "URL 1 (json) did not answer within 0.5 s",
        None,
        "URL 3 (json) did not answer within 0.5 s",
    ]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (None, {"denied", "failed", "frozen", "paused", "digest"}),
        ("rebalanced, Digest", {"rebalanced", "digest"}),
        (" ", set[str]()),
    ],
)
def test_what_people_are_told_of_can_be_chosen(
    kinds: str | None, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_URLS", NOBODY)
    if kinds is None:
        monkeypatch.delenv("NOTIFY_KINDS", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_KINDS", kinds)
    assert Settings().notified == expected
    monkeypatch.delenv("NOTIFY_URLS")
    assert Settings().notified == set()


def test_a_slip_in_the_kinds_is_refused_but_stops_no_rebalance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_URLS", NOBODY)
    monkeypatch.setenv("NOTIFY_KINDS", "denied faild")
    with pytest.raises(InvalidInputError, match=r"^NOTIFY_KINDS: 'faild' is unknown; use some of rebalanced, denied"):
        _ = Settings().notified
    assert NotificationKind.FAILED in Settings().notified_at_least


def test_a_time_zone_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_TIME_ZONE", "Europe/Atlantis")
    with pytest.raises(InvalidInputError, match=r"^NOTIFY_TIME_ZONE: 'Europe/Atlantis' is not a time zone"):
        _ = Settings().digest_zone
