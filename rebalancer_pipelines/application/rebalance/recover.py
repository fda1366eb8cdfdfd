"""Recovery: settle what an earlier holder of the account left behind, before anything new is planned."""

from __future__ import annotations

from rebalancer_pipelines.application.ports import Ports, Venue
from rebalancer_pipelines.application.rebalance.close import close_rebalance
from rebalancer_pipelines.application.rebalance.settle import settle_orders
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.order import OrderState
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.rebalance import Lease


def recover_account(ports: Ports, account: Account, lease: Lease, venue: Venue, *, wait: bool) -> None:
    """Learn the fate of every order that may be at the venue, then close the rebalances that were cut off.

    Whoever holds the lease may do so: an earlier holder's epoch is stale, so it can write nothing any more.
    Raises `DeniedError` while an order stays unresolved: nothing new may be planned on top of it.
    """
    with ports.transactions() as work:
        unresolved = work.orders.possibly_at_venue(account.id)
    for order in settle_orders(ports, account, lease, venue, unresolved, wait=wait):
        if not order.state.is_terminal:
            raise DeniedError(
                DenialReason.CIRCUIT_OPEN,
                f"order {order.client_order_id} ({order.side.value} {order.symbol}) of account {account.name} is "
                f"{order.state.value}; nothing is traded until the venue shows what became of it "
                f"('rebalancer account review {account.name}')",
            )
    with ports.transactions() as work:
        work.accounts.fence(lease)
        unsent = work.orders.unsent_net_orders(account.id)
        work.orders.end_many([(order, OrderState.VOID, "the program stopped before it was sent") for order in unsent])
        work.commit()
        cut_off = work.rebalances.active_on(account.id)
    for rebalance in cut_off:
        close_rebalance(
            ports,
            rebalance,
            DeniedError(
                DenialReason.INTERRUPTED,
                "the program was stopped during this rebalance; its orders were settled with the venue afterwards",
            ),
        )
