"""One message a day: what every portfolio is worth, what was done with it, and what stands still."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from rebalancer_pipelines.application.message_text import change, minute, money
from rebalancer_pipelines.application.notify import tell
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.notification import NotificationKind
from rebalancer_pipelines.domain.portfolio import TradingState
from rebalancer_pipelines.domain.portfolio_day import PortfolioDay
from rebalancer_pipelines.domain.valuation import percent_of
from rebalancer_pipelines.domain.values import EXACT

_SPAN = timedelta(hours=24)
_MOST_LINES = 20
_LONGEST_REASON = 120


def digest_wanted(ports: Ports) -> bool:
    """Whether anybody is to be sent one."""
    with ports.transactions() as work:
        return work.notifications.wanted(NotificationKind.DIGEST)


def tell_daily_digest(ports: Ports) -> bool:
    """Store the message on the last 24 hours; returns whether anybody wants it.

    Values are those that the newest attempts saw, so a portfolio is worth what it was at its last run.
    """
    now = ports.clock.now()
    with ports.transactions() as work:
        if not work.notifications.wanted(NotificationKind.DIGEST):
            return False
        days = work.portfolio_days.since(now - _SPAN)
        stopped = work.kill_switch.reason()
        lines = [*([f"EVERYTHING IS STOPPED: {stopped}"] if stopped else []), *_lines(days), minute(now)]
        tell(work, NotificationKind.DIGEST, "all portfolios", _title(days), "\n".join(lines), now)
        work.commit()
    return True


def _title(days: Sequence[PortfolioDay]) -> str:
    done, refused = sum(day.rebalances for day in days), sum(day.refusals for day in days)
    still = sum(1 for day in days if _stands_still(day))
    return (
        f"24 hours: {len(days)} portfolios, {done} rebalances, {refused} denied or failed"
        f"{f', {still} stand still' if still else ''}"
    )


def _lines(days: Sequence[PortfolioDay]) -> list[str]:
    """A line each, those that need somebody first."""
    shown = sorted(days, key=lambda day: (not _stands_still(day), not day.refusals, day.name))
    lines = [_line(day) for day in shown[:_MOST_LINES]]
    left = len(shown) - len(lines)
    return [*lines, f"and {left} more; see 'rebalancer status'"] if left else lines


def _line(day: PortfolioDay) -> str:
    parts = [_worth(day)]
    if day.rebalances:
        traded, fees = money(day.traded, day.valuation_currency), money(day.fees, day.valuation_currency)
        parts.append(f"{day.rebalances} rebalances, traded {traded}, fees {fees}")
    if day.refusals:
        parts.append(f"{day.refusals} denied or failed")
    if day.dry_runs:
        parts.append(f"{day.dry_runs} dry runs")
    if day.paused_reason is not None:
        parts.append(f"PAUSED: {day.paused_reason[:_LONGEST_REASON]}")
    elif day.enabled and day.next_rebalance_at is not None:
        parts.append(f"next due {minute(day.next_rebalance_at)}")
    if day.trading_state is not TradingState.ACTIVE:
        reason = (day.trading_state_reason or "no reason was given")[:_LONGEST_REASON]
        parts.append(f"account {day.account} {day.trading_state.value.upper()}: {reason}")
    return f"{day.name}: {'; '.join(parts)}"


def _worth(day: PortfolioDay) -> str:
    if day.value is None:
        return "value not known yet"
    worth = money(day.value, day.valuation_currency)
    if day.value_before is None:
        return worth
    moved = EXACT.subtract(day.value, day.value_before)
    return f"{worth} ({change(moved)}, {change(percent_of(moved, day.value_before))} %)"


def _stands_still(day: PortfolioDay) -> bool:
    return day.paused_reason is not None or day.trading_state is not TradingState.ACTIVE
