"""The way out of a frozen account: look at the venue again, see what is left, and let a person decide it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rebalancer_pipelines.application.books import claim_for_sole_portfolio
from rebalancer_pipelines.application.lease import holding
from rebalancer_pipelines.application.ports import Movement, Ports
from rebalancer_pipelines.application.rebalance.close import close_rebalance
from rebalancer_pipelines.application.rebalance.settle import settle_orders
from rebalancer_pipelines.application.reconcile import reconcile, unbooked_movements
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, InvalidInputError
from rebalancer_pipelines.domain.ledger import LedgerEntry, LedgerEntryKind
from rebalancer_pipelines.domain.order import Order, OrderState
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.rebalance import Lease
from rebalancer_pipelines.domain.values import Currency


@dataclass(frozen=True, slots=True)
class Review:
    """What still keeps an account from trading after the venue was asked again.

    `orders` have no known fate. `differences` (venue - books) are unexplained; `movements` are lines of the venue's
    ledger that the books do not know.
    """

    account: Account
    orders: tuple[Order, ...]
    differences: Mapping[Currency, Decimal]
    movements: tuple[Movement, ...]

    @property
    def is_clear(self) -> bool:
        """Whether nothing is left to decide."""
        return not self.orders and not self.differences


def review_account(
    ports: Ports, name: str, *, not_accepted: Sequence[str] = (), accept_balances: bool = False
) -> Review:
    """Ask the venue again and settle what it shows now; then do what a person has decided.

    `not_accepted`: client order ids that a person has looked for at the venue and knows not to be there.
    `accept_balances`: the venue is right about every difference that is left; it is booked as an adjustment.
    Raises `InvalidInputError` for an order that does not wait for review, `VenueUnreachableError`, and `DeniedError`
    while another run holds the account.
    """
    with ports.transactions() as work:
        account = work.accounts.get(name)
    venue = ports.venues.connect(account)
    with holding(ports, account) as lease:
        with ports.transactions() as work:
            waiting = work.orders.possibly_at_venue(account.id)
        orders = settle_orders(ports, account, lease, venue, waiting, wait=False)
        orders = [_decide(ports, lease, order, not_accepted) for order in orders]
        _check_named(not_accepted, waiting)
        left = tuple(order for order in orders if not order.state.is_terminal)
        if left:
            return Review(account, left, {}, ())
        _close_cut_off(ports, account)
        proof = reconcile(ports, account, lease, venue)
        if proof.differences and accept_balances:
            _adjust(ports, account, proof.differences)
            proof = reconcile(ports, account, lease, venue)
        movements: Sequence[Movement] = ()
        if proof.differences:
            movements = venue.movements(account.reconciled_at or account.created_at)
        with ports.transactions() as work:
            claim_for_sole_portfolio(work, account, ports.clock.now())
            unknown = unbooked_movements(work, account, movements)
            work.commit()
    return Review(account, (), proof.differences, tuple(unknown))


def _decide(ports: Ports, lease: Lease, order: Order, not_accepted: Sequence[str]) -> Order:
    if order.client_order_id not in not_accepted or order.state.is_terminal:
        return order
    if order.state is not OrderState.NEEDS_REVIEW:
        raise InvalidInputError(
            "not_accepted", order.client_order_id, f"is {order.state.value}; the program still finds out by itself"
        )
    with ports.transactions() as work:
        work.accounts.fence(lease)
        order = work.orders.move(order, OrderState.NOT_ACCEPTED, reason="a person has looked: the venue never took it")
        work.activity.add("order.judged", order.client_order_id, {"state": order.state.value}, ports.clock.now())
        work.commit()
    return order


def _check_named(named: Sequence[str], waiting: Sequence[Order]) -> None:
    known = {order.client_order_id for order in waiting}
    for client_order_id in named:
        if client_order_id not in known:
            raise InvalidInputError(
                "not_accepted", client_order_id, "is no order of this account that waits for review"
            )


def _close_cut_off(ports: Ports, account: Account) -> None:
    """Write the history rows that waited for the orders' fate."""
    with ports.transactions() as work:
        cut_off = work.rebalances.active_on(account.id)
    for rebalance in cut_off:
        error = DeniedError(
            DenialReason.INTERRUPTED, "an order of this rebalance had no known fate; a person has looked at it since"
        )
        close_rebalance(ports, rebalance, error)


def _adjust(ports: Ports, account: Account, differences: Mapping[Currency, Decimal]) -> None:
    now = ports.clock.now()
    with ports.transactions() as work:
        work.accounts.lock(account.id)
        work.ledger.append(
            [
                LedgerEntry(
                    account.id,
                    None,
                    LedgerEntryKind.ADJUSTMENT,
                    currency,
                    amount,
                    "accepted from the venue by a person",
                    now,
                )
                for currency, amount in differences.items()
            ]
        )
        work.activity.add(
            "account.adjusted", account.name, {currency: str(amount) for currency, amount in differences.items()}, now
        )
        work.commit()
