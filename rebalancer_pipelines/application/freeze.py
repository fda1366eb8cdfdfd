"""Freezing an account: nothing trades on it until somebody has looked."""

from __future__ import annotations

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.portfolio import Account, TradingState


def freeze_account(ports: Ports, account: Account, reason: str) -> None:
    """Halt an account with the reason that people see. The first reason stays."""
    now = ports.clock.now()
    with ports.transactions() as work:
        if work.accounts.by_id(account.id).trading_state is TradingState.HALTED:
            return
        work.accounts.set_trading_state(account.id, TradingState.HALTED, reason, now)
        work.activity.add("account.frozen", account.name, {"reason": reason}, now)
        work.commit()
