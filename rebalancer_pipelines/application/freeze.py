"""Freezing an account: nothing trades on it until somebody has looked."""

from __future__ import annotations

from datetime import datetime

from rebalancer_pipelines.application.notify import tell_frozen
from rebalancer_pipelines.application.ports import Ports, UnitOfWork
from rebalancer_pipelines.domain.portfolio import Account, TradingState


def freeze_account(ports: Ports, account: Account, reason: str) -> None:
    """Halt an account with the reason that people see. The first reason stays."""
    with ports.transactions() as work:
        freeze_within(work, account, reason, ports.clock.now())
        work.commit()


def freeze_within(work: UnitOfWork, account: Account, reason: str, now: datetime) -> None:
    """The same in a transaction that also holds what it is about: neither is ever without the other."""
    if work.accounts.by_id(account.id).trading_state is TradingState.HALTED:
        return
    work.accounts.set_trading_state(account.id, TradingState.HALTED, reason, now)
    work.activity.add("account.frozen", account.name, {"reason": reason}, now)
    tell_frozen(work, account, reason, now)
