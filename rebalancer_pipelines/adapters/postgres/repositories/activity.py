"""The activity log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.tables import ActivityLogRow


class PostgresActivityLog:
    """Implements `ports.ActivityLog`."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def add(self, action: str, subject: str, detail: Mapping[str, Any], now: datetime) -> None:
        """Note one act."""
        self._session.execute(
            insert(ActivityLogRow).values(action=action, subject=subject, detail=dict(detail), occurred_at=now)
        )
