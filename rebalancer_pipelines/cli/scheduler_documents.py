"""The JSON shapes of `rebalancer scheduler …`. The keys are a promise: other programs rely on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.application.documents import Document, moment
from rebalancer_pipelines.domain.claim import ClaimedBatch
from rebalancer_pipelines.domain.portfolio import Portfolio

if TYPE_CHECKING:
    from dagster._daemon.types import DaemonStatus

    from rebalancer_pipelines.orchestration.scheduler_state import Automation

_DUE_CHECK = "due_portfolios"
_SECOND = timedelta(seconds=1)


def automation_document(automation: Automation, portfolios: Mapping[UUID, str]) -> Document:
    """A schedule or sensor; `portfolios` gives the names of their owners."""
    tick = automation.last_tick
    return {
        "name": automation.name,
        "kind": automation.kind.value,
        "rhythm": automation.rhythm,
        "rebalances": automation.rebalances,
        "portfolio": portfolios.get(automation.portfolio_id) if automation.portfolio_id else None,
        "running": automation.is_running,
        "last_tick": tick and {"at": moment(tick.at), "outcome": tick.outcome, "note": tick.note, "runs": tick.runs},
    }


def daemon_document(found: DaemonStatus) -> Document:
    """One of Dagster's daemons that has to run."""
    heartbeat = found.last_heartbeat
    return {
        "name": found.daemon_type,
        "healthy": bool(found.healthy),
        "last_heartbeat": moment(datetime.fromtimestamp(heartbeat.timestamp, UTC)) if heartbeat else None,
    }


def claim_documents(batch: ClaimedBatch) -> Iterator[Document]:
    """What was taken up and has no outcome yet."""
    for claim in batch.claims:
        yield {
            "portfolio": claim.portfolio,
            "scheduled_for": moment(claim.scheduled_for),
            "claimed_at": moment(batch.claimed_at),
            "triggered_by": batch.triggered_by.value,
            "batch": str(batch.id),
            "tries": batch.tries,
        }


def upcoming_document(
    portfolio: Portfolio, automations: Sequence[Automation], settings: Settings, now: datetime
) -> Document:
    """When a portfolio is due, and what takes it up then; `reason` says why nothing does."""
    due = portfolio.next_rebalance_at
    schedule = next((one for one in automations if one.portfolio_id == portfolio.id), None)
    check = next(one for one in automations if one.name == _DUE_CHECK)
    reason = _hindrance(portfolio, schedule, check, settings)
    served_by = None if reason else (schedule or check).name
    return {
        "portfolio": portfolio.name,
        "due_at": moment(due),
        "due_local": due.astimezone(portfolio.time_zone).isoformat() if due else None,
        "time_zone": portfolio.time_zone.key,
        "served_by": served_by,
        "served_at": moment(_served_at(due, settings, now, own=schedule is not None)) if served_by and due else None,
        "reason": reason,
    }


def _hindrance(portfolio: Portfolio, schedule: Automation | None, check: Automation, settings: Settings) -> str | None:
    if not portfolio.enabled:
        return "not enabled"
    if portfolio.paused_at is not None:
        return f"paused: {portfolio.paused_reason}"
    if not settings.schedules_itself:
        return "SCHEDULER_ENABLED is false"
    serving = schedule or check
    return None if serving.is_running else f"{serving.name} is stopped"


def _served_at(due: datetime, settings: Settings, now: datetime, *, own: bool) -> datetime:
    """A schedule of its own takes it up when it is due; what that has missed, or has none, the due check."""
    from rebalancer_pipelines.orchestration.triggers import next_check  # noqa: PLC0415 - it imports Dagster

    if own and due > now:
        return due
    return next_check(settings.check_cron, max(now, due - _SECOND))
