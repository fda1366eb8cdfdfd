"""Order intents and their fills."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import ColumnElement, Numeric, Row, Select, Text, Uuid, case, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.copying import column_values, copy_rows
from rebalancer_pipelines.adapters.postgres.given_rows import among, given_rows
from rebalancer_pipelines.adapters.postgres.tables import FILLS_WITHIN_ORDER, FillRow, OrderIntentRow, RebalanceRow
from rebalancer_pipelines.application.new_id import new_id
from rebalancer_pipelines.domain.errors import LeaseLostError, RebalancerError
from rebalancer_pipelines.domain.order import (
    Fill,
    LiquiditySide,
    Order,
    OrderSide,
    OrderState,
    check_transition,
)
from rebalancer_pipelines.domain.values import ZERO, Currency

_AT_VENUE = [state.value for state in OrderState if state.may_be_at_venue]
_ORDER = OrderIntentRow.__table__.columns
_NEVER_SENT = [state.value for state in (OrderState.PLANNED, OrderState.DENIED, OrderState.VOID)]


class PostgresOrders:
    """Implements `ports.Orders`."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def add(self, orders: Sequence[Order]) -> None:
        """Store new intents; account, portfolio and dry run are their rebalance's."""
        if not orders:
            return
        rebalances = self._session.execute(
            select(RebalanceRow.id, RebalanceRow.account_id, RebalanceRow.portfolio_id, RebalanceRow.dry_run).where(
                among(RebalanceRow.id, {o.rebalance_id for o in orders if o.rebalance_id is not None})
            )
        )
        owners: dict[UUID | None, dict[str, Any]] = {
            row.id: {"account_id": row.account_id, "portfolio_id": row.portfolio_id, "dry_run": row.dry_run}
            for row in rebalances
        }
        copy_rows(
            self._session, OrderIntentRow, [{**order_columns(order), **owners[order.rebalance_id]} for order in orders]
        )

    def add_net(self, order: Order, account_id: UUID, riders: Mapping[UUID, Decimal], *, dry_run: bool) -> None:
        """Store a net order, PLANNED, and let the orders ride on it, each with its part."""
        owner = {"account_id": account_id, "portfolio_id": None, "dry_run": dry_run}
        connection = self._session.connection()
        connection.execute(insert(OrderIntentRow).values(**order_columns(order), **owner))
        part = given_rows("part", id=(Uuid(), list(riders)), quantity=(Numeric(), list(riders.values())))
        connection.execute(
            update(OrderIntentRow)
            .where(OrderIntentRow.id == part.c.id)
            .values(
                state=OrderState.NETTED.value,
                netted_into=order.id,
                netted_quantity=part.c.quantity,
                updated_at=func.clock_timestamp(),
            )
        )

    def riders(self, net_order_id: UUID) -> Sequence[Order]:
        """The orders that ride on a net order, with their fills."""
        return self._load(select(*_ORDER).where(OrderIntentRow.netted_into == net_order_id).order_by(OrderIntentRow.id))

    def fills_of_riders(self, net_order_id: UUID) -> Mapping[UUID, tuple[Fill, ...]]:
        """What each order that rides on a net order has traded."""
        riders = select(OrderIntentRow.id).where(OrderIntentRow.netted_into == net_order_id)
        return self._fills(FillRow.order_intent_id.in_(riders))

    def unsent_net_orders(self, account_id: UUID) -> Sequence[Order]:
        """Net orders of an account that are still PLANNED."""
        return self._load(
            select(*_ORDER).where(
                OrderIntentRow.account_id == account_id,
                OrderIntentRow.rebalance_id.is_(None),
                OrderIntentRow.state == OrderState.PLANNED.value,
            )
        )

    def by_ids(self, order_ids: Collection[UUID]) -> Sequence[Order]:
        """Orders with their fills."""
        return self._load(select(*_ORDER).where(among(OrderIntentRow.id, order_ids)).order_by(OrderIntentRow.id))

    def of_rebalance(self, rebalance_id: UUID) -> Sequence[Order]:
        """All orders with their fills, in the plan's sequence."""
        return self.of_rebalances([rebalance_id])

    def of_rebalances(self, rebalance_ids: Collection[UUID]) -> Sequence[Order]:
        """All orders of several rebalances with their fills, each plan in its sequence."""
        return self._load(
            select(*_ORDER)
            .where(among(OrderIntentRow.rebalance_id, rebalance_ids))
            .order_by(OrderIntentRow.rebalance_id, OrderIntentRow.sequence)
        )

    def book_parts(self, account_id: UUID, parts: Sequence[tuple[Order, Fill]]) -> Sequence[UUID]:
        """Store what orders have traded inside the account or as parts of a net order's fills; returns the fills' ids.

        A PLANNED one is NETTED from then on. Raises `IntegrityError` for a part that was stored before.
        """
        ids = [new_id() for _ in parts]
        copy_rows(
            self._session,
            FillRow,
            [
                {"id": fill_id, "order_intent_id": order.id, "account_id": account_id, **fill_columns(fill)}
                for fill_id, (order, fill) in zip(ids, parts, strict=True)
            ],
        )
        self._session.connection().execute(
            update(OrderIntentRow)
            .where(
                among(OrderIntentRow.id, [order.id for order, _ in parts]),
                OrderIntentRow.state == OrderState.PLANNED.value,
            )
            .values(state=OrderState.NETTED.value, updated_at=func.clock_timestamp())
        )
        return ids

    def end_many(self, ended: Sequence[tuple[Order, OrderState, str | None]]) -> None:
        """End orders that ride on a net order or were never sent, each as given and with its reason."""
        if not ended:
            return
        for order, state, _ in ended:
            check_transition(order.state, state)
        given = given_rows(
            "given",
            id=(Uuid(), [order.id for order, _, _ in ended]),
            was=(Text(), [order.state.value for order, _, _ in ended]),
            state=(Text(), [state.value for _, state, _ in ended]),
            reason=(Text(), [reason for _, _, reason in ended]),
        )
        moved = (
            self._session.connection()
            .scalars(
                update(OrderIntentRow)
                .where(OrderIntentRow.id == given.c.id, OrderIntentRow.state == given.c.was)
                .values(
                    state=given.c.state,
                    reason=func.coalesce(given.c.reason, OrderIntentRow.reason),
                    updated_at=func.clock_timestamp(),
                )
                .returning(OrderIntentRow.id)
            )
            .all()
        )
        if len(moved) != len(ended):
            raise LeaseLostError("an order has been moved meanwhile: another worker settles this account")

    def possibly_at_venue(self, account_id: UUID) -> Sequence[Order]:
        """Orders of real executions whose fate the venue still has to tell, oldest first."""
        return self._load(
            select(*_ORDER)
            .where(
                OrderIntentRow.account_id == account_id,
                OrderIntentRow.state.in_(_AT_VENUE),
                ~OrderIntentRow.dry_run,
            )
            .order_by(OrderIntentRow.created_at, OrderIntentRow.sequence)
        )

    def move(
        self,
        order: Order,
        state: OrderState,
        *,
        quantity: Decimal | None = None,
        limit_price: Decimal | None = None,
        venue_order_id: str | None = None,
        reason: str | None = None,
        not_after: datetime | None = None,
    ) -> Order:
        """Compare-and-set from the state that was read."""
        check_transition(order.state, state)
        given = {
            "quantity": quantity,
            "limit_price": limit_price,
            "venue_order_id": venue_order_id,
            "reason": reason,
            "not_after": not_after,
        }
        changes: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
        moved = self._session.connection().scalar(
            update(OrderIntentRow)
            .where(OrderIntentRow.id == order.id, OrderIntentRow.state == order.state.value)
            .values(state=state.value, updated_at=func.clock_timestamp(), **changes)
            .returning(OrderIntentRow.id)
        )
        if moved is None:
            raise LeaseLostError(
                f"order {order.client_order_id} is no longer {order.state.value}: another worker moved it"
            )
        # What has been booked of it meanwhile counts once it has ended; before that, its next look books the rest.
        fills = self._fills(FillRow.order_intent_id == order.id)[order.id] if state.is_terminal else order.fills
        return replace(order, state=state, fills=fills, **changes)

    def has_venue_order(self, order: Order, venue_order_id: str) -> bool:
        """Whether another order of the same account has this id at the venue."""
        account = select(OrderIntentRow.account_id).where(OrderIntentRow.id == order.id).scalar_subquery()
        other = select(OrderIntentRow.id).where(
            OrderIntentRow.account_id == account,
            OrderIntentRow.venue_order_id == venue_order_id,
            OrderIntentRow.id != order.id,
        )
        return self._session.connection().scalar(other) is not None

    def newest_fill_at(self, account_id: UUID) -> datetime | None:
        """When an order of the account was last filled, dry runs aside."""
        return self._session.scalar(
            select(FillRow.executed_at)
            .join(OrderIntentRow, OrderIntentRow.id == FillRow.order_intent_id)
            .where(
                FillRow.account_id == account_id,
                FillRow.liquidity_side != LiquiditySide.INTERNAL.value,
                ~OrderIntentRow.dry_run,
            )
            .order_by(FillRow.executed_at.desc())
            .limit(1)
        )

    def known_trades(self, account_id: UUID, trade_ids: Collection[str]) -> Collection[str]:
        """Which of these trades are fills of our orders."""
        return set(
            self._session.scalars(
                select(FillRow.trade_id).where(FillRow.account_id == account_id, FillRow.trade_id.in_(trade_ids))
            )
        )

    def count_sent(self, account_id: UUID, since: datetime) -> int:
        """How many orders of the account were sent, or may have been, since then."""
        return self._session.scalars(select(func.count()).where(*_sent(account_id, since))).one()

    def notional_sent(self, account_id: UUID, quote_currency: Currency, since: datetime) -> Decimal:
        """Their fills, and in full at their limit those that may still trade; in quote currency."""
        filled = (
            select(func.coalesce(func.sum(FillRow.notional), ZERO))
            .where(FillRow.order_intent_id == OrderIntentRow.id)
            .scalar_subquery()
        )
        in_full = func.greatest(filled, OrderIntentRow.quantity * OrderIntentRow.limit_price)
        worth = case((OrderIntentRow.state.in_(_AT_VENUE), in_full), else_=filled)
        return self._session.scalars(
            select(func.coalesce(func.sum(worth), ZERO)).where(
                *_sent(account_id, since), OrderIntentRow.quote_currency == quote_currency
            )
        ).one()

    def add_fills(self, order: Order, account_id: UUID, fills: Sequence[Fill]) -> Mapping[str, UUID]:
        """Store fills that are not known yet; returns the ids of the new ones by trade id.

        Raises `RebalancerError` when they add up to more than was ordered: then the venue's word and ours differ.
        """
        if not fills:
            return {}
        statement = (
            insert(FillRow)
            .values([{"order_intent_id": order.id, "account_id": account_id, **fill_columns(fill)} for fill in fills])
            .on_conflict_do_nothing(index_elements=["account_id", "trade_id"])
            .returning(FillRow.trade_id, FillRow.id)
        )
        try:
            return {row.trade_id: row.id for row in self._session.execute(statement)}
        except IntegrityError as error:
            if isinstance(error.orig, psycopg.Error) and error.orig.diag.constraint_name == FILLS_WITHIN_ORDER:
                raise RebalancerError(
                    f"the venue reports more filled for order {order.client_order_id} than its quantity; "
                    "compare the order at the venue before anything else is traded there"
                ) from error
            raise

    def _load(self, statement: Select[Any]) -> list[Order]:
        # Straight from the connection: they are no entities that the session would have to keep.
        loaded = self._session.connection().execute(statement).all()
        fills = self._fills(among(FillRow.order_intent_id, [row.id for row in loaded]))
        return [_order(row, fills[row.id]) for row in loaded]

    def _fills(self, condition: ColumnElement[bool]) -> Mapping[UUID, tuple[Fill, ...]]:
        """Fills by their order's id, which has none where it is not there."""
        found: dict[UUID, tuple[Fill, ...]] = defaultdict(tuple)
        rows = self._session.connection().execute(
            select(*FillRow.__table__.columns).where(condition).order_by(FillRow.executed_at, FillRow.trade_id)
        )
        for row in rows:
            found[row.order_intent_id] += (_fill(row),)
        return found


def _sent(account_id: UUID, since: datetime) -> tuple[ColumnElement[bool], ...]:
    # By the last change, so that an order counts too long rather than too short: nothing is kept of when it left.
    return (
        OrderIntentRow.account_id == account_id,
        ~OrderIntentRow.dry_run,
        OrderIntentRow.updated_at >= since,
        OrderIntentRow.state.not_in(_NEVER_SENT),
        # What rides on a net order was not sent itself.
        OrderIntentRow.not_after.is_not(None),
    )


def order_columns(order: Order) -> dict[str, Any]:
    """What the table has of a new order; owner, dry run and what became of it aside."""
    return {
        "id": order.id,
        "rebalance_id": order.rebalance_id,
        "sequence": order.sequence,
        "client_order_id": order.client_order_id,
        "symbol": order.symbol,
        "base_currency": order.base_currency,
        "quote_currency": order.quote_currency,
        "side": order.side.value,
        "quantity": order.quantity,
        "price": order.price,
        "limit_price": order.limit_price,
        "state": order.state.value,
        "not_after": order.not_after,
    }


def fill_columns(fill: Fill) -> dict[str, Any]:
    """What the table has of a fill, its order and account aside."""
    return {**column_values(fill), "liquidity_side": fill.liquidity_side.value}


def _order(row: Row[Any], fills: tuple[Fill, ...]) -> Order:
    return Order(
        id=row.id,
        rebalance_id=row.rebalance_id,
        sequence=row.sequence,
        client_order_id=row.client_order_id,
        symbol=row.symbol,
        base_currency=Currency(row.base_currency),
        quote_currency=Currency(row.quote_currency),
        side=OrderSide(row.side),
        quantity=row.quantity,
        price=row.price,
        limit_price=row.limit_price,
        state=OrderState(row.state),
        venue_order_id=row.venue_order_id,
        reason=row.reason,
        not_after=row.not_after,
        netted_into=row.netted_into,
        netted_quantity=row.netted_quantity,
        fills=fills,
    )


def _fill(row: Row[Any]) -> Fill:
    return Fill(
        trade_id=row.trade_id,
        quantity=row.quantity,
        price=row.price,
        notional=row.notional,
        fee=row.fee,
        fee_currency=Currency(row.fee_currency),
        liquidity_side=LiquiditySide(row.liquidity_side),
        executed_at=row.executed_at,
    )
