"""Holding an account: the lease is waited for, taken, kept alive and always given back."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.rebalance import Lease

_PAUSE = timedelta(milliseconds=250)


def take_lease(ports: Ports, account: Account, *, before_each_try: Callable[[], None] = lambda: None) -> Lease:
    """Take an account's lease, waiting while another rebalance holds it.

    `before_each_try` may raise to give the waiting up. Raises `DeniedError` (ACCOUNT_BUSY) after
    `ports.lease_patience`.
    """
    deadline = ports.clock.now() + ports.lease_patience
    while True:
        before_each_try()
        with ports.transactions() as work:
            lease = work.accounts.take_lease(account.id, account.settings.lease)
            work.commit()
        if lease is not None:
            return lease
        if ports.clock.now() >= deadline:
            waited = ports.lease_patience.total_seconds()
            raise DeniedError(
                DenialReason.ACCOUNT_BUSY,
                f"account {account.name} is held by another rebalance (waited {waited:.0f} s); run again later",
            )
        ports.clock.sleep(_PAUSE)


def renew_lease(ports: Ports, account: Account, lease: Lease) -> None:
    """Extend the lease from now on. Raises `LeaseLostError` when another worker has taken it."""
    with ports.transactions() as work:
        work.accounts.renew_lease(lease, account.settings.lease)
        work.commit()


@dataclass(slots=True)
class LeaseKeeper:
    """Keeps a lease through an act of many short steps: before most of them it is as good as new.

    A sixth of its length is little enough that nobody can have taken it since, and that what is left of it is enough
    for a long step.
    """

    ports: Ports
    account: Account
    lease: Lease
    _renewed_at: datetime | None = field(default=None, init=False)

    def keep(self) -> None:
        """Extend the lease from now on if that is due. Raises `LeaseLostError` when another worker has taken it."""
        now = self.ports.clock.now()
        age = self.account.settings.lease if self._renewed_at is None else now - self._renewed_at
        # A clock that was set back says nothing about the lease's age.
        if not timedelta(0) <= age < self.account.settings.lease / 6:
            renew_lease(self.ports, self.account, self.lease)
            self._renewed_at = now


def sleep_holding(ports: Ports, account: Account, lease: Lease, duration: timedelta) -> None:
    """Wait without losing the lease: it is renewed three times in its length."""
    left = duration
    while left > timedelta(0):
        renew_lease(ports, account, lease)
        nap = min(left, account.settings.lease / 3)
        ports.clock.sleep(nap)
        left -= nap


def release_lease(ports: Ports, lease: Lease) -> None:
    """Give the lease back."""
    with ports.transactions() as work:
        work.accounts.release_lease(lease)
        work.commit()


@contextmanager
def holding(ports: Ports, account: Account) -> Generator[Lease]:
    """Hold an account for a short act of one's own."""
    lease = take_lease(ports, account)
    try:
        yield lease
    finally:
        release_lease(ports, lease)
