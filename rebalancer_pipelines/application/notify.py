"""What people are told of a fact, stored in the transaction of the fact itself: neither is ever without the other.

Nothing is sent here (`deliver_notifications` does), so whatever a notifier does, it disturbs nobody.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from rebalancer_pipelines.application.documents import telling_errors
from rebalancer_pipelines.application.message_text import cut, minute, money, printable
from rebalancer_pipelines.application.ports import UnitOfWork
from rebalancer_pipelines.domain.errors import DenialReason
from rebalancer_pipelines.domain.notification import Notification, NotificationKind
from rebalancer_pipelines.domain.portfolio import Account, Portfolio
from rebalancer_pipelines.domain.rebalance import RebalanceRecord

DENIED_AGAIN_AFTER = timedelta(hours=6)
"""The same portfolio denied for the same reason is told once in that time."""

_MOST_ERRORS = 5
_LONGEST_TITLE = 200
_LONGEST_BODY = 2000
_WENT_WRONG = frozenset({DenialReason.INTERRUPTED, DenialReason.LEASE_LOST, DenialReason.VENUE_UNREACHABLE})
"""Reasons that are no limit of ours: something broke."""


def tell_of_record(work: UnitOfWork, portfolio: Portfolio, record: RebalanceRecord) -> None:
    """Tell of an attempt: a rebalance that traded, one that was denied, or one that failed.

    Of a rehearsal only what went wrong is told, and of a request that another run answers nothing.
    """
    kind = _kind_of(record)
    if kind is None or not work.notifications.wanted(kind):
        return
    title = f"{portfolio.name} {_headline(kind, record)}{_mode(work, portfolio, record)}"
    if kind is NotificationKind.DENIED and work.notifications.told_since(
        kind, portfolio.name, printable(title), record.executed_at - DENIED_AGAIN_AFTER
    ):
        return
    tell(work, kind, portfolio.name, title, _body(kind, portfolio, record), record.executed_at)


def tell_frozen(work: UnitOfWork, account: Account, reason: str, now: datetime) -> None:
    """Tell that an account was halted by the program itself."""
    body = (
        f"{reason}\nNothing trades on it until a person has looked: 'rebalancer account review {account.name}', "
        f"then 'rebalancer resume --account {account.name}'.\n{minute(now)}"
    )
    tell(work, NotificationKind.FROZEN, account.name, f"Account {account.name} is frozen", body, now)


def tell_paused(work: UnitOfWork, portfolio: Portfolio, reason: str, now: datetime) -> None:
    """Tell that a portfolio is not rebalanced by itself any more, after too many failures."""
    body = (
        f"{reason}\nIt is not rebalanced by itself until a person lets it go on: "
        f"'rebalancer portfolio resume {portfolio.name}'.\n{minute(now)}"
    )
    tell(work, NotificationKind.PAUSED, portfolio.name, f"{portfolio.name} is paused", body, now)


def tell(work: UnitOfWork, kind: NotificationKind, subject: str, title: str, body: str, now: datetime) -> None:
    """Store a message, where anybody wants its kind."""
    if work.notifications.wanted(kind):
        message = Notification(
            kind, subject, cut(printable(title), _LONGEST_TITLE), cut(printable(body), _LONGEST_BODY), now
        )
        work.notifications.add(message)


def _kind_of(record: RebalanceRecord) -> NotificationKind | None:
    if record.success:
        return NotificationKind.REBALANCED if record.orders_executed and not record.dry_run else None
    codes = _codes(record)
    if codes == {DenialReason.ALREADY_REBALANCED}:
        return None
    refused = bool(codes) and codes <= set(DenialReason) - _WENT_WRONG and not record.orders_executed
    return NotificationKind.DENIED if refused else NotificationKind.FAILED


def _headline(kind: NotificationKind, record: RebalanceRecord) -> str:
    if kind is NotificationKind.REBALANCED:
        return "rebalanced"
    return f"{kind.value}: {', '.join(sorted(_codes(record))) or 'no reason was given'}"


def _codes(record: RebalanceRecord) -> set[str]:
    return {error["code"] for error in telling_errors(record.errors)}


def _mode(work: UnitOfWork, portfolio: Portfolio, record: RebalanceRecord) -> str:
    if record.dry_run:
        return " (dry run)"
    return " (play money)" if work.accounts.by_id(portfolio.account_id).is_paper else ""


def _body(kind: NotificationKind, portfolio: Portfolio, record: RebalanceRecord) -> str:
    currency = portfolio.valuation_currency
    errors = telling_errors(record.errors)
    lines = [f"{error['code']}: {error['message']}" for error in errors[:_MOST_ERRORS]]
    if len(errors) > _MOST_ERRORS:
        lines.append(f"and {len(errors) - _MOST_ERRORS} more; see 'rebalancer history {portfolio.name}'")
    if kind is NotificationKind.DENIED:
        lines.append("Nothing was traded.")
    elif record.orders_planned:
        lines.append(
            f"Traded {money(record.total_value_traded, currency)} in {record.orders_executed} of "
            f"{record.orders_planned} orders, fees {money(record.fees_paid, currency)}."
        )
    if record.portfolio_value is not None:
        lines.append(f"Value {money(record.portfolio_value, currency)} before the orders.")
    return "\n".join((*lines, minute(record.executed_at)))
