"""Portfolios with a drift band, weighed by the database: one query however many there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.tables import DriftWatchRow
from rebalancer_pipelines.domain.values import Currency

_WATCHED = """
    watched AS MATERIALIZED (
        SELECT id, account_id, valuation_currency, drift_band, drift_band_kind
        FROM portfolio p JOIN portfolio_due due ON due.portfolio_id = p.id
        WHERE due.is_scheduled AND due.batch_id IS NULL AND drift_band IS NOT NULL
          AND (CAST(:accounts AS uuid[]) IS NULL OR account_id = ANY (CAST(:accounts AS uuid[])))
          AND (NOT :claimed_before OR EXISTS (SELECT FROM drift_watch d WHERE d.portfolio_id = p.id))
    )
"""

_WEIGHED = f"""
    WITH {_WATCHED}, price AS (
        SELECT * FROM unnest(CAST(:symbols AS text[]), CAST(:mids AS numeric[])) AS p (symbol, mid)
    ), share AS (
        -- A weight that is not given takes an equal share of the rest.
        SELECT portfolio_id,
               greatest(100 - sum(coalesce(weight, 0)), 0) / nullif(count(*) FILTER (WHERE weight IS NULL), 0) AS rest
        FROM target_weight WHERE portfolio_id IN (SELECT id FROM watched) GROUP BY portfolio_id
    ), target AS (
        SELECT t.portfolio_id, t.currency, coalesce(t.weight, s.rest) AS target
        FROM target_weight t JOIN share s USING (portfolio_id)
    ), book AS (
        SELECT portfolio_id, currency, sum(amount) AS units
        FROM ledger_entry WHERE portfolio_id IN (SELECT id FROM watched) GROUP BY portfolio_id, currency
    ), managed AS (
        SELECT w.id, m.currency, m.target, coalesce(b.units, 0) AS units,
               coalesce(b.units, 0) * CASE WHEN w.valuation_currency = m.currency THEN 1 ELSE price.mid END AS value
        FROM watched w
        JOIN (
            SELECT portfolio_id, currency, target FROM target
            UNION ALL
            SELECT id, valuation_currency, 0 FROM watched
            WHERE NOT EXISTS (
                SELECT FROM target t WHERE t.portfolio_id = watched.id AND t.currency = watched.valuation_currency
            )
        ) m ON m.portfolio_id = w.id
        LEFT JOIN book b ON b.portfolio_id = w.id AND b.currency = m.currency
        LEFT JOIN price ON price.symbol = m.currency || '/' || w.valuation_currency
    ), worth AS (
        SELECT id, sum(value) AS total FROM managed GROUP BY id
        HAVING count(*) FILTER (WHERE value IS NULL) = 0 AND sum(value) > 0
    ), near AS (
        SELECT DISTINCT w.id
        FROM watched w JOIN worth USING (id) JOIN managed m USING (id)
        WHERE abs(m.value * 100 - m.target * worth.total) > :fraction * worth.total * CASE
            WHEN w.drift_band_kind = 'relative' THEN w.drift_band * m.target / 100 ELSE w.drift_band END
    )
"""  # noqa: S608 - a constant of this module
"""Of portfolios that have all their prices: what they are `worth`, and which are `near` the edge of their band."""

_NEAR_THE_EDGE = text(
    f"""
    {_WEIGHED}
    SELECT near.id, m.currency, m.units FROM near JOIN managed m USING (id) ORDER BY near.id
    """  # noqa: S608 - a constant of this module
)

_WELL_INSIDE = text(
    f"""
    {_WEIGHED}
    SELECT id FROM worth WHERE id NOT IN (SELECT id FROM near)
    """  # noqa: S608 - a constant of this module
)

_SYMBOLS = text(
    f"""
    WITH {_WATCHED}
    SELECT DISTINCT w.account_id, t.currency || '/' || w.valuation_currency AS symbol
    FROM watched w JOIN target_weight t ON t.portfolio_id = w.id
    WHERE t.currency <> w.valuation_currency
    ORDER BY 1, 2
    """  # noqa: S608 - a constant of this module
)


class PostgresDriftWatch:
    """Implements `ports.DriftWatch`."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def near_the_edge(
        self, account_ids: Collection[UUID], prices: Mapping[str, Decimal], *, fraction: Decimal
    ) -> Sequence[tuple[UUID, Mapping[Currency, Decimal]]]:
        """Portfolios some weight of which is further from its target than a fraction of the band."""
        rows = self._session.execute(_NEAR_THE_EDGE, _weights_of(account_ids, prices, fraction, claimed_before=False))
        books: dict[UUID, dict[Currency, Decimal]] = defaultdict(dict)
        for portfolio_id, currency, units in rows:
            books[portfolio_id][Currency(currency)] = units
        return list(books.items())

    def well_inside(
        self, account_ids: Collection[UUID], prices: Mapping[str, Decimal], *, fraction: Decimal
    ) -> Collection[UUID]:
        """Of the claimed ones, those that were weighed and stand no further from any target than that."""
        weights = _weights_of(account_ids, prices, fraction, claimed_before=True)
        return set(self._session.scalars(_WELL_INSIDE, weights))

    def watched_symbols(self) -> Sequence[tuple[UUID, Collection[str]]]:
        """Accounts that have portfolios with a band, and the markets that these need."""
        symbols: dict[UUID, list[str]] = defaultdict(list)
        for account_id, symbol in self._session.execute(_SYMBOLS, {"accounts": None, "claimed_before": False}):
            symbols[account_id].append(symbol)
        return list(symbols.items())

    def claimed(self) -> Mapping[UUID, datetime]:
        """Portfolios that were claimed for having left their bands."""
        rows = self._session.execute(select(DriftWatchRow.portfolio_id, DriftWatchRow.claimed_at))
        return {row.portfolio_id: row.claimed_at for row in rows}

    def remember(self, portfolio_ids: Collection[UUID], now: datetime) -> None:
        """Note when they were claimed."""
        if not portfolio_ids:
            return
        statement = insert(DriftWatchRow).values([{"portfolio_id": each, "claimed_at": now} for each in portfolio_ids])
        self._session.execute(
            statement.on_conflict_do_update(index_elements=["portfolio_id"], set_={"claimed_at": now})
        )

    def forget(self, portfolio_ids: Collection[UUID]) -> None:
        """Drop what was noted of them."""
        self._session.execute(delete(DriftWatchRow).where(DriftWatchRow.portfolio_id.in_(portfolio_ids)))


def _weights_of(
    account_ids: Collection[UUID], prices: Mapping[str, Decimal], fraction: Decimal, *, claimed_before: bool
) -> dict[str, object]:
    """What weighing needs. `claimed_before`: only portfolios that were claimed for having left their bands."""
    return {
        "accounts": list(account_ids),
        "symbols": list(prices),
        "mids": list(prices.values()),
        "fraction": fraction,
        "claimed_before": claimed_before,
    }
