"""The history at scale: what marts, an index and an incremental build are worth. Ratios, all in one run.

`--rows` rows of `rebalance_history` are generated, and a tenth of them in a database beside it: as many portfolios with
histories a tenth as long. Their `orders` are empty: full ones would only slow the plain queries down.

- Statistics: what `rebalancer stats` reads from the marts against the plain queries on the table; both must agree.
- Recent rebalances: their time, and the index that the database takes.
- A write of history: a row, and the 500 rows of a batch, against the same into a table without index or constraint.
- Builds: all of it anew, and after `--new` new rows; the latter at a tenth of the size, too.

    python -m benchmarks.history [--rows 10000000] [--portfolios 1000] [--new 1000]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import Engine, text

from rebalancer_pipelines.adapters.analytics.build import Build, build_marts
from rebalancer_pipelines.adapters.embedded.services import running_database
from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.adapters.postgres.schema import migrate
from rebalancer_pipelines.adapters.postgres.unit_of_work import PostgresUnitOfWork
from rebalancer_pipelines.domain.statistics import RunMode

LEAST_STATISTICS_RATIO, MOST_WRITE_RATIO, MOST_GROWTH = 1000, 1.5, 1.25
CHUNK = 500_000
WRITES, BATCH, BUILDS = 200, 500, 3

_MODE = "CASE WHEN NOT dry_run THEN 'live' WHEN triggered_by = 'backfill' THEN 'backfill' ELSE 'dry_run' END"
PLAIN_STATISTICS = (
    f"SELECT {_MODE} AS run_mode, count(*), sum(total_value_traded), avg(portfolio_value), avg(duration_ms) "
    "FROM rebalance_history GROUP BY 1"
)
PLAIN_SUCCESS = (
    f"SELECT {_MODE} AS run_mode, count(*) FILTER (WHERE success) * 100.0 / count(*) FROM rebalance_history GROUP BY 1"
)
RECENT: LiteralString = "SELECT * FROM analytics.recent_rebalances ORDER BY executed_at DESC, id DESC LIMIT 10"

# One row an hour and portfolio, up to now; one in fifty failed, one in ten a dry run.
_GENERATED = """
INSERT INTO rebalance_history (portfolio_id, executed_at, success, dry_run, portfolio_value, orders_planned,
    orders_executed, orders_failed, total_value_traded, fees_paid, orders, errors, triggered_by, duration_ms,
    price_source)
SELECT (%(portfolios)s::uuid[])[1 + n %% %(count)s], now() - (%(hours)s - n / %(count)s) * interval '1 hour',
    n %% 50 <> 0, n %% 10 = 0, 10000 + (n * 7919 %% 1000000) / 100.0, 4, 3, 0, (n * 104729 %% 50000) / 100.0,
    (n * 104729 %% 130) / 100.0, '[]',
    CASE WHEN n %% 50 = 0 THEN '[{"code": "PRICE_STALE", "message": "BTC/EUR has no price"}]'::jsonb END,
    'scheduler', 200 + n * 31 %% 1800, 'recorded'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""


def furnish(database_url: str, rows: int, portfolios: int) -> list[UUID]:
    """A database with a history of so many rows; returns the portfolios."""
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO account (name, venue, price_source) VALUES ('main', 'paper', 'recorded')")
        owners = [
            row[0]
            for row in connection.execute(
                "INSERT INTO portfolio (name, account_id, rebalance_interval) "
                "SELECT 'portfolio-' || n, account.id, 'hourly' FROM account, generate_series(1, %s) AS n RETURNING id",
                (portfolios,),
            )
        ]
        with _bare(connection):
            for first in range(0, rows, CHUNK):
                last = min(first + CHUNK, rows) - 1
                _generate(connection, owners, first, last, hours=rows // portfolios)
                print(f"  {last + 1:,} rows", end="\r", file=sys.stderr)
        connection.execute("VACUUM ANALYZE")
    return owners


def _generate(connection: psycopg.Connection[Any], owners: Sequence[UUID], first: int, last: int, hours: int) -> None:
    given = {"portfolios": list(owners), "count": len(owners), "first": first, "last": last, "hours": hours}
    connection.execute(_GENERATED, given)


@contextmanager
def _bare(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """The table without the indexes and the foreign key that would slow its filling down; afterwards as it was."""
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'rebalance_history' AND indexname LIKE 'ix_%'"
    ).fetchall()
    keys = connection.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = 'rebalance_history'::regclass AND contype = 'f'"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    for name, _ in keys:
        connection.execute(sql.SQL("ALTER TABLE rebalance_history DROP CONSTRAINT {}").format(sql.Identifier(name)))
    yield
    for _, definition in indexes:
        connection.execute(definition)
    for name, definition in keys:
        connection.execute(f'ALTER TABLE rebalance_history ADD CONSTRAINT "{name}" {definition}')


def read_statistics(database_url: str, some: UUID) -> None:
    """What the marts answer, against the plain queries on the table."""
    with open_engine(database_url) as engine, PostgresUnitOfWork(engine) as work, engine.connect() as connection:
        marts = work.statistics
        round_trip = median_of(lambda: connection.execute(text("SELECT 1")).scalar(), 200)
        plain = {row[0]: row[1:] for row in connection.execute(text(PLAIN_STATISTICS))}
        built = {
            row.run_mode.value: (
                row.rebalances,
                row.total_value_traded,
                row.average_portfolio_value,
                row.average_duration_ms,
            )
            for row in marts.rebalance_statistics(None)
        }
        expect(_rounded(plain) == _rounded(built), f"the marts say {built}, the table {plain}")
        rates = {row[0]: row[1:] for row in connection.execute(text(PLAIN_SUCCESS))}
        told = {row.run_mode.value: (row.success_rate,) for row in marts.success_rates(None)}
        expect(_rounded(rates) == _rounded(told), f"the marts say {told}, the table {rates}")
        for name, query, read in (
            ("statistics", PLAIN_STATISTICS, lambda: marts.rebalance_statistics(None)),
            ("success rate", PLAIN_SUCCESS, lambda: marts.success_rates(None)),
        ):
            slow = median_of(lambda query=query: connection.execute(text(query)).all(), 3)
            quick = median_of(read, 100)
            print(
                f"{name}: {quick * 1000:.2f} ms from the mart ({quick / round_trip:.1f} round trips of SELECT 1), "
                f"{slow * 1000:.0f} ms from the table; ratio {slow / quick:.0f} (goal {LEAST_STATISTICS_RATIO})"
            )
        _read_recent(engine, work, some)


def _read_recent(engine: Engine, work: PostgresUnitOfWork, some: UUID) -> None:
    seconds = median_of(lambda: work.statistics.recent_rebalances(None, 10), 100)
    of_one = median_of(lambda: work.statistics.recent_rebalances(some, 10, (RunMode.LIVE, RunMode.DRY_RUN)), 100)
    with engine.connect() as connection:
        plan = [row[0] for row in connection.execute(text(f"EXPLAIN (COSTS OFF) {RECENT}"))]
        scans = [line.strip(" ->") for line in plan if "Scan" in line]
        indexes = dict(connection.execute(text("SELECT indexname, indexdef FROM pg_indexes")).tuples().all())
    index = next((definition for name, definition in indexes.items() if name in scans[0]), None)
    expect(index is not None, "recent rebalances do not come from an index: " + "; ".join(plan))
    print(
        f"recent rebalances: {seconds * 1000:.2f} ms, of one portfolio {of_one * 1000:.2f} ms; "
        f"by the index {str(index).partition(' ON ')[2]}"
    )


def write_history(database_url: str, owner: UUID) -> None:
    """A write of history against the same into a bare table, in turns."""
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE bare_history (LIKE rebalance_history INCLUDING DEFAULTS)")
        connection.commit()
        for rows in (1, BATCH):
            times: dict[str, list[float]] = {"bare_history": [], "rebalance_history": []}
            for _ in range(WRITES if rows == 1 else WRITES // 5):
                for table, taken in times.items():
                    started = time.perf_counter()
                    _copy(connection, table, owner, rows)
                    connection.commit()
                    taken.append(time.perf_counter() - started)
            bare, real = (statistics.median(taken) * 1000 for taken in times.values())
            print(
                f"write of history, rows at once {rows}: {real:.2f} ms, into a bare table {bare:.2f} ms; "
                f"ratio {real / bare:.2f} (goal at most {MOST_WRITE_RATIO})"
            )


def _copy(connection: psycopg.Connection[Any], table: str, owner: UUID, rows: int) -> None:
    statement = sql.SQL(
        "COPY {} (portfolio_id, executed_at, success, dry_run, portfolio_value, orders_planned, orders_executed, "
        "orders_failed, total_value_traded, fees_paid, orders, triggered_by, duration_ms, price_source) FROM STDIN"
    ).format(sql.Identifier(table))
    worth, traded, fee = Decimal("10123.45"), Decimal("250.10"), Decimal("0.65")
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for number in range(rows):
            moment = f"2026-01-01T00:00:{number % 60:02}Z"
            copy.write_row((owner, moment, True, True, worth, 4, 3, 0, traded, fee, "[]", "api", 812, "recorded"))


def time_builds(database_url: str, folder: Path, owners: Sequence[UUID], new: int) -> tuple[float, float]:
    """Seconds of a build from the beginning, and after new rows."""
    build(database_url, folder, full=True)  # dbt is imported, and the project read
    whole = timed(lambda: build(database_url, folder, full=True))
    part: list[float] = []
    for _ in range(BUILDS):
        with psycopg.connect(database_url) as connection:
            _generate(connection, owners, 0, new - 1, hours=0)
        part.append(timed(lambda: build(database_url, folder)))
    return whole, statistics.median(part)


def build(database_url: str, folder: Path, *, full: bool = False) -> Build:
    """One build of all marts with their tests, which must find nothing wrong."""
    built = build_marts(database_url, folder, full=full)
    expect(not built.problems, "; ".join(built.problems))
    expect(built.full == full, f"the build was {'' if built.full else 'not '}one from the beginning")
    return built


def timed(act: Callable[[], object]) -> float:
    """Seconds that it takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def median_of(act: Callable[[], object], times: int) -> float:
    """The median of several times, in seconds."""
    return statistics.median(timed(act) for _ in range(times))


def expect(met: bool, otherwise: str) -> None:
    """What must hold, or the figures say nothing."""
    if not met:
        raise SystemExit(otherwise)


def _rounded(figures: dict[str, Any]) -> dict[str, list[Decimal]]:
    """Averages have more digits than the tables that they are compared with."""
    return {mode: [round(Decimal(figure), 6) for figure in row] for mode, row in figures.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--portfolios", type=int, default=1_000)
    parser.add_argument("--new", type=int, default=1_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running_database(Path(name) / "server") as server:
        took: list[tuple[float, float]] = []
        for rows in (chosen.rows // 10, chosen.rows):
            database, folder = f"history_{rows}", Path(name) / f"data_{rows}"
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
            url = urlunsplit(urlsplit(server)._replace(path=f"/{database}"))
            owners = furnish(url, rows, chosen.portfolios)
            took.append(time_builds(url, folder, owners, chosen.new))
            print(f"{rows:,} rows: built anew {took[-1][0]:.2f} s, after {chosen.new:,} new rows {took[-1][1]:.2f} s")
        (_, small), (whole, large) = took
        print(
            f"incremental build: {whole / large:.1f} times as fast as one anew; at ten times the size it takes "
            f"{large / small:.2f} times as long (goal at most {MOST_GROWTH})"
        )
        read_statistics(url, owners[0])
        write_history(url, owners[0])


if __name__ == "__main__":
    main()
