"""Price bars, their gaps, and the markets that need them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from rebalancer_pipelines.adapters.postgres.tables import PriceBarRow
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.price_bar import BarOrigin, PriceBar, Timeframe
from rebalancer_pipelines.domain.price_history import BarGap, MarketDays, NeededMarket, StoredBars

_RANKS = ", ".join(f"('{origin.value}', {origin.rank})" for origin in BarOrigin)

_ADD = text(
    f"""
    WITH ranked (origin, rank) AS (VALUES {_RANKS}), given AS MATERIALIZED (
        SELECT * FROM unnest(
            CAST(:price_sources AS text[]), CAST(:symbols AS text[]), CAST(:timeframes AS text[]),
            CAST(:opened_at AS timestamptz[]), CAST(:opens AS numeric[]), CAST(:highs AS numeric[]),
            CAST(:lows AS numeric[]), CAST(:closes AS numeric[]), CAST(:volumes AS numeric[]), CAST(:origins AS text[])
        ) AS g (price_source, symbol, timeframe, opened_at, open, high, low, close, volume, origin)
    ), compared AS MATERIALIZED (
        SELECT given.*, stored.price_source IS NULL AS is_new,
               (given.open, given.high, given.low, given.close, given.volume, given.origin)
                   IS NOT DISTINCT FROM
                   (stored.open, stored.high, stored.low, stored.close, stored.volume, stored.origin) AS is_known,
               coalesce(mine.rank < theirs.rank, false) AS is_outranked
        FROM given
        JOIN ranked mine ON mine.origin = given.origin
        LEFT JOIN price_bar stored USING (price_source, symbol, timeframe, opened_at)
        LEFT JOIN ranked theirs ON theirs.origin = stored.origin
    ), written AS (
        INSERT INTO price_bar AS bar
            (price_source, symbol, timeframe, opened_at, open, high, low, close, volume, origin)
        SELECT price_source, symbol, timeframe, opened_at, open, high, low, close, volume, origin
        FROM compared WHERE NOT is_known AND NOT is_outranked
        -- In one order for everybody, so that two who store the same bars at once wait and do not deadlock.
        ORDER BY price_source, symbol, timeframe, opened_at
        ON CONFLICT (price_source, symbol, timeframe, opened_at) DO UPDATE SET
            open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
            volume = excluded.volume, origin = excluded.origin
        -- Somebody else may have stored bars since they were compared.
        WHERE (SELECT rank FROM ranked WHERE ranked.origin = excluded.origin)
           >= (SELECT rank FROM ranked WHERE ranked.origin = bar.origin)
    )
    SELECT price_source, symbol,
           count(*) FILTER (WHERE is_new) AS added,
           count(*) FILTER (WHERE NOT is_new AND NOT is_known AND NOT is_outranked) AS changed,
           count(*) FILTER (WHERE is_known) AS unchanged,
           count(*) FILTER (WHERE is_outranked) AS outranked
    FROM compared GROUP BY price_source, symbol ORDER BY price_source, symbol
    """  # noqa: S608 - of constants alone
)

_GAPS = text(
    """
    WITH wanted AS (
        SELECT * FROM unnest(
            CAST(:price_sources AS text[]), CAST(:symbols AS text[]),
            CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[])
        ) AS w (price_source, symbol, starts_at, ends_at)
    ), missing AS (
        SELECT w.*, slot.opened_at, slot.number
        FROM wanted w
        CROSS JOIN LATERAL generate_series(
            w.starts_at, w.ends_at - CAST(:length AS interval), CAST(:length AS interval)
        ) WITH ORDINALITY AS slot (opened_at, number)
        LEFT JOIN price_bar bar ON (bar.price_source, bar.symbol, bar.timeframe, bar.opened_at)
            = (w.price_source, w.symbol, :timeframe, slot.opened_at)
        WHERE bar.price_source IS NULL
    ), island AS (
        -- Slots that follow each other have the same distance to their rank among the missing ones.
        SELECT *, number - row_number() OVER (PARTITION BY price_source, symbol, starts_at ORDER BY number) AS distance
        FROM missing
    )
    SELECT price_source, symbol, min(opened_at) AS first, max(opened_at) AS last, count(*) AS bars
    FROM island GROUP BY price_source, symbol, starts_at, distance ORDER BY price_source, symbol, min(opened_at)
    """
)

_OBSERVED = text(
    """
    WITH seen AS (
        SELECT mark.symbol, date_trunc('day', mark.observed_at, 'UTC') AS opened_at, mark.mid,
               row_number() OVER in_time AS number,
               row_number() OVER (
                   PARTITION BY mark.symbol, date_trunc('day', mark.observed_at, 'UTC')
                   ORDER BY mark.observed_at DESC, mark.rebalance_id DESC
               ) AS number_from_the_end
        FROM account
        JOIN rebalance ON rebalance.account_id = account.id
        JOIN price_mark mark ON mark.rebalance_id = rebalance.id
        WHERE account.price_source = :price_source
          AND NOT (rebalance.dry_run AND rebalance.triggered_by = 'backfill')
          AND mark.observed_at >= :starts_at AND mark.observed_at < :ends_at
          -- The index on accounts and starts; prices are read within moments of a start.
          AND rebalance.started_at >= CAST(:starts_at AS timestamptz) - interval '1 day'
          AND rebalance.started_at < CAST(:ends_at AS timestamptz) + interval '1 day'
        WINDOW in_time AS (
            PARTITION BY mark.symbol, date_trunc('day', mark.observed_at, 'UTC')
            ORDER BY mark.observed_at, mark.rebalance_id
        )
    )
    SELECT symbol, opened_at, max(mid) AS high, min(mid) AS low,
           max(mid) FILTER (WHERE number = 1) AS open, max(mid) FILTER (WHERE number_from_the_end = 1) AS close
    FROM seen GROUP BY symbol, opened_at ORDER BY symbol, opened_at
    """
)

_NEEDED = text(
    """
    WITH begun AS (
        SELECT portfolio_id, min(occurred_at) AS at FROM ledger_entry WHERE portfolio_id IS NOT NULL
        GROUP BY portfolio_id
    ), held AS (
        SELECT portfolio_id, currency FROM target_weight
        UNION
        SELECT portfolio_id, currency FROM ledger_entry WHERE portfolio_id IS NOT NULL
    )
    SELECT account.price_source, held.currency || '/' || portfolio.valuation_currency AS symbol,
           -- The venue's own address, where one of the accounts uses that.
           (array_agg(account.endpoint ORDER BY account.endpoint NULLS FIRST))[1] AS endpoint,
           CAST(min(begun.at) AT TIME ZONE 'UTC' AS date) AS since
    FROM portfolio
    JOIN account ON account.id = portfolio.account_id
    JOIN held ON held.portfolio_id = portfolio.id AND held.currency <> portfolio.valuation_currency
    LEFT JOIN begun ON begun.portfolio_id = portfolio.id
    GROUP BY 1, 2 ORDER BY 1, 2
    """
)


class PostgresBars:
    """Implements `ports.Bars`."""

    def __init__(self, session: Session) -> None:
        """Work in the session's transaction."""
        self._session = session

    def add(self, bars: Sequence[PriceBar]) -> Sequence[StoredBars]:
        """Store bars by one statement, however many they are."""
        if not bars:
            return []
        rows = self._session.execute(
            _ADD,
            {
                "price_sources": [bar.price_source for bar in bars],
                "symbols": [bar.symbol for bar in bars],
                "timeframes": [bar.timeframe.value for bar in bars],
                "opened_at": [bar.opened_at for bar in bars],
                "opens": [bar.open for bar in bars],
                "highs": [bar.high for bar in bars],
                "lows": [bar.low for bar in bars],
                "closes": [bar.close for bar in bars],
                "volumes": [bar.volume for bar in bars],
                "origins": [bar.origin.value for bar in bars],
            },
        )
        return [StoredBars(**row) for row in rows.mappings()]

    def closes(self, price_source: str, symbols: Collection[str], span: DaySpan) -> Mapping[tuple[str, date], Decimal]:
        """What markets closed at, by symbol and day."""
        statement = select(PriceBarRow.symbol, PriceBarRow.opened_at, PriceBarRow.close).where(
            PriceBarRow.price_source == price_source,
            PriceBarRow.symbol.in_(symbols),
            PriceBarRow.timeframe == Timeframe.DAY.value,
            PriceBarRow.opened_at >= span.starts_at,
            PriceBarRow.opened_at < span.ends_at,
        )
        return {(row.symbol, _day(row.opened_at)): row.close for row in self._session.execute(statement)}

    def gaps(self, timeframe: Timeframe, wanted: Sequence[MarketDays]) -> Sequence[BarGap]:
        """Where bars are missing: the database counts through the slots."""
        rows = self._session.execute(
            _GAPS,
            {
                "price_sources": [days.price_source for days in wanted],
                "symbols": [days.symbol for days in wanted],
                "starts": [days.span.starts_at for days in wanted],
                "ends": [days.span.ends_at for days in wanted],
                "timeframe": timeframe.value,
                "length": timeframe.length,
            },
        )
        return [
            BarGap(
                price_source=row.price_source,
                symbol=row.symbol,
                timeframe=timeframe,
                first=row.first.astimezone(UTC),
                last=row.last.astimezone(UTC),
                bars=row.bars,
            )
            for row in rows
        ]

    def first_days(self, timeframe: Timeframe) -> Mapping[tuple[str, str], date]:
        """The day of the oldest bar, by price source and symbol."""
        statement = (
            select(PriceBarRow.price_source, PriceBarRow.symbol, func.min(PriceBarRow.opened_at).label("first"))
            .where(PriceBarRow.timeframe == timeframe.value)
            .group_by(PriceBarRow.price_source, PriceBarRow.symbol)
        )
        return {(row.price_source, row.symbol): _day(row.first) for row in self._session.execute(statement)}

    def observed(self, price_source: str, span: DaySpan) -> Sequence[PriceBar]:
        """Daily bars made of the mids that rebalances have seen, by symbol and day."""
        rows = self._session.execute(
            _OBSERVED, {"price_source": price_source, "starts_at": span.starts_at, "ends_at": span.ends_at}
        )
        return [
            PriceBar(
                price_source=price_source,
                symbol=row.symbol,
                timeframe=Timeframe.DAY,
                opened_at=row.opened_at.astimezone(UTC),
                open=row.open,
                high=row.high,
                low=row.low,
                close=row.close,
                volume=None,
                origin=BarOrigin.OBSERVED,
            )
            for row in rows
        ]

    def needed(self) -> Sequence[NeededMarket]:
        """The markets on which the value of a portfolio rests."""
        return [NeededMarket(**row) for row in self._session.execute(_NEEDED).mappings()]


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()
