"""The last look before an order leaves: every switch that stops it is read here, immediately before the socket."""

from __future__ import annotations

from rebalancer_pipelines.application.ports import Clearance, Ports, UnitOfWork
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.portfolio import TradingState
from rebalancer_pipelines.domain.rebalance import Lease


def clearance_for(ports: Ports, lease: Lease) -> Clearance:
    """What a venue calls when an order is ready to leave.

    It raises `DeniedError` (KILLED, ACCOUNT_HALTED, LIVE_DISABLED), or `LeaseLostError` when another worker holds the
    account by now: the order is then the new holder's to settle.
    """

    def clear() -> None:
        check_kill_file(ports)
        with ports.transactions() as work:
            work.accounts.fence(lease)
            check_kill_switch(work)
            account = work.accounts.by_id(lease.account_id)
        if account.trading_state is TradingState.HALTED:
            raise halted(account.name, account.trading_state_reason)
        if ports.dry_run_only or not (account.is_paper or account.live_trading):
            raise DeniedError(
                DenialReason.LIVE_DISABLED,
                f"trading real money on account {account.name} was switched off during the run; allow it again with "
                f"'rebalancer account enable-trading {account.name} --confirm {account.name}'",
            )

    return clear


def check_kill_file(ports: Ports) -> None:
    """Raise `DeniedError` (KILLED) while the file that stops everything is there."""
    reason = ports.kill_file.reason()
    if reason is not None:
        raise DeniedError(
            DenialReason.KILLED, f"everything is stopped by the file {ports.kill_file.path} ({reason}); remove it"
        )


def check_kill_switch(work: UnitOfWork) -> None:
    """Raise `DeniedError` (KILLED) while everything is stopped."""
    reason = work.kill_switch.reason()
    if reason is not None:
        raise DeniedError(
            DenialReason.KILLED, f"everything is stopped ({reason}); let it go on with 'rebalancer resume'"
        )


def halted(account: str, reason: str | None) -> DeniedError:
    """The refusal of an account that is halted."""
    return DeniedError(
        DenialReason.ACCOUNT_HALTED,
        f"account {account} is halted: {reason or 'no reason was given'}; look with 'rebalancer account review "
        f"{account}', then 'rebalancer resume --account {account}'",
    )
