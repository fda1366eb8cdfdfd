"""What people are told of: its kinds, and one message."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class NotificationKind(StrEnum):
    """What a message is about, for people who want only some."""

    REBALANCED = "rebalanced"
    DENIED = "denied"
    FAILED = "failed"
    FROZEN = "frozen"
    PAUSED = "paused"
    DIGEST = "digest"


@dataclass(frozen=True, slots=True)
class Notification:
    """One message. `subject` is the name of the portfolio or account it is about; it never holds a secret."""

    kind: NotificationKind
    subject: str
    title: str
    body: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class WaitingNotification:
    """A stored message that has been handed out for its delivery `attempts` times, this time included."""

    id: UUID
    notification: Notification
    attempts: int
