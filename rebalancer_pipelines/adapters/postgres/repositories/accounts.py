"""Accounts and their leases."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Interval, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.tables import AccountRow, Base, OrderIntentRow, PortfolioRow
from rebalancer_pipelines.domain.account_settings import parse_settings
from rebalancer_pipelines.domain.errors import InvalidInputError, LeaseLostError, NotFoundError
from rebalancer_pipelines.domain.portfolio import PAPER_VENUE, Account, CredentialSource, TradingState
from rebalancer_pipelines.domain.rebalance import Lease

# What every step of a rebalance runs, put together once: SQLAlchemy takes longer for that than PostgreSQL for the rest.
_ACCOUNTS = Base.metadata.tables[AccountRow.__tablename__]
_IS_HELD = and_(_ACCOUNTS.c.id == bindparam("account"), _ACCOUNTS.c.lease_epoch == bindparam("epoch"))
_FENCE = select(_ACCOUNTS.c.id).where(_IS_HELD).with_for_update(read=True)
_RENEW = (
    update(_ACCOUNTS)
    .where(_IS_HELD)
    .values(lease_until=func.clock_timestamp() + bindparam("duration", type_=Interval))
    .returning(_ACCOUNTS.c.id)
)


class PostgresAccounts:
    """Implements `ports.Accounts`. Leases run by the database's clock, which all workers share."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def add(
        self,
        name: str,
        venue: str,
        price_source: str,
        now: datetime,
        *,
        settings: Mapping[str, str] | None = None,
        endpoint: str | None = None,
        credentials: CredentialSource | None = None,
        key_fingerprint: str | None = None,
    ) -> Account:
        """Store a new account."""
        statement = (
            insert(AccountRow)
            .values(
                name=name,
                venue=venue,
                price_source=price_source,
                settings=dict(settings or {}),
                endpoint=endpoint,
                credentials=_stored_credentials(credentials),
                key_fingerprint=key_fingerprint,
                created_at=now,
                updated_at=now,
            )
            .on_conflict_do_nothing()
            .returning(AccountRow)
        )
        row = self._session.scalar(statement)
        if row is None:
            raise self._refusal(name, key_fingerprint)
        return _account(row)

    def set_settings(self, account_id: UUID, texts: Mapping[str, str]) -> None:
        """Replace what was set by hand."""
        self._change(account_id, settings=dict(texts))

    def settings_set(self, account_id: UUID) -> Mapping[str, str]:
        """What was set by hand."""
        texts = self._session.scalar(select(AccountRow.settings).where(AccountRow.id == account_id))
        if texts is None:
            raise _gone(account_id)
        return texts

    def set_live_trading(self, account_id: UUID, *, allowed: bool) -> None:
        """Allow or forbid trading real money."""
        self._change(account_id, live_trading=allowed)

    def set_key(self, account_id: UUID, credentials: CredentialSource, key_fingerprint: str) -> None:
        """Give an account another key."""
        # Of two accounts that take the same key at once, the second waits here and then sees the first.
        self._session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key_fingerprint, 0))))
        owner = self._session.scalar(
            select(AccountRow.name).where(AccountRow.key_fingerprint == key_fingerprint, AccountRow.id != account_id)
        )
        if owner is not None:
            raise _key_taken(owner)
        self._change(account_id, credentials=_stored_credentials(credentials), key_fingerprint=key_fingerprint)

    def mark_reconciled(self, account_id: UUID, moment: datetime) -> None:
        """Note until when the books have every movement at the venue."""
        self._change(account_id, reconciled_at=moment)

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
        # Their portfolios' orders went with the portfolios; what netted them is left.
        self._session.execute(delete(OrderIntentRow).where(OrderIntentRow.account_id == account_id))
        self._session.execute(delete(AccountRow).where(AccountRow.id == account_id))

    def lock(self, account_id: UUID) -> None:
        """Hold the account's row until the transaction ends; rows that only refer to it may be added meanwhile."""
        self._session.execute(select(AccountRow.id).where(AccountRow.id == account_id).with_for_update(key_share=True))

    def set_trading_state(self, account_id: UUID, state: TradingState, reason: str | None, now: datetime) -> None:
        """Allow or stop trading; what failed before trading was allowed counts no more."""
        resumed = {"resumed_at": now} if state is TradingState.ACTIVE else {}
        self._change(account_id, trading_state=state.value, trading_state_reason=reason, **resumed)

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
        renewed = self._session.scalar(_RENEW, {**_held(lease), "duration": duration})
        if renewed is None:
            raise _lost(lease)

    def release_lease(self, lease: Lease) -> None:
        """Give the lease back; the epoch moves on, so nothing more can be written under it."""
        self._session.execute(
            update(AccountRow)
            .where(AccountRow.id == lease.account_id, AccountRow.lease_epoch == lease.epoch)
            .values(lease_until=None, lease_epoch=AccountRow.lease_epoch + 1)
        )

    def any_held(self, account_ids: Collection[UUID]) -> bool:
        """Whether the lease of one of these accounts runs."""
        held = select(AccountRow.id).where(
            AccountRow.id.in_(account_ids), AccountRow.lease_until > func.clock_timestamp()
        )
        return self._session.scalar(held.limit(1)) is not None

    def fence(self, lease: Lease) -> None:
        """Hold the epoch until the transaction ends: a takeover waits, a stale epoch is refused."""
        held = self._session.scalar(_FENCE, _held(lease))
        if held is None:
            raise _lost(lease)

    def _change(self, account_id: UUID, **changes: Any) -> None:
        changed = self._session.scalar(
            update(AccountRow)
            .where(AccountRow.id == account_id)
            .values(updated_at=func.clock_timestamp(), **changes)
            .returning(AccountRow.id)
        )
        if changed is None:
            raise _gone(account_id)

    def _refusal(self, name: str, key_fingerprint: str | None) -> InvalidInputError:
        """Why an account could not be stored."""
        holders = select(AccountRow.name).where(AccountRow.key_fingerprint == key_fingerprint, AccountRow.name != name)
        owner = self._session.scalar(holders) if key_fingerprint is not None else None
        if owner is None:
            return InvalidInputError("name", name, "is taken by another account; choose another name")
        return _key_taken(owner)


def _held(lease: Lease) -> dict[str, Any]:
    return {"account": lease.account_id, "epoch": lease.epoch}


def _key_taken(owner: str) -> InvalidInputError:
    return InvalidInputError(
        "key_env",
        None,
        f"names the key of account {owner} already; a key serves one account, so make a second one at the venue",
    )


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
        settings=parse_settings(row.settings, is_paper=row.venue == PAPER_VENUE),
        live_trading=row.live_trading,
        endpoint=row.endpoint,
        credentials=None if row.credentials is None else CredentialSource(**row.credentials),
        reconciled_at=row.reconciled_at,
        resumed_at=row.resumed_at,
    )


def _stored_credentials(credentials: CredentialSource | None) -> dict[str, str] | None:
    if credentials is None:
        return None
    return {part: text for part, text in asdict(credentials).items() if text is not None}
