"""Delivering the messages that wait in the outbox.

A message is handed out before it is sent, so two deliveries at once never send the same one. Somebody who is killed
between sending and noting it lets a message be sent twice: telling twice is better than not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from rebalancer_pipelines.application.ports import Notifier, NotifierError, Ports
from rebalancer_pipelines.domain.notification import WaitingNotification

_MOST_AT_ONCE = 20
_LONGEST = timedelta(seconds=15)
_HELD = timedelta(minutes=10)
_KEPT = timedelta(days=30)
_PAUSES = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60, 180, 360, 720))
"""After each failed attempt; one more failure gives the message up, a day after it was stored."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How many messages reached somebody, and why the others did not."""

    sent: int
    failures: tuple[str, ...]


def deliver_notifications(ports: Ports) -> Delivery:
    """Deliver what waits, oldest first, for some seconds at most, and delete what is older than 30 days.

    A message that cannot be delivered is tried again later, less and less often, and keeps no other one waiting.
    """
    started = ports.clock.now()
    with ports.transactions() as work:
        work.notifications.delete_before(started - _KEPT)
        work.commit()
    sent, failures = 0, list[str]()
    if ports.notifier is None:
        return Delivery(0, ())
    while sent + len(failures) < _MOST_AT_ONCE and ports.clock.now() - started < _LONGEST:
        waiting = _take(ports)
        if waiting is None:
            break
        error = _deliver(ports, ports.notifier, waiting)
        if error is None:
            sent += 1
        else:
            failures.append(error)
    return Delivery(sent, tuple(failures))


def _take(ports: Ports) -> WaitingNotification | None:
    now = ports.clock.now()
    with ports.transactions() as work:
        waiting = work.notifications.take_waiting(now, now + _HELD)
        work.commit()
    return waiting


def _deliver(ports: Ports, notifier: Notifier, waiting: WaitingNotification) -> str | None:
    """Send one message and note what came of it; returns what went wrong."""
    error: str | None = None
    try:
        notifier.send(waiting.notification)
    except NotifierError as failure:
        error = str(failure)
    now = ports.clock.now()
    with ports.transactions() as work:
        if error is None:
            work.notifications.mark_sent(waiting.id, now)
        else:
            pause = _PAUSES[waiting.attempts - 1] if waiting.attempts <= len(_PAUSES) else None
            work.notifications.mark_failed(waiting.id, error, now + pause if pause is not None else None)
        work.commit()
    if error is not None:
        ports.cache.note_error(now, f"notification not delivered: {error}")
    return error
