"""Bars in files of the user's: read exactly as written, or not at all."""

from __future__ import annotations

import csv
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.adapters.prices.bar_files import COLUMNS, CsvFolder
from rebalancer_pipelines.application.price_history.progress import unheard
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.price_bar import BarOrigin, PriceBar, Timeframe
from tests.support.manual_clock import ManualClock

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
HEADER = ",".join(COLUMNS)
GOOD = "BTC/EUR,2018-10-01,5700,5800.5,5650,5712.25,1234.5"

_PRICES = st.decimals("0.000000000000000001", "99999999999999999999", places=18)
_CODES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=12)


def read(folder: Path, timeframe: Timeframe | None = Timeframe.DAY) -> list[PriceBar]:
    return list(CsvFolder(folder, "live", timeframe, ManualClock(NOW)).read(unheard))


def write(folder: Path, *lines: str, name: str = "bars.csv") -> Path:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@st.composite
def bars(draw: st.DrawFn) -> PriceBar:
    low, first, last, high = sorted(draw(st.lists(_PRICES, min_size=4, max_size=4)))
    opening, close = draw(st.permutations([first, last]))
    timeframe = draw(st.sampled_from(Timeframe))
    latest = int((NOW - timeframe.length).timestamp() // timeframe.length.total_seconds())
    earliest = int(datetime(2010, 1, 1, tzinfo=UTC).timestamp() // timeframe.length.total_seconds())
    number = draw(st.integers(earliest, latest))
    return PriceBar(
        price_source="live",
        symbol=f"{draw(_CODES)}/{draw(_CODES)}",
        timeframe=timeframe,
        opened_at=datetime(1970, 1, 1, tzinfo=UTC) + number * timeframe.length,
        open=opening,
        high=high,
        low=low,
        close=close,
        volume=draw(st.none() | st.decimals(0, "99999999999999999999", places=18)),
        origin=BarOrigin.FILE,
    )


def _key(bar: PriceBar) -> tuple[str, str, datetime]:
    return bar.symbol, bar.timeframe.value, bar.opened_at


@given(
    st.lists(bars(), max_size=8, unique_by=_key), st.permutations([*COLUMNS, "timeframe"]), st.sampled_from([0, 3, -7])
)
def test_what_is_written_comes_back(given_bars: list[PriceBar], columns: list[str], offset: int) -> None:
    """Whatever the columns' order and the time zone in which times are written."""
    with tempfile.TemporaryDirectory() as folder:
        with (Path(folder) / "bars.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for bar in given_bars:
                cells = {name: getattr(bar, name) for name in columns}
                zone = bar.opened_at.astimezone(timezone(timedelta(hours=offset)))
                writer.writerow(
                    "" if (cell := zone.isoformat() if name == "opened_at" else cells[name]) is None else str(cell)
                    for name in columns
                )
        assert read(Path(folder), None) == given_bars


def test_a_folder_is_all_its_csv_files_in_order(tmp_path: Path) -> None:
    write(tmp_path, HEADER, GOOD, "", "eth/eur, 2018-10-01T00:00Z ,200,210,190,205,", name="b.CSV")
    write(tmp_path, "﻿" + HEADER, GOOD.replace("2018-10-01", "2018-10-02"), name="a.csv")
    write(tmp_path, "not bars", name="notes.txt")
    told: list[tuple[int, int]] = []
    files = CsvFolder(tmp_path, "live", Timeframe.DAY, ManualClock(NOW))
    found = list(files.read(lambda done, total: told.append((done, total))))
    assert [(bar.symbol, bar.opened_at.day, bar.volume) for bar in found] == [
        ("BTC/EUR", 2, Decimal("1234.5")),
        ("BTC/EUR", 1, Decimal("1234.5")),
        ("ETH/EUR", 1, None),
    ]
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (GOOD.replace("5700", "x"), "bars.csv line 3, open: 'x' is not a number; write it like 12.5"),
        (GOOD.replace("5700", "1_000"), "bars.csv line 3, open: '1_000' is not a number; write it like 12.5"),
        (GOOD.replace("5700", "٣"), "bars.csv line 3, open: '٣' is not a number"),
        (GOOD.replace("5700", "NaN"), "bars.csv line 3, open: 'NaN' is not a number"),
        (GOOD.replace("5700", ""), "bars.csv line 3, open: '' is not a number"),
        (GOOD.replace("5650", "0"), "bars.csv line 3, low: '0' must be greater than 0"),
        (GOOD.replace("5650", "-1"), "bars.csv line 3, low: '-1' must be greater than 0"),
        (GOOD.replace("5650", "1e30"), "bars.csv line 3, low: '1e30' is out of range"),
        (GOOD.replace("5712.25", "5649.99"), "line 3, close: '5649.99' lies outside of low and high, 5650 to 5800.5"),
        (GOOD.replace("5700,", "5801,"), "bars.csv line 3, open: '5801' lies outside of low and high"),
        (GOOD.replace("5650", "5900"), "bars.csv line 3, low: '5900' is above the high, 5800.5"),
        (GOOD.replace("1234.5", "-1"), "bars.csv line 3, volume: '-1' must not be negative"),
        (GOOD.replace("BTC/EUR", "BTCEUR"), "bars.csv line 3, symbol: 'BTCEUR' is not a market; write it like BTC/EUR"),
        (GOOD.replace("BTC/EUR", "BTC/"), "bars.csv line 3, symbol: 'BTC/' is not a market"),
        (GOOD.replace("BTC/EUR", "BTC/EUR/X"), "bars.csv line 3, symbol: 'BTC/EUR/X' is not a market"),
        (GOOD.replace("2018-10-01", "01.10.2018"), "bars.csv line 3, opened_at: '01.10.2018' is not a time"),
        (GOOD.replace("2018-10-01", "1538352000"), "bars.csv line 3, opened_at: '1538352000' is not a time"),
        (GOOD.replace("2018-10-01", "2018-10-01T00:00"), "has no time zone; end it with Z for UTC"),
        (GOOD.replace("2018-10-01", "2018-10-01T12:00Z"), "is no start of a bar of 1d; these start at midnight in UTC"),
        (GOOD.replace("2018-10-01", "2018-10-01T00:00+02:00"), "is no start of a bar of 1d"),
        (GOOD.replace("2018-10-01", "2026-03-02"), "starts a bar that has not ended yet; leave it out"),
        (GOOD.replace("2018-10-01", "2027-03-02"), "starts a bar that has not ended yet; leave it out"),
        (GOOD.replace("2018-10-01", "0001-01-01T00:00+14:00"), "is not a time"),
        (GOOD.replace("2018-10-01", "1999-01-01"), "lies before every market"),
        (GOOD.replace("2018-10-01", "2018-09-30"), "has a bar in bars.csv line 2 already; leave one of them out"),
        (GOOD + ",1", "bars.csv line 3, cells: 8 must have 7 cells, as the header has"),
        ("BTC/EUR", "bars.csv line 3, cells: 1 must have 7 cells"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named(tmp_path: Path, row: str, said: str) -> None:
    write(tmp_path, HEADER, GOOD.replace("2018-10-01", "2018-09-30"), row)
    with pytest.raises(InvalidInputError) as caught:
        read(tmp_path)
    assert said in str(caught.value)
    assert "bars.csv line 3, " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_is_named_by_the_line_on_which_it_begins(tmp_path: Path) -> None:
    write(tmp_path, HEADER, "", '"BTC/EUR\n",2018-10-01,5700,5800.5,5650,5712.25,', GOOD.replace("5700", "x"))
    with pytest.raises(InvalidInputError, match=r"bars.csv line 5, open: 'x'"):
        read(tmp_path)


@pytest.mark.parametrize(
    "header",
    ["", "symbol;opened_at;open;high;low;close;volume", f"{HEADER},{HEADER}", f"{HEADER},price", "symbol,open"],
)
def test_a_header_names_the_columns(tmp_path: Path, header: str) -> None:
    write(tmp_path, header, GOOD)
    with pytest.raises(
        InvalidInputError, match=f"bars.csv line 1, header: .* must be {HEADER}, with timeframe or with"
    ):
        read(tmp_path)


def test_bars_of_no_known_length_are_refused(tmp_path: Path) -> None:
    write(tmp_path, HEADER, GOOD)
    with pytest.raises(
        InvalidInputError, match=r"file: 'bars.csv' has no column timeframe; add one, or say --timeframe 1h or 1d"
    ):
        read(tmp_path, None)
    write(tmp_path, f"{HEADER},timeframe", f"{GOOD},2h")
    with pytest.raises(InvalidInputError, match=r"bars.csv line 2, timeframe: '2h' is unknown; use 1h or 1d"):
        read(tmp_path, None)
    write(tmp_path, f"{HEADER},timeframe", f"{GOOD},1h")
    with pytest.raises(InvalidInputError, match=r"bars.csv line 2, timeframe: '1h' is not 1d as --timeframe says"):
        read(tmp_path, Timeframe.DAY)
    (bar,) = read(tmp_path, None)
    assert bar.timeframe is Timeframe.HOUR


def test_what_is_no_folder_of_csv_files_is_said(tmp_path: Path) -> None:
    for folder, said in (
        (tmp_path / "nowhere", "folder: .*nowhere' cannot be read: No such file or directory"),
        (tmp_path, "holds no .csv file; put files there whose first line is symbol,opened_at,"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            read(folder)
    with pytest.raises(InvalidInputError, match=r"is a file; name the folder that holds it"):
        read(write(tmp_path, HEADER) / "bars.csv")
    (tmp_path / "bars.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInputError, match=r"file: 'bars.csv' is not UTF-8 text; save it as CSV in UTF-8"):
        read(tmp_path)
    write(tmp_path, HEADER, '"BTC')
    with pytest.raises(InvalidInputError, match=r"file: 'bars.csv' is not CSV \(unexpected end of data\)"):
        read(tmp_path)
    (tmp_path / "bars.csv").unlink()
    (tmp_path / "bars.csv").mkdir()
    with pytest.raises(InvalidInputError, match=r"file: 'bars.csv' cannot be read: Is a directory"):
        read(tmp_path)
