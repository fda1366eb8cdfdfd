"""Recovery in bulk: what stopped processes left behind is settled before anything new runs on their accounts."""

from __future__ import annotations

from rebalancer_pipelines.application.lease import release_lease
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.recover import recover_account
from rebalancer_pipelines.domain.errors import RebalancerError
from rebalancer_pipelines.domain.portfolio import Account


def unfinished_accounts(ports: Ports) -> list[Account]:
    """Accounts with a rebalance that is under way or was cut off, or with an order that may be at the venue."""
    with ports.transactions() as work:
        return [
            account
            for account in work.accounts.all()
            if work.rebalances.active_on(account.id) or work.orders.possibly_at_venue(account.id)
        ]


def recover_abandoned_accounts(ports: Ports) -> list[str]:
    """Settle every account that somebody left without finishing; returns what could not be settled, a line each.

    An account whose lease still runs is left alone: its holder may be alive. One that cannot be settled now (its venue
    is away) blocks nobody else, and every rebalance on it tries again.
    """
    unsettled: list[str] = []
    for account in unfinished_accounts(ports):
        with ports.transactions() as work:
            lease = work.accounts.take_lease(account.id, account.settings.lease)
            work.commit()
        if lease is None:
            continue
        try:
            recover_account(ports, account, lease, ports.venues.connect(account), wait=False)
        except RebalancerError as error:
            unsettled.append(f"account {account.name}: {error}")
        finally:
            release_lease(ports, lease)
    return unsettled
