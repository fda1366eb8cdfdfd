"""Holding an account to rebalance on it: what keeps a run from starting, the lease, and what an earlier run left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rebalancer_pipelines.application.key_permissions import check_permissions
from rebalancer_pipelines.application.lease import release_lease, sleep_holding, take_lease
from rebalancer_pipelines.application.ports import Ports, Venue
from rebalancer_pipelines.application.rebalance.clearance import check_kill_file, check_kill_switch, halted
from rebalancer_pipelines.application.rebalance.recover import recover_account
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.portfolio import Account, TradingState
from rebalancer_pipelines.domain.rebalance import AttemptResult, Lease
from rebalancer_pipelines.domain.risk import FAILURES_IN_A_ROW, skew_denial

_FAILED = frozenset({"INTERRUPTED", "UNEXPECTED", "VENUE_UNREACHABLE", "VenueUnreachable"})
"""Codes of a history row that count towards opening the circuit, beside those of orders that failed."""


def hold_account(
    ports: Ports, account: Account, *, dry_run: bool, give_up: Callable[[], None] = lambda: None
) -> tuple[Lease, Venue]:
    """Take the account's lease, settle what an earlier holder left there, and wait until its fills have settled.

    `give_up` may raise while the lease is waited for, and once more when it was had. Raises `DeniedError` for a busy or
    halted account and for every switch that stops it, `VenueUnreachableError`; then nothing is held.
    """
    if account.trading_state is TradingState.HALTED:
        raise halted(account.name, account.trading_state_reason)
    if not dry_run:
        _check_switches(ports, account)
    venue = ports.venues.connect(account)
    lease = take_lease(ports, account, before_each_try=give_up)
    try:
        # Whoever held the account until now may have answered the request.
        give_up()
        if not dry_run:
            _check_venue(account, venue)
        recover_account(ports, account, lease, venue, wait=True)
        _let_fills_settle(ports, account, lease)
    except BaseException:
        release_lease(ports, lease)
        raise
    return lease, venue


def _check_switches(ports: Ports, account: Account) -> None:
    """Raise `DeniedError` (KILLED, CIRCUIT_OPEN) for what keeps a live run from starting at all."""
    check_kill_file(ports)
    with ports.transactions() as work:
        check_kill_switch(work)
        newest = work.history.newest_live_runs(account.id, FAILURES_IN_A_ROW, account.resumed_at)
    if account.is_paper:
        return
    if len(newest) == FAILURES_IN_A_ROW and all(_has_failed(run) for run in newest):
        last = next((error["message"] for attempt in newest[0] for error in attempt.errors), "no reason was given")
        raise DeniedError(
            DenialReason.CIRCUIT_OPEN,
            f"the last {FAILURES_IN_A_ROW} live runs on account {account.name} failed, limit {FAILURES_IN_A_ROW} "
            f"(newest: {last}); when that is mended, 'rebalancer resume --account {account.name}'",
        )


def _has_failed(run: Sequence[AttemptResult]) -> bool:
    """Whether a run went wrong, rather than being refused before it touched anything.

    A batch in which any portfolio traded as it should has not: what is wrong with the others is not the account.
    """
    if any(attempt.success and attempt.orders_executed for attempt in run):
        return False
    codes = {error["code"] for attempt in run if not attempt.success for error in attempt.errors}
    return bool(codes & _FAILED or any(code.startswith("ORDER_") for code in codes))


def _check_venue(account: Account, venue: Venue) -> None:
    """Raise `DeniedError` for a key that may do too much or too little, or a clock that is far off."""
    permissions = venue.key_permissions()
    check_permissions(account.name, permissions)
    denial = skew_denial(venue.clock_skew())
    if denial is not None:
        raise denial


def _let_fills_settle(ports: Ports, account: Account, lease: Lease) -> None:
    """Wait a moment after the account's last fill: balances at the venue may lag behind it."""
    with ports.transactions() as work:
        filled_at = work.orders.newest_fill_at(account.id)
    if filled_at is not None:
        left = filled_at + account.settings.pause_after_fill - ports.clock.now()
        sleep_holding(ports, account, lease, min(left, account.settings.pause_after_fill))
