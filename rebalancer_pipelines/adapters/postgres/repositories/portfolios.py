"""Portfolios with their target weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import DateTime, Select, Uuid, case, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.given_rows import among, given_rows
from rebalancer_pipelines.adapters.postgres.tables import OrderIntentRow, PortfolioDueRow, PortfolioRow, TargetWeightRow
from rebalancer_pipelines.domain.calendar import RebalanceInterval
from rebalancer_pipelines.domain.drift import DriftBand, DriftBandKind
from rebalancer_pipelines.domain.errors import InvalidInputError, NotFoundError
from rebalancer_pipelines.domain.order import OrderState
from rebalancer_pipelines.domain.portfolio import Portfolio, RebalancePolicy
from rebalancer_pipelines.domain.rebalance import RebalanceTimes
from rebalancer_pipelines.domain.values import Currency
from rebalancer_pipelines.domain.weights import TargetWeights

_MOMENT = DateTime(timezone=True)
_UNFINISHED = [state.value for state in OrderState if not state.is_terminal]


class PostgresPortfolios:
    """Implements `ports.Portfolios`."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def add(self, portfolio: Portfolio) -> None:
        """Store a new portfolio."""
        stored = self._session.scalar(
            insert(PortfolioRow)
            .values(id=portfolio.id, **_columns(portfolio))
            .on_conflict_do_nothing(index_elements=[PortfolioRow.name])
            .returning(PortfolioRow.id)
        )
        if stored is None:
            raise InvalidInputError("name", portfolio.name, "is taken by another portfolio; choose another name")
        # The database has added the row of its due times.
        self._session.execute(
            update(PortfolioDueRow)
            .where(PortfolioDueRow.portfolio_id == portfolio.id)
            .values(next_rebalance_at=portfolio.next_rebalance_at)
        )
        self._store_weights(portfolio)

    def get(self, name: str) -> Portfolio:
        """The portfolio of that name."""
        found = self._load(select(PortfolioRow).where(PortfolioRow.name == name))
        if not found:
            names = self._session.scalars(select(PortfolioRow.name).order_by(PortfolioRow.name).limit(20)).all()
            there = f"there is {', '.join(names)}" if names else "create one with 'rebalancer portfolio create'"
            raise NotFoundError("portfolio", name, f"is unknown; {there}")
        return found[0]

    def by_id(self, portfolio_id: UUID) -> Portfolio:
        """The portfolio with that id."""
        found = self._load(select(PortfolioRow).where(PortfolioRow.id == portfolio_id))
        if not found:
            raise _gone(str(portfolio_id))
        return found[0]

    def all(self) -> Sequence[Portfolio]:
        """Every portfolio, by name."""
        return self._load(select(PortfolioRow))

    def on_account(self, account_id: UUID) -> Sequence[Portfolio]:
        """The portfolios that share an account, by name."""
        return self._load(select(PortfolioRow).where(PortfolioRow.account_id == account_id))

    def count_on_account(self, account_id: UUID) -> int:
        """How many share an account."""
        return self._session.scalars(select(func.count()).where(PortfolioRow.account_id == account_id)).one()

    def update(self, portfolio: Portfolio) -> None:
        """Replace the stored fields and weights; the times of its rebalances are left to `mark_rebalanced`."""
        columns = _columns(portfolio)
        del columns["last_rebalanced_at"]
        changed = self._session.scalar(
            update(PortfolioRow).where(PortfolioRow.id == portfolio.id).values(**columns).returning(PortfolioRow.id)
        )
        if changed is None:
            raise _gone(portfolio.name)
        self._session.execute(delete(TargetWeightRow).where(TargetWeightRow.portfolio_id == portfolio.id))
        self._store_weights(portfolio)

    def delete(self, portfolio_id: UUID) -> None:
        """Delete with its history; the ledger keeps its entries, which become unallocated."""
        # The locks hold everyone off who would add an order or send a planned one while this looks and deletes.
        name = self._session.scalar(select(PortfolioRow.name).where(PortfolioRow.id == portfolio_id).with_for_update())
        unfinished = self._session.execute(
            select(OrderIntentRow.client_order_id, OrderIntentRow.state)
            .where(
                OrderIntentRow.portfolio_id == portfolio_id,
                OrderIntentRow.state.in_(_UNFINISHED),
                ~OrderIntentRow.dry_run,
            )
            .order_by(OrderIntentRow.id)
            .with_for_update()
        )
        at_venue = [
            order
            for order, state in unfinished
            if OrderState(state).may_be_at_venue or OrderState(state) is OrderState.NETTED
        ]
        if at_venue:
            raise InvalidInputError(
                "portfolio", name, f"has order {at_venue[0]} at its venue; run it once to settle that"
            )
        self._session.execute(delete(PortfolioRow).where(PortfolioRow.id == portfolio_id))

    def mark_rebalanced(self, times: Sequence[RebalanceTimes]) -> None:
        """Move portfolios' times and end the claims that are answered."""
        if not times:
            return
        given = given_rows(
            "given",
            id=(Uuid(), [each.portfolio_id for each in times]),
            last_at=(_MOMENT, [each.last_rebalanced_at for each in times]),
            next_at=(_MOMENT, [each.next_rebalance_at for each in times]),
            answered_until=(_MOMENT, [each.answered_until for each in times]),
        )
        # Portfolios first, as whoever changes one does: its trigger then writes the due time. The other way round, two
        # would wait for each other.
        self._session.execute(
            update(PortfolioRow)
            .where(PortfolioRow.id == given.c.id)
            .values(
                last_rebalanced_at=func.coalesce(given.c.last_at, PortfolioRow.last_rebalanced_at),
                updated_at=func.clock_timestamp(),
            )
        )
        still_open = PortfolioDueRow.scheduled_for > given.c.answered_until
        claim = {
            column: case((or_(given.c.answered_until.is_(None), still_open), column), else_=None)
            for column in (
                PortfolioDueRow.batch_id,
                PortfolioDueRow.triggered_by,
                PortfolioDueRow.scheduled_for,
                PortfolioDueRow.claimed_at,
            )
        }
        self._session.execute(
            update(PortfolioDueRow)
            .where(PortfolioDueRow.portfolio_id == given.c.id)
            .values(
                {
                    PortfolioDueRow.next_rebalance_at: func.coalesce(
                        given.c.next_at, PortfolioDueRow.next_rebalance_at
                    ),
                    **claim,
                }
            )
        )

    def count_failure(self, portfolio_id: UUID) -> int:
        """Count one more failure and return how many there were in a row."""
        return self._session.scalars(
            update(PortfolioRow)
            .where(PortfolioRow.id == portfolio_id)
            .values(failures_in_a_row=PortfolioRow.failures_in_a_row + 1)
            .returning(PortfolioRow.failures_in_a_row)
        ).one()

    def forgive_failures(self, portfolio_id: UUID) -> None:
        """Count failures from nothing again."""
        self._session.execute(
            update(PortfolioRow)
            .where(PortfolioRow.id == portfolio_id, PortfolioRow.failures_in_a_row > 0)
            .values(failures_in_a_row=0)
        )

    def pause(self, portfolio_id: UUID, reason: str, now: datetime) -> None:
        """Keep everything that runs by itself away from it."""
        self._session.execute(
            update(PortfolioRow).where(PortfolioRow.id == portfolio_id).values(paused_at=now, paused_reason=reason)
        )

    def resume(self, portfolio_id: UUID) -> None:
        """Let it be rebalanced by itself again, and count failures from nothing."""
        self._session.execute(
            update(PortfolioRow)
            .where(PortfolioRow.id == portfolio_id)
            .values(paused_at=None, paused_reason=None, failures_in_a_row=0)
        )

    def by_ids(self, portfolio_ids: Collection[UUID]) -> Sequence[Portfolio]:
        """Those of the portfolios that are there, by name."""
        return self._load(select(PortfolioRow).where(among(PortfolioRow.id, portfolio_ids)))

    def _store_weights(self, portfolio: Portfolio) -> None:
        self._session.execute(
            insert(TargetWeightRow),
            [
                {"portfolio_id": portfolio.id, "currency": currency, "weight": weight}
                for currency, weight in portfolio.weights.given
            ],
        )

    def _load(self, statement: Select[PortfolioRow]) -> list[Portfolio]:
        rows = self._session.execute(
            statement.join(PortfolioDueRow, PortfolioDueRow.portfolio_id == PortfolioRow.id)
            .add_columns(PortfolioDueRow.next_rebalance_at)
            .order_by(PortfolioRow.name)
        ).all()
        weights = self._weights([row.id for row, _ in rows])
        return [_portfolio(row, weights[row.id], next_rebalance_at) for row, next_rebalance_at in rows]

    def _weights(self, portfolio_ids: Collection[UUID]) -> dict[UUID, dict[Currency, Decimal | None]]:
        found: dict[UUID, dict[Currency, Decimal | None]] = defaultdict(dict)
        statement = select(TargetWeightRow.portfolio_id, TargetWeightRow.currency, TargetWeightRow.weight).where(
            among(TargetWeightRow.portfolio_id, portfolio_ids)
        )
        for portfolio_id, currency, weight in self._session.connection().execute(statement):
            found[portfolio_id][Currency(currency)] = weight
        return found


def _gone(portfolio: str) -> NotFoundError:
    return NotFoundError("portfolio", portfolio, "is not there any more; it was deleted meanwhile")


def _columns(portfolio: Portfolio) -> dict[str, Any]:
    band = portfolio.policy.band
    return {
        "name": portfolio.name,
        "description": portfolio.description,
        "account_id": portfolio.account_id,
        "valuation_currency": portfolio.valuation_currency,
        "rebalance_enabled": portfolio.enabled,
        "rebalance_interval": portfolio.interval.value,
        "rebalance_threshold": portfolio.policy.threshold,
        "drift_band": band.width if band else None,
        "drift_band_kind": band.kind.value if band else DriftBandKind.ABSOLUTE.value,
        "max_orders_per_rebalance": portfolio.policy.max_orders,
        "cash_reserve": portfolio.policy.cash_reserve,
        "time_zone": portfolio.time_zone.key,
        "anchor_at": portfolio.anchor_at,
        "last_rebalanced_at": portfolio.last_rebalanced_at,
        "created_at": portfolio.created_at,
        "updated_at": portfolio.updated_at,
    }


def _portfolio(
    row: PortfolioRow, weights: dict[Currency, Decimal | None], next_rebalance_at: datetime | None
) -> Portfolio:
    return Portfolio(
        id=row.id,
        name=row.name,
        description=row.description,
        account_id=row.account_id,
        valuation_currency=Currency(row.valuation_currency),
        weights=TargetWeights.of(weights),
        policy=RebalancePolicy(
            threshold=row.rebalance_threshold,
            band=DriftBand(row.drift_band, DriftBandKind(row.drift_band_kind)) if row.drift_band else None,
            max_orders=row.max_orders_per_rebalance,
            cash_reserve=row.cash_reserve,
        ),
        interval=RebalanceInterval(row.rebalance_interval),
        time_zone=ZoneInfo(row.time_zone),
        enabled=row.rebalance_enabled,
        anchor_at=row.anchor_at,
        last_rebalanced_at=row.last_rebalanced_at,
        next_rebalance_at=next_rebalance_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
        paused_at=row.paused_at,
        paused_reason=row.paused_reason,
        failures_in_a_row=row.failures_in_a_row,
    )
