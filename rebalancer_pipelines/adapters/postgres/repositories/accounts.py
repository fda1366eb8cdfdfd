"""Accounts and their leases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
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
            .on_conflict_do_nothing(index_elements=[AccountRow.name])
            .returning(AccountRow)
        )
        row = self._session.scalar(statement)
        if row is None:
            raise InvalidInputError("name", name, "is taken by another account; choose another name")
        return _account(row)

    def get(self, name: str) -> Account:
        """The account of that name."""
        row = self._session.scalar(select(AccountRow).where(AccountRow.name == name))
        if row is None:
            names = self._session.scalars(select(AccountRow.name).order_by(AccountRow.name)).all()
            there = f"there is {', '.join(names)}" if names else "add one with 'rebalancer account add'"
            raise NotFoundError("account", name, f"is unknown; {there}")
        return _account(row)

    def by_id(self, account_id: UUID) -> Account:
        """The account with that id."""
        row = self._session.scalar(select(AccountRow).where(AccountRow.id == account_id))
        if row is None:
            raise _gone(account_id)
        return _account(row)

    def all(self) -> Sequence[Account]:
        """Every account, by name."""
        return [_account(row) for row in self._session.scalars(select(AccountRow).order_by(AccountRow.name))]

    def delete(self, account_id: UUID) -> None:
        """Delete an account that no portfolio uses, with its ledger."""
        # From here on no portfolio can be added to it.
        name = self._session.scalar(select(AccountRow.name).where(AccountRow.id == account_id).with_for_update())
        users = self._session.scalars(
            select(PortfolioRow.name).where(PortfolioRow.account_id == account_id).order_by(PortfolioRow.name)
        ).all()
        if users:
            raise InvalidInputError("account", name, f"is used by {', '.join(users)}; delete them first")
        self._session.execute(delete(AccountRow).where(AccountRow.id == account_id))

    def lock(self, account_id: UUID) -> None:
        """Hold the account's row until the transaction ends; rows that only refer to it may be added meanwhile."""
        self._session.execute(select(AccountRow.id).where(AccountRow.id == account_id).with_for_update(key_share=True))

    def set_trading_state(self, account_id: UUID, state: TradingState, reason: str | None) -> None:
        """Allow or stop trading."""
        changed = self._session.scalar(
            update(AccountRow)
            .where(AccountRow.id == account_id)
            .values(trading_state=state.value, trading_state_reason=reason, updated_at=func.clock_timestamp())
            .returning(AccountRow.id)
        )
        if changed is None:
            raise _gone(account_id)

    def take_lease(self, account_id: UUID, duration: timedelta) -> Lease | None:
        """Take the lease when it is free or has run out; every holder gets a higher epoch."""
        now = func.clock_timestamp()
        epoch = self._session.scalar(
            update(AccountRow)
            .where(AccountRow.id == account_id, or_(AccountRow.lease_until.is_(None), AccountRow.lease_until < now))
            .values(lease_epoch=AccountRow.lease_epoch + 1, lease_until=now + duration)
            .returning(AccountRow.lease_epoch)
        )
        return Lease(account_id, epoch) if epoch is not None else None

    def renew_lease(self, lease: Lease, duration: timedelta) -> None:
        """Extend the lease from now on."""
        renewed = self._session.scalar(
            update(AccountRow)
            .where(AccountRow.id == lease.account_id, AccountRow.lease_epoch == lease.epoch)
            .values(lease_until=func.clock_timestamp() + duration)
            .returning(AccountRow.id)
        )
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
        held = self._session.scalar(
            select(AccountRow.id)
            .where(AccountRow.id == lease.account_id, AccountRow.lease_epoch == lease.epoch)
            .with_for_update(read=True)
        )
        if held is None:
            raise _lost(lease)


def _lost(lease: Lease) -> LeaseLostError:
    return LeaseLostError(f"another worker holds account {lease.account_id} now; this one writes nothing more")


def _gone(account_id: UUID) -> NotFoundError:
    return NotFoundError("account", str(account_id), "is not there any more; it was deleted meanwhile")


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
