"""Recovery on start: what the last process left behind is settled before anything new runs."""

from __future__ import annotations

from rebalancer_pipelines.application.lease import holding
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.recover import recover_account
from rebalancer_pipelines.domain.errors import RebalancerError


def recover_all_accounts(ports: Ports) -> list[str]:
    """Settle every account with something left over; returns what could not be settled, a line each.

    An account that cannot be settled now (its venue is away) blocks nobody else, and every rebalance on it tries again.
    """
    with ports.transactions() as work:
        accounts = [
            account
            for account in work.accounts.all()
            if work.rebalances.active_on(account.id) or work.orders.possibly_at_venue(account.id)
        ]
    unsettled: list[str] = []
    for account in accounts:
        try:
            with holding(ports, account) as lease:
                recover_account(ports, account, lease, ports.venues.connect(account))
        except RebalancerError as error:
            unsettled.append(f"account {account.name}: {error}")
    return unsettled
