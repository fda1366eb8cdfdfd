"""The kill switch."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.tables import KillSwitchRow


class PostgresKillSwitch:
    """Implements `ports.KillSwitch`: engaged while its row is there."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def engage(self, reason: str, now: datetime) -> None:
        """Stop everything, or replace the reason and moment of a stop."""
        stop = {"reason": reason, "engaged_at": now}
        self._session.execute(
            insert(KillSwitchRow).values(stop).on_conflict_do_update(index_elements=[KillSwitchRow.only_row], set_=stop)
        )

    def release(self) -> None:
        """Let orders pass again."""
        self._session.execute(delete(KillSwitchRow))

    def reason(self) -> str | None:
        """Why everything is stopped."""
        return self._session.scalar(select(KillSwitchRow.reason))
