"""What portfolios were worth day by day, reckoned by the database: NUMERIC sums and products are exact."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.tables import DailyPortfolioValueRow, PortfolioRow
from rebalancer_pipelines.domain.daily_value import BuiltDay, MissingCloses, ValueCurve
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.history_basis import HistoryBasis
from rebalancer_pipelines.domain.ledger import FLOWS
from rebalancer_pipelines.domain.rehearsal import REHEARSED_YEAR
from rebalancer_pipelines.domain.values import Currency

_BUILDERS_TURN = "daily_portfolio_value"
"""Names the lock under which days are built; nobody but another builder waits for it."""

_CHOSEN = """
    chosen AS MATERIALIZED (
        SELECT portfolio.id AS portfolio_id, portfolio.name, valuation_currency, price_source
        FROM portfolio JOIN account ON account.id = account_id
        WHERE portfolio.id = ANY (CAST(:portfolios AS uuid[]))
    )
"""

_SPAN = """
    span AS (
        -- Every book from its first entry on; a rehearsed one ends with its year.
        SELECT portfolio_id, basis, first + number AS day
        FROM (SELECT portfolio_id, basis, min(day) AS first FROM moved GROUP BY portfolio_id, basis) AS book
        CROSS JOIN LATERAL generate_series(
            0,
            CASE basis
                WHEN 'rehearsed' THEN least(CAST(:last AS date), CAST(:rehearsed_until AS date))
                ELSE CAST(:last AS date)
            END - first
        ) AS number
    )
"""

_WITHIN = """
    day BETWEEN CAST(:first AS date) AND CAST(:last AS date)
    AND (basis <> 'rehearsed' OR day <= CAST(:rehearsed_until AS date))
"""

# Subqueries, since PostgreSQL cannot know how many days and currencies there will be, and would join them in a way that
# suits a handful of each.
_CLOSE = """
    SELECT close FROM price_bar
    WHERE price_bar.price_source = chosen.price_source
        AND symbol = currency || '/' || chosen.valuation_currency
        AND timeframe = '1d'
        AND opened_at = CAST(day AS timestamp) AT TIME ZONE 'UTC'
"""
_ANY_BAR = """
    SELECT FROM price_bar
    WHERE price_bar.price_source = chosen.price_source AND symbol = currency || '/' || chosen.valuation_currency
"""

_BUILD = text(
    f"""
    WITH {_CHOSEN}, moved AS MATERIALIZED (
        -- What a day did to a currency of a book; all from before the first day counts as done the day before it.
        SELECT
            portfolio_id,
            basis,
            currency,
            greatest(CAST(occurred_at AT TIME ZONE 'UTC' AS date), CAST(:first AS date) - 1) AS day,
            sum(amount) AS amount,
            count(*) AS entries,
            coalesce(sum(amount) FILTER (WHERE amount > 0 AND kind = ANY (CAST(:flows AS text[]))), 0) AS came,
            coalesce(-sum(amount) FILTER (WHERE amount < 0 AND kind = ANY (CAST(:flows AS text[]))), 0) AS went,
            bool_or(kind = 'fill') AS has_fill
        FROM book_entry
        WHERE portfolio_id = ANY (CAST(:portfolios AS uuid[])) AND occurred_at < :ends_at
        GROUP BY 1, 2, 3, 4
    ), {_SPAN}, each_day AS (
        SELECT portfolio_id, basis, currency, day, amount, entries, came, went, has_fill FROM moved
        UNION ALL
        SELECT portfolio_id, basis, currency, day, 0, 0, 0, 0, false
        FROM span
        JOIN (SELECT DISTINCT portfolio_id, basis, currency FROM moved) AS known USING (portfolio_id, basis)
    ), held AS (
        SELECT
            portfolio_id,
            basis,
            currency,
            day,
            sum(sum(amount)) OVER so_far AS units,
            sum(sum(entries)) OVER so_far AS entry_count,
            bool_or(bool_or(has_fill)) OVER so_far AS was_traded,
            sum(came) AS came,
            sum(went) AS went,
            sum(entries) > 0 AS has_moved
        FROM each_day
        GROUP BY portfolio_id, basis, currency, day
        WINDOW so_far AS (PARTITION BY portfolio_id, basis, currency ORDER BY day ROWS UNBOUNDED PRECEDING)
    ), priced AS MATERIALIZED (
        SELECT
            held.*,
            chosen.name,
            valuation_currency,
            CASE currency WHEN valuation_currency THEN 1 ELSE ({_CLOSE}) END AS price,
            -- What the program has traded has a market, whether anybody has collected its prices or not.
            was_traded OR EXISTS ({_ANY_BAR}) AS has_market
        FROM held
        JOIN chosen USING (portfolio_id)
        WHERE {_WITHIN}
    ), summed AS (
        SELECT
            portfolio_id,
            basis,
            day,
            name,
            valuation_currency,
            coalesce(
                jsonb_agg(currency ORDER BY currency COLLATE "C") FILTER (
                    WHERE price IS NULL AND has_market AND (units <> 0 OR came <> 0 OR went <> 0)
                ),
                '[]'
            ) AS missing,
            coalesce(sum(units * price), 0) AS value,
            coalesce(sum(came * price), 0) AS inflow,
            coalesce(sum(went * price), 0) AS outflow,
            CAST(sum(entry_count) AS bigint) AS entry_count
        FROM priced
        GROUP BY 1, 2, 3, 4, 5
    ), valued AS MATERIALIZED (
        -- Without trailing zeros, so that equal numbers are equal bytes.
        SELECT
            portfolio_id,
            basis,
            day,
            name,
            valuation_currency,
            CASE missing WHEN '[]' THEN trim_scale(value) END AS value,
            CASE missing WHEN '[]' THEN trim_scale(inflow) END AS inflow,
            CASE missing WHEN '[]' THEN trim_scale(outflow) END AS outflow,
            missing,
            entry_count
        FROM summed
    ), new_value AS (
        INSERT INTO daily_portfolio_value AS stored
            (portfolio_id, basis, day, valuation_currency, value, inflow, outflow, missing, entry_count)
        SELECT
            portfolio_id, basis, day, valued.valuation_currency, valued.value, valued.inflow, valued.outflow,
            valued.missing, valued.entry_count
        FROM valued
        LEFT JOIN daily_portfolio_value AS was USING (portfolio_id, basis, day)
        WHERE was.entry_count IS NULL OR (
            was.valuation_currency, was.value, was.inflow, was.outflow, was.missing, was.entry_count
        ) IS DISTINCT FROM (
            valued.valuation_currency, valued.value, valued.inflow, valued.outflow, valued.missing, valued.entry_count
        )
        ON CONFLICT (portfolio_id, basis, day) DO UPDATE SET
            valuation_currency = excluded.valuation_currency,
            value = excluded.value,
            inflow = excluded.inflow,
            outflow = excluded.outflow,
            missing = excluded.missing,
            entry_count = excluded.entry_count
        RETURNING portfolio_id, basis, day
    ), holding AS (
        -- What was sold on a day is shown with its close, too.
        SELECT portfolio_id, basis, day, currency, trim_scale(units) AS units, trim_scale(price) AS price
        FROM priced
        WHERE units <> 0 OR has_moved
    ), new_holding AS (
        INSERT INTO daily_holding AS stored (portfolio_id, basis, day, currency, units, price)
        SELECT portfolio_id, basis, day, currency, holding.units, holding.price
        FROM holding
        LEFT JOIN daily_holding AS was USING (portfolio_id, basis, day, currency)
        WHERE was.units IS NULL OR (was.units, was.price) IS DISTINCT FROM (holding.units, holding.price)
        ON CONFLICT (portfolio_id, basis, day, currency) DO UPDATE SET units = excluded.units, price = excluded.price
        RETURNING portfolio_id, basis, day
    ), old_holding AS (
        DELETE FROM daily_holding AS was
        USING priced
        WHERE (was.portfolio_id, was.basis, was.day, was.currency)
                = (priced.portfolio_id, priced.basis, priced.day, priced.currency)
            AND priced.units = 0
            AND NOT has_moved
        RETURNING was.portfolio_id, was.basis, was.day
    ), changed AS (
        SELECT * FROM new_value UNION SELECT * FROM new_holding UNION SELECT * FROM old_holding
    )
    SELECT
        day,
        count(*) AS books,
        count(*) FILTER (WHERE (portfolio_id, basis, day) IN (SELECT * FROM changed)) AS changed,
        coalesce(
            jsonb_agg(jsonb_build_array(name, basis, missing) ORDER BY name, basis) FILTER (WHERE missing <> '[]'), '[]'
        ) AS missing
    FROM valued
    GROUP BY day
    ORDER BY day
    """  # noqa: S608 - a constant of this module
)

_OUTDATED = text(
    f"""
    WITH {_CHOSEN}, moved AS MATERIALIZED (
        SELECT portfolio_id, basis, CAST(occurred_at AT TIME ZONE 'UTC' AS date) AS day, count(*) AS entries
        FROM book_entry
        WHERE portfolio_id = ANY (CAST(:portfolios AS uuid[])) AND occurred_at < :ends_at
        GROUP BY 1, 2, 3
    ), {_SPAN}, counted AS (
        SELECT portfolio_id, basis, day, sum(sum(entries)) OVER so_far AS entry_count
        FROM (
            SELECT portfolio_id, basis, day, entries FROM moved
            UNION ALL
            SELECT portfolio_id, basis, day, 0 FROM span
        ) AS each_day
        GROUP BY portfolio_id, basis, day
        WINDOW so_far AS (PARTITION BY portfolio_id, basis ORDER BY day ROWS UNBOUNDED PRECEDING)
    )
    SELECT day
    FROM counted
    JOIN chosen USING (portfolio_id)
    LEFT JOIN daily_portfolio_value AS built USING (portfolio_id, basis, day)
    WHERE {_WITHIN}
        AND (
            built.entry_count, built.valuation_currency
        ) IS DISTINCT FROM (counted.entry_count, chosen.valuation_currency)
    UNION
    SELECT day
    FROM daily_holding AS holding
    JOIN daily_portfolio_value USING (portfolio_id, basis, day)
    JOIN chosen USING (portfolio_id)
    WHERE day BETWEEN CAST(:first AS date) AND CAST(:last AS date)
        AND currency <> chosen.valuation_currency
        AND (
            ({_CLOSE}) IS DISTINCT FROM price
            -- Its market has prices by now, so that this day's is missing.
            OR (
                price IS NULL
                AND NOT missing ? currency
                AND EXISTS ({_ANY_BAR})
                AND (
                    units <> 0
                    OR EXISTS (
                        SELECT FROM book_entry AS entry
                        WHERE (entry.portfolio_id, entry.basis, entry.currency)
                                = (holding.portfolio_id, holding.basis, holding.currency)
                            AND CAST(occurred_at AT TIME ZONE 'UTC' AS date) = day
                            AND kind = ANY (CAST(:flows AS text[]))
                    )
                )
            )
        )
    ORDER BY day
    """  # noqa: S608 - a constant of this module
)

_CLOSES = text(
    f"""
    WITH {_CHOSEN}
    SELECT symbol, bool_or(bar.symbol IS NOT NULL) AS has_close
    FROM (
        SELECT DISTINCT price_source, currency || '/' || valuation_currency AS symbol
        FROM book_entry
        JOIN chosen USING (portfolio_id)
        WHERE portfolio_id = ANY (CAST(:portfolios AS uuid[]))
            AND occurred_at < :ends_at
            AND (basis <> 'rehearsed' OR CAST(:first AS date) <= CAST(:rehearsed_until AS date))
            AND currency <> valuation_currency
    ) AS used
    LEFT JOIN LATERAL (
        SELECT symbol FROM price_bar
        WHERE price_bar.price_source = used.price_source AND price_bar.symbol = used.symbol AND timeframe = '1d'
            AND opened_at >= :starts_at AND opened_at < :ends_at
        LIMIT 1
    ) AS bar USING (symbol)
    GROUP BY symbol
    ORDER BY symbol
    """  # noqa: S608 - a constant of this module
)

_CURVES = text(
    """
    WITH built AS (
        SELECT portfolio_id, basis, valuation_currency, day, value
        FROM daily_portfolio_value
        WHERE day BETWEEN CAST(:first AS date) AND CAST(:last AS date)
    ), newest AS (
        SELECT DISTINCT ON (portfolio_id, basis, valuation_currency) portfolio_id, basis, valuation_currency, value
        FROM built
        WHERE value IS NOT NULL
        ORDER BY portfolio_id, basis, valuation_currency, day DESC
    ), ranked AS (
        SELECT
            *,
            row_number() OVER (PARTITION BY basis, valuation_currency ORDER BY value DESC, portfolio_id) AS rank,
            count(*) OVER (PARTITION BY basis, valuation_currency) AS among
        FROM newest
    )
    SELECT
        portfolio.name,
        basis,
        built.valuation_currency,
        array_agg(day ORDER BY day) AS days,
        array_agg(built.value ORDER BY day) AS "values",
        among
    FROM ranked
    JOIN built USING (portfolio_id, basis, valuation_currency)
    JOIN portfolio ON portfolio.id = portfolio_id
    WHERE rank <= :most
    GROUP BY portfolio.name, basis, built.valuation_currency, rank, among
    ORDER BY basis, built.valuation_currency, rank
    """
)


class PostgresDailyValues:
    """Implements `ports.DailyValues`."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def build(self, portfolio_ids: Collection[UUID], span: DaySpan) -> Sequence[BuiltDay]:
        """Value the books at the end of each day of the span; rows that are right already are left alone.

        A second builder waits here, so that each sees what the one before it has stored.
        """
        self._session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(_BUILDERS_TURN, 0))))
        return [_built(row) for row in self._session.execute(_BUILD, _question(portfolio_ids, span))]

    def outdated(self, portfolio_ids: Collection[UUID], span: DaySpan) -> Sequence[date]:
        """The days of the span that building would change."""
        return list(self._session.scalars(_OUTDATED, _question(portfolio_ids, span)))

    def closes(self, portfolio_ids: Collection[UUID], span: DaySpan) -> dict[str, bool]:
        """The markets whose closes the books need, each with whether the span has any."""
        rows = self._session.execute(_CLOSES, _question(portfolio_ids, span))
        return {row.symbol: row.has_close for row in rows}

    def curves(self, span: DaySpan, most: int) -> Sequence[ValueCurve]:
        """The stored values of the books that were worth most on the last day that they have a value of."""
        rows = self._session.execute(_CURVES, {"first": span.first, "last": span.last, "most": most})
        return [
            ValueCurve(
                row.name,
                HistoryBasis(row.basis),
                Currency(row.valuation_currency),
                tuple(zip(row.days, row.values, strict=True)),
                row.among,
            )
            for row in rows
        ]

    def without_value(self, limit: int) -> tuple[int, Sequence[MissingCloses]]:
        """How many days of books have no value for want of a close, and the newest of them."""
        lacking = DailyPortfolioValueRow.value.is_(None)
        count = self._session.scalars(select(func.count()).where(lacking)).one()
        row = DailyPortfolioValueRow
        newest = self._session.execute(
            select(PortfolioRow.name, row.basis, row.day, row.missing)
            .join(PortfolioRow, PortfolioRow.id == row.portfolio_id)
            .where(lacking)
            .order_by(row.day.desc(), PortfolioRow.name, row.basis)
            .limit(limit)
        )
        return count, [_missing(*each) for each in newest]


def _question(portfolio_ids: Collection[UUID], span: DaySpan) -> dict[str, Any]:
    return {
        "portfolios": list(portfolio_ids),
        "first": span.first,
        "last": span.last,
        "starts_at": span.starts_at,
        "ends_at": span.ends_at,
        "rehearsed_until": REHEARSED_YEAR.last,
        "flows": [kind.value for kind in FLOWS],
    }


def _built(row: Row[Any]) -> BuiltDay:
    missing = tuple(_missing(name, basis, row.day, currencies) for name, basis, currencies in row.missing)
    return BuiltDay(row.day, row.books, row.changed, missing)


def _missing(portfolio: str, basis: str, day: date, currencies: Sequence[str]) -> MissingCloses:
    return MissingCloses(portfolio, HistoryBasis(basis), day, tuple(map(Currency, currencies)))
