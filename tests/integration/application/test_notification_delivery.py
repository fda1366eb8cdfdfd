"""The outbox is emptied: in order, with patience, without ever sending one message from two places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from rebalancer_pipelines.adapters.assembly import open_ports
from rebalancer_pipelines.adapters.notifier import AppriseNotifier, parse_addresses
from rebalancer_pipelines.application.deliver_notifications import Delivery, deliver_notifications
from rebalancer_pipelines.application.notify import tell
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.notification import NotificationKind
from rebalancer_pipelines.domain.values import Currency
from tests.support.listener import Listener, listening
from tests.support.manual_clock import ManualClock
from tests.support.paper_account import open_paper_account
from tests.support.rebalancing import rebalance
from tests.support.stored import MORNING, Stored

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
PAUSES = [timedelta(minutes=m) for m in (1, 5, 15, 60, 180, 360, 720)]
Installation = Callable[..., Ports]


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as opened:
        yield opened


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def told(
    ready_database: str, listener: Listener, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ports]:
    """An installation that tells the listener, on a clock that stands still."""
    with _installation(ready_database, listener, monkeypatch) as ports:
        yield replace(ports, clock=clock)


@contextmanager
def _installation(url: str, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ports]:
    monkeypatch.setenv("NOTIFY_URLS", listener.url())
    monkeypatch.setenv("NOTIFY_KINDS", ",".join(NotificationKind))
    with open_ports(url) as ports:
        yield ports


def add(ports: Ports, *titles: str) -> None:
    for title in titles:
        with ports.transactions() as work:
            tell(work, NotificationKind.FAILED, "core", title, "what went wrong", ports.clock.now())
            work.commit()


def test_what_waits_is_delivered_once_and_oldest_first(told: Ports, listener: Listener, stored: Stored) -> None:
    add(told, "first", "second", "third")
    assert deliver_notifications(told) == Delivery(3, ())
    assert deliver_notifications(told) == Delivery(0, ())
    assert listener.titles == ["first", "second", "third"]
    rows = stored.rows("SELECT sent_at, next_attempt_at, attempts, last_error FROM notification")
    assert all(row == {"sent_at": NOON, "next_attempt_at": None, "attempts": 1, "last_error": None} for row in rows)


def test_a_delivery_takes_no_more_than_twenty(told: Ports, listener: Listener) -> None:
    add(told, *(f"message {number}" for number in range(23)))
    assert [deliver_notifications(told).sent for _ in range(3)] == [20, 3, 0]
    assert len(listener.messages) == 23


def test_a_message_that_fails_is_tried_less_and_less_often_and_then_given_up(
    told: Ports, listener: Listener, clock: ManualClock, stored: Stored
) -> None:
    listener.status = 500
    add(told, "core failed")
    for attempt, pause in enumerate(PAUSES, start=1):
        (failure,) = deliver_notifications(told).failures
        assert failure == "URL 1 (json) refused the message or cannot be reached"
        assert stored.row("SELECT attempts, next_attempt_at, last_error FROM notification") == {
            "attempts": attempt,
            "next_attempt_at": clock.now() + pause,
            "last_error": failure,
        }
        clock.time += pause - timedelta(seconds=1)
        assert deliver_notifications(told) == Delivery(0, ())
        clock.time += timedelta(seconds=1)
    assert len(deliver_notifications(told).failures) == 1
    given_up = stored.row("SELECT sent_at, next_attempt_at, attempts FROM notification")
    assert given_up == {"sent_at": None, "next_attempt_at": None, "attempts": len(PAUSES) + 1}
    clock.time += timedelta(days=1)
    assert deliver_notifications(told) == Delivery(0, ())
    assert listener.asked == len(PAUSES) + 1


def test_a_message_that_fails_keeps_no_other_waiting(told: Ports, listener: Listener, clock: ManualClock) -> None:
    listener.status = 500
    add(told, "first", "second")
    assert len(deliver_notifications(told).failures) == 2
    listener.status = 200
    add(told, "third")
    assert deliver_notifications(told) == Delivery(1, ())
    clock.time += PAUSES[0]
    assert deliver_notifications(told) == Delivery(2, ())
    assert listener.titles == ["third", "first", "second"]


def test_two_deliveries_at_once_never_send_the_same_message(told: Ports, listener: Listener) -> None:
    add(told, *(f"message {number}" for number in range(12)))
    with ThreadPoolExecutor(4) as pool:
        deliveries = list(pool.map(deliver_notifications, [told] * 4))
    assert sum(delivery.sent for delivery in deliveries) == 12
    assert sorted(listener.titles) == sorted(f"message {number}" for number in range(12))


def test_a_message_that_its_deliverer_left_behind_is_delivered_later(
    told: Ports, listener: Listener, clock: ManualClock
) -> None:
    add(told, "core failed")
    with told.transactions() as work:
        assert work.notifications.take_waiting(NOON, NOON + timedelta(minutes=10)) is not None
        work.commit()
    assert deliver_notifications(told) == Delivery(0, ())
    clock.time += timedelta(minutes=10)
    assert deliver_notifications(told) == Delivery(1, ())
    assert listener.titles == ["core failed"]


def test_messages_are_deleted_after_thirty_days(told: Ports, clock: ManualClock, stored: Stored) -> None:
    add(told, "old")
    deliver_notifications(told)
    add(replace(told, clock=ManualClock(NOON + timedelta(days=1))), "newer")
    clock.time = NOON + timedelta(days=30)
    deliver_notifications(told)
    assert [row["title"] for row in stored.rows("SELECT title FROM notification ORDER BY created_at")] == [
        "old",
        "newer",
    ]
    clock.time += timedelta(seconds=1)
    deliver_notifications(replace(told, notifier=None))
    assert [row["title"] for row in stored.rows("SELECT title FROM notification")] == ["newer"]


def test_whatever_the_listener_does_a_rebalance_goes_on(
    ready_database: str, listener: Listener, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.show_recording(MORNING)
    listener.answers.clear()
    with _installation(ready_database, listener, monkeypatch) as ports:
        open_paper_account(ports, {Currency("EUR"): Decimal(1000)})
        create_portfolio(ports, {"name": "core", "account": "main", "weights": "BTC=50,EUR=50"})
        assert rebalance(ports, "core").success
        assert listener.asked == 0

        impatient = AppriseNotifier(parse_addresses(listener.url()), seconds=0.3)
        failed = deliver_notifications(replace(ports, notifier=impatient))
        assert failed == Delivery(0, ("URL 1 (json) did not answer within 0.3 s",))
        assert rebalance(ports, "core").success
    (message,) = stored.rows("SELECT title, sent_at, last_error FROM notification")
    assert message["title"] == "core rebalanced (play money)"
    assert message["sent_at"] is None
    assert "s3cret-word" not in message["last_error"]
