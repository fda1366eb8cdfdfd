"""Accounts and their leases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.tables import AccountRow, PortfolioRow
from rebalancer_pipelines.domain.errors import InvalidInputError, LeaseLostError, NotFoundError
from rebalancer_pipelines.domain.portfolio import Account, TradingState
from rebalancer_pipelines.domain.rebalance import Lease


class PostgresAccounts:
    """Implements `ports.Accounts`. Leases run by the database's clock, which all workers share."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def add(self, name: str, venue: str, price_source: str, now: datetime) -> Account:
        """Store a new account."""
        statement = (
            insert(AccountRow)
            .values(name=name, venue=venue, price_source=price_source, created_at=now, updated_at=now)
            .returning(AccountRow)
        )
        try:
            return _account(self._session.execute(statement).scalar_one())
        except IntegrityError:
            self._session.rollback()
            raise InvalidInputError("name", name, "is taken by another account; choose another name") from None

    def get(self, name: str) -> Account:
        """The account of that name."""
        row = self._session.execute(select(AccountRow).where(AccountRow.name == name)).scalar_one_or_none()
        if row is None:
            names = self._session.execute(select(AccountRow.name).order_by(AccountRow.name)).scalars().all()
            there = f"there is {', '.join(names)}" if names else "add one with 'rebalancer account add'"
            raise NotFoundError("account", name, f"is unknown; {there}")
        return _account(row)

    def by_id(self, account_id: UUID) -> Account:
        """The account with that id."""
        return _account(self._session.execute(select(AccountRow).where(AccountRow.id == account_id)).scalar_one())

    def all(self) -> Sequence[Account]:
        """Every account, by name."""
        rows = self._session.execute(select(AccountRow).order_by(AccountRow.name)).scalars()
        return [_account(row) for row in rows]

    def delete(self, account_id: UUID) -> None:
        """Delete an account that no portfolio uses."""
        users = (
            self._session.execute(
                select(PortfolioRow.name).where(PortfolioRow.account_id == account_id).order_by(PortfolioRow.name)
            )
            .scalars()
            .all()
        )
        if users:
            raise InvalidInputError(
                "account", self.by_id(account_id).name, f"is used by {', '.join(users)}; delete them first"
            )
        self._session.execute(delete(AccountRow).where(AccountRow.id == account_id))

    def set_trading_state(self, account_id: UUID, state: TradingState, reason: str | None) -> None:
        """Allow or stop trading."""
        self._session.execute(
            update(AccountRow)
            .where(AccountRow.id == account_id)
            .values(trading_state=state.value, trading_state_reason=reason, updated_at=func.clock_timestamp())
        )

    def take_lease(self, account_id: UUID, duration: timedelta) -> Lease | None:
        """Take the lease when it is free or has run out; every holder gets a higher epoch."""
        now = func.clock_timestamp()
        epoch = self._session.execute(
            update(AccountRow)
            .where(AccountRow.id == account_id, or_(AccountRow.lease_until.is_(None), AccountRow.lease_until < now))
            .values(lease_epoch=AccountRow.lease_epoch + 1, lease_until=now + duration)
            .returning(AccountRow.lease_epoch)
        ).scalar_one_or_none()
        return Lease(account_id, epoch) if epoch is not None else None

    def renew_lease(self, lease: Lease, duration: timedelta) -> None:
        """Extend the lease from now on."""
        renewed = self._session.execute(
            update(AccountRow)
            .where(AccountRow.id == lease.account_id, AccountRow.lease_epoch == lease.epoch)
            .values(lease_until=func.clock_timestamp() + duration)
            .returning(AccountRow.id)
        ).scalar_one_or_none()
        if renewed is None:
            raise _lost(lease)

    def release_lease(self, lease: Lease) -> None:
        """Give the lease back; the epoch moves on, so nothing more can be written under it."""
        self._session.execute(
            update(AccountRow)
            .where(AccountRow.id == lease.account_id, AccountRow.lease_epoch == lease.epoch)
            .values(lease_until=None, lease_epoch=AccountRow.lease_epoch + 1)
        )

    def fence(self, lease: Lease) -> None:
        """Hold the epoch until the transaction ends: a takeover waits, a stale epoch is refused."""
        held = self._session.execute(
            select(AccountRow.id)
            .where(AccountRow.id == lease.account_id, AccountRow.lease_epoch == lease.epoch)
            .with_for_update(read=True)
        ).scalar_one_or_none()
        if held is None:
            raise _lost(lease)


def _lost(lease: Lease) -> LeaseLostError:
    return LeaseLostError(f"another worker holds account {lease.account_id} now; this one writes nothing more")


def _account(row: AccountRow) -> Account:
    return Account(
        id=row.id,
        name=row.name,
        venue=row.venue,
        price_source=row.price_source,
        trading_state=TradingState(row.trading_state),
        trading_state_reason=row.trading_state_reason,
        created_at=row.created_at,
    )
