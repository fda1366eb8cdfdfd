"""The outbox of messages to people."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.tables import NotificationRow
from rebalancer_pipelines.domain.notification import Notification, NotificationKind, WaitingNotification


class PostgresNotifications:
    """Implements `ports.Notifications`."""

    def __init__(self, session: Session, wanted: Collection[NotificationKind]) -> None:
        """Work in the session's transaction; `wanted` are the kinds that somebody is to be told of."""
        self._session = session
        self._wanted = wanted

    def wanted(self, kind: NotificationKind) -> bool:
        """Whether anybody is to be told of such facts."""
        return kind in self._wanted

    def add(self, notification: Notification) -> None:
        """Store a message; it waits from now on."""
        self._session.execute(
            insert(NotificationRow).values(
                kind=notification.kind.value,
                subject=notification.subject,
                title=notification.title,
                body=notification.body,
                created_at=notification.created_at,
                next_attempt_at=notification.created_at,
            )
        )

    def told_since(self, kind: NotificationKind, subject: str, title: str, since: datetime) -> bool:
        """Whether such a message has been stored since then."""
        found = self._session.scalar(
            select(NotificationRow.id)
            .where(
                NotificationRow.kind == kind.value,
                NotificationRow.subject == subject,
                NotificationRow.title == title,
                NotificationRow.created_at > since,
            )
            .limit(1)
        )
        return found is not None

    def take_waiting(self, now: datetime, held_until: datetime) -> WaitingNotification | None:
        """The oldest message whose time has come; one that another session is taking is passed over."""
        oldest = (
            select(NotificationRow.id)
            .where(NotificationRow.next_attempt_at <= now)
            .order_by(NotificationRow.created_at, NotificationRow.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        row = self._session.scalar(
            update(NotificationRow)
            .where(NotificationRow.id == oldest)
            .values(next_attempt_at=held_until, attempts=NotificationRow.attempts + 1)
            .returning(NotificationRow)
        )
        if row is None:
            return None
        told = Notification(NotificationKind(row.kind), row.subject, row.title, row.body, row.created_at)
        return WaitingNotification(row.id, told, row.attempts)

    def mark_sent(self, notification_id: UUID, now: datetime) -> None:
        """Delivered: it waits no more."""
        self._session.execute(
            update(NotificationRow)
            .where(NotificationRow.id == notification_id)
            .values(sent_at=now, next_attempt_at=None, last_error=None)
        )

    def mark_failed(self, notification_id: UUID, error: str, next_attempt_at: datetime | None) -> None:
        """Not delivered: it waits until then, or no more."""
        self._session.execute(
            update(NotificationRow)
            .where(NotificationRow.id == notification_id)
            .values(next_attempt_at=next_attempt_at, last_error=error)
        )

    def failing(self, since: datetime) -> tuple[int, str | None]:
        """Messages whose newest attempt failed, with the error of the newest of them."""
        failed = (NotificationRow.created_at >= since, NotificationRow.last_error.is_not(None))
        count = self._session.scalar(select(func.count()).where(*failed)) or 0
        error = self._session.scalar(
            select(NotificationRow.last_error).where(*failed).order_by(NotificationRow.created_at.desc()).limit(1)
        )
        return count, error

    def delete_before(self, moment: datetime) -> None:
        """Delete old messages."""
        self._session.execute(delete(NotificationRow).where(NotificationRow.created_at < moment))
