"""Collecting, importing and missing price bars, from the portfolios' needs to the table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from rebalancer_pipelines.adapters.prices.bar_files import COLUMNS, CsvFolder
from rebalancer_pipelines.application.portfolios import create_portfolio, delete_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.price_history.collect import collect_bars
from rebalancer_pipelines.application.price_history.files import import_bars
from rebalancer_pipelines.application.price_history.gaps import known_gaps
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.price_bar import Timeframe
from rebalancer_pipelines.domain.price_history import StoredBars
from tests.support.automation import create_enabled
from tests.support.kraken_double import KrakenDouble, kraken_double
from tests.support.manual_clock import ManualClock
from tests.support.ports_on import ports_on
from tests.support.rebalancing import rebalance
from tests.support.stored import MORNING, Stored

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
GOOD = "BTC/EUR,2026-02-28,60000,61000,59000,60500,"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def ports(ready_database: str, clock: ManualClock, tmp_path: Path) -> Iterator[Ports]:
    with ports_on(ready_database, clock, tmp_path) as opened:
        yield opened


@pytest.fixture
def kraken(clock: ManualClock) -> Iterator[KrakenDouble]:
    with kraken_double(clock=clock) as double:
        for pair in ("BTC/EUR", "ETH/EUR", "SOL/EUR", "XRP/EUR", "ADA/EUR"):
            double.draw(pair, 1440, NOON.replace(hour=0) - 30 * DAY, range(100, 131))
        yield double


def span(first: str, last: str) -> DaySpan:
    return DaySpan(date.fromisoformat(first), date.fromisoformat(last))


def at_kraken(stored: Stored, endpoint: str, weights: str, name: str = "core") -> None:
    """A portfolio on an account at another address of Kraken's API."""
    stored.change(
        "INSERT INTO account (name, venue, price_source, endpoint) VALUES (%s, 'kraken', 'live', %s)", name, endpoint
    )
    stored.change("INSERT INTO portfolio (name, account_id) SELECT name, id FROM account WHERE name = %s", name)
    for currency in weights.split(","):
        stored.change(
            "INSERT INTO target_weight (portfolio_id, currency) SELECT id, %s FROM portfolio WHERE name = %s",
            currency,
            name,
        )


def rows(stored: Stored) -> list[str]:
    found = stored.rows("SELECT xmin || to_jsonb(bar)::text AS line FROM price_bar bar ORDER BY to_jsonb(bar)::text")
    return [row["line"] for row in found]


def test_an_account_on_the_recording_has_the_days_that_its_rebalances_have_seen(
    ports: Ports, stored: Stored, clock: ManualClock
) -> None:
    stored.show_recording(MORNING)
    stored.change("UPDATE recorded_clock SET started_at = %s", NOON)
    create_enabled(ports, "core")
    first = rebalance(ports, "core")
    clock.time += timedelta(hours=5)
    rebalance(ports, "core", dry_run=True)
    clock.time = NOON + 3 * DAY

    collected = collect_bars(ports, span("2019-09-29", "2026-03-04"))
    observed = stored.rows("SELECT * FROM price_bar WHERE origin = 'observed' ORDER BY symbol")
    assert [(bar["symbol"], bar["opened_at"]) for bar in observed] == [
        ("BTC/EUR", NOON.replace(hour=0)),
        ("ETH/EUR", NOON.replace(hour=0)),
    ]
    seen = stored.rows("SELECT mid FROM price_mark WHERE symbol = 'BTC/EUR' ORDER BY observed_at")
    mids = [row["mid"] for row in seen]
    assert len(mids) == 2
    assert first.success
    assert [observed[0][name] for name in ("open", "high", "low", "close", "volume")] == [
        mids[0], max(mids), min(mids), mids[1], None,
    ]  # fmt: skip
    assert {bar.symbol: bar.added for bar in collected.stored} == {
        "BTC/EUR": 3, "ETH/EUR": 3, "LTC/EUR": 2, "XRP/EUR": 2, "EOS/EUR": 2,
    }  # fmt: skip
    # The years between the recording's end and the book's first day are nobody's; the days since then are missing.
    assert {(gap.symbol, f"{gap.first:%m-%d}", f"{gap.last:%m-%d}") for gap in collected.gaps} == {
        ("BTC/EUR", "03-03", "03-04"),
        ("ETH/EUR", "03-03", "03-04"),
    }
    assert known_gaps(ports, Timeframe.DAY) == list(collected.gaps)
    assert collect_bars(ports, span("2026-03-01", "2026-03-04"), Timeframe.HOUR).asked == 0


def test_collecting_again_changes_nothing(ports: Ports, stored: Stored, kraken: KrakenDouble) -> None:
    at_kraken(stored, kraken.url, "BTC,ETH,EUR")
    told: list[tuple[int, int]] = []
    days = span("2019-09-01", "2026-03-01")
    first = collect_bars(ports, days, progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 7) for number in range(1, 8)]
    assert {one.price_source: one.added for one in first.stored} == {"live": 30, "recorded": 30}
    before = rows(stored)
    again = collect_bars(ports, days)
    assert rows(stored) == before
    assert {one.unchanged for one in again.stored} == {30}
    assert again.gaps == first.gaps


def test_a_bar_that_a_venue_has_corrected_is_corrected(ports: Ports, stored: Stored, kraken: KrakenDouble) -> None:
    at_kraken(stored, kraken.url, "BTC")
    collect_bars(ports, span("2026-02-01", "2026-03-01"))
    kraken.draw("BTC/EUR", 1440, NOON.replace(hour=0) - DAY, ["999"])
    assert [one.changed for one in collect_bars(ports, span("2026-02-01", "2026-03-01")).stored] == [1]
    assert stored.row("SELECT close FROM price_bar WHERE opened_at = '2026-03-01Z'")["close"] == 999


def test_what_two_portfolios_need_is_asked_for_once(ports: Ports, stored: Stored, kraken: KrakenDouble) -> None:
    at_kraken(stored, kraken.url, "BTC,ETH")
    at_kraken(stored, kraken.url, "ETH,SOL", name="other")
    collected = collect_bars(ports, span("2026-02-20", "2026-03-01"))
    assert [one.symbol for one in collected.stored] == ["BTC/EUR", "ETH/EUR", "SOL/EUR"]
    assert kraken.count("OHLC") == 3
    assert kraken.count("AssetPairs") == 1


def test_a_market_that_the_venue_does_not_list_holds_up_no_other(
    ports: Ports, stored: Stored, kraken: KrakenDouble
) -> None:
    at_kraken(stored, kraken.url, "BTC,KFEE")
    collected = collect_bars(ports, span("2026-02-20", "2026-03-01"))
    assert [(one.symbol, one.added) for one in collected.stored] == [("BTC/EUR", 10)]
    assert list(map(str, collected.shortfalls)) == [
        "live KFEE/EUR: no prices at all: kraken has no such market as KFEE/EUR"
    ]
    assert collected.has_prices


def test_a_venue_that_is_away_is_left_alone_after_three_markets(ports: Ports, stored: Stored) -> None:
    with kraken_double() as gone:
        url = gone.url
    at_kraken(stored, url, "ADA,BTC,ETH,SOL,XRP")
    collected = collect_bars(ports, span("2019-09-30", "2026-03-01"))
    assert len(collected.unread) == 5
    assert all("cannot be read" in line for line in collected.unread[:3])
    assert all(line.endswith("not asked for, as others could not be read") for line in collected.unread[3:])
    assert {one.price_source for one in collected.stored} == {"recorded"}


def test_days_of_which_nobody_has_a_price_are_said(ports: Ports, stored: Stored, kraken: KrakenDouble) -> None:
    with pytest.raises(InvalidInputError) as nobody:
        collect_bars(ports, span("2016-01-01", "2016-01-31")).check_any()
    assert "days: '2016-01-01 to 2016-01-31' have no prices (no portfolio needs any" in str(nobody.value)
    at_kraken(stored, kraken.url, "BTC,ETH")
    with pytest.raises(InvalidInputError) as too_old:
        collect_bars(ports, span("2016-01-01", "2016-01-31")).check_any()
    assert "live BTC/EUR, ETH/EUR: no prices at all: kraken offers its newest 720 days only" in str(too_old.value)
    assert rows(stored) == []


@pytest.mark.parametrize(("last", "said"), [("2026-03-02", "has not ended"), ("2030-01-01", "lies in the future")])
def test_a_day_that_has_not_ended_is_refused(ports: Ports, last: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=f"to: '{last}' {said}"):
        collect_bars(ports, span("2026-02-28", last))


def test_gaps_begin_with_the_oldest_bar_or_the_first_book_that_needs_the_market(
    ports: Ports, stored: Stored, kraken: KrakenDouble
) -> None:
    at_kraken(stored, kraken.url, "BTC,ETH")
    assert known_gaps(ports, Timeframe.DAY) == []
    collect_bars(ports, span("2026-02-20", "2026-02-24"))
    missing = {(gap.symbol, f"{gap.first:%m-%d}", gap.bars) for gap in known_gaps(ports, Timeframe.DAY)}
    assert missing == {("BTC/EUR", "02-25", 5), ("ETH/EUR", "02-25", 5)}
    stored.change(
        "INSERT INTO ledger_entry (account_id, portfolio_id, kind, currency, amount, cause, occurred_at) "
        "SELECT account_id, id, 'deposit', 'SOL', 5, 'a test', '2026-02-19T23:59Z' FROM portfolio"
    )
    missing = {(gap.symbol, f"{gap.first:%m-%d}", gap.bars) for gap in known_gaps(ports, Timeframe.DAY)}
    assert missing == {
        ("BTC/EUR", "02-19", 1), ("BTC/EUR", "02-25", 5), ("ETH/EUR", "02-19", 1), ("ETH/EUR", "02-25", 5),
        ("SOL/EUR", "02-19", 11),
    }  # fmt: skip


def test_a_market_that_nobody_needs_any_more_is_not_missed(ports: Ports, stored: Stored) -> None:
    stored.show_recording(MORNING)
    (core,) = create_enabled(ports, "core")
    fields = {"name": "side", "account": "main", "weights": "BTC=100"}
    create_portfolio(ports, fields, allocations=None)
    with ports.transactions() as work:
        assert {need.symbol for need in work.bars.needed()} == {"BTC/EUR", "ETH/EUR"}
    delete_portfolio(ports, core.name)
    with ports.transactions() as work:
        assert {need.symbol for need in work.bars.needed()} == {"BTC/EUR"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "bars"
    made.mkdir()
    return made


def store(ports: Ports, folder: Path, *lines: str, prices: str = "live") -> list[StoredBars]:
    (folder / "bars.csv").write_text("\n".join([",".join(COLUMNS), *lines]))
    return list(import_bars(ports, CsvFolder(folder, prices, Timeframe.DAY, ports.clock)))


def test_files_fill_what_nobody_else_has(ports: Ports, stored: Stored, kraken: KrakenDouble, folder: Path) -> None:
    at_kraken(stored, kraken.url, "BTC")
    old = GOOD.replace("2026-02-28", "2015-01-01")
    assert store(ports, folder, old, GOOD) == [StoredBars("live", "BTC/EUR", 2, 0, 0, 0)]
    before = rows(stored)
    assert store(ports, folder, old, GOOD) == [StoredBars("live", "BTC/EUR", 0, 0, 2, 0)]
    assert rows(stored) == before
    (collected,) = collect_bars(ports, span("2026-02-28", "2026-02-28")).stored
    assert (collected.changed, collected.added) == (1, 0)
    assert store(ports, folder, old, GOOD) == [StoredBars("live", "BTC/EUR", 0, 0, 1, 1)]
    closes = stored.rows("SELECT close, origin FROM price_bar ORDER BY opened_at")
    assert [(row["close"], row["origin"]) for row in closes] == [(Decimal(60500), "file"), (Decimal(128), "venue")]
    noted = stored.rows("SELECT action, subject, detail FROM activity_log WHERE action = 'bars.imported'")
    assert noted[0]["detail"] == {"BTC/EUR": {"added": 2, "changed": 0}}


def test_of_a_folder_with_a_bad_row_nothing_is_stored(ports: Ports, stored: Stored, folder: Path) -> None:
    (folder / "a.csv").write_text(",".join(COLUMNS) + "\n" + GOOD)
    before = stored.everything()
    with pytest.raises(InvalidInputError, match=r"bars.csv line 3, close: '1' lies outside of low and high"):
        store(ports, folder, GOOD.replace("BTC", "ETH"), GOOD.replace("60500", "1"))
    assert stored.everything() == before
