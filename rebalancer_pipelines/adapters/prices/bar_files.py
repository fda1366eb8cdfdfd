"""A folder of CSV files with bars. They are read to the last row before one bar is taken: one bad row refuses all."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from rebalancer_pipelines.application.ports import Clock
from rebalancer_pipelines.domain.day_span import FIRST_DAY, start_of
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.price_bar import BarOrigin, PriceBar, Timeframe
from rebalancer_pipelines.domain.valuation import market_symbol
from rebalancer_pipelines.domain.values import ZERO, parse_currency, parse_decimal, parse_positive

COLUMNS = ("symbol", "opened_at", "open", "high", "low", "close", "volume")
_TIMEFRAME = "timeframe"
"""A column that may be left out when all files have bars of the same length."""

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""Python would also read 1_000 and digits of other scripts."""

_BarKey = tuple[str, Timeframe, datetime]


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a file, and where it stands."""

    file: str
    line: int
    cells: Mapping[str, str]

    @property
    def place(self) -> str:
        return f"{self.file} line {self.line}"

    def field(self, name: str) -> str:
        """How an error names a cell."""
        return f"{self.place}, {name}"


class CsvFolder:
    """Implements `BarFiles` over the `*.csv` files of one folder.

    `timeframe` is that of files without the column; None takes none of those.
    """

    def __init__(self, folder: Path, price_source: str, timeframe: Timeframe | None, clock: Clock) -> None:
        self._folder = folder
        self._price_source = price_source
        self._timeframe = timeframe
        self._clock = clock

    def read(self, progress: Callable[[int, int], None]) -> Sequence[PriceBar]:
        """All bars of all files. Raises `InvalidInputError` naming file, line, field, value and remedy."""
        paths = self._paths()
        now = self._clock.now()
        bars: list[PriceBar] = []
        places: dict[_BarKey, str] = {}
        for number, path in enumerate(paths, start=1):
            for row in _rows(path):
                bar = self._bar(row, now)
                key = bar.symbol, bar.timeframe, bar.opened_at
                if key in places:
                    remedy = f"has a bar in {places[key]} already; leave one of them out"
                    raise InvalidInputError(row.field("opened_at"), row.cells["opened_at"], remedy)
                places[key] = row.place
                bars.append(bar)
            progress(number, len(paths))
        return bars

    def _paths(self) -> list[Path]:
        try:
            there = sorted(self._folder.iterdir())
        except NotADirectoryError:
            raise InvalidInputError("folder", str(self._folder), "is a file; name the folder that holds it") from None
        except OSError as error:
            raise InvalidInputError("folder", str(self._folder), f"cannot be read: {error.strerror}") from None
        paths = [path for path in there if path.suffix.lower() == ".csv"]
        if not paths:
            columns = ",".join(COLUMNS)
            raise InvalidInputError(
                "folder", str(self._folder), f"holds no .csv file; put files there whose first line is {columns}"
            )
        return paths

    def _bar(self, row: _Row, now: datetime) -> PriceBar:
        timeframe = self._timeframe_of(row)
        opening, high, low, close = (_price(row, name) for name in ("open", "high", "low", "close"))
        if low > high:
            raise InvalidInputError(row.field("low"), row.cells["low"], f"is above the high, {row.cells['high']}")
        for name, price in (("open", opening), ("close", close)):
            if not low <= price <= high:
                remedy = f"lies outside of low and high, {row.cells['low']} to {row.cells['high']}; correct one of them"
                raise InvalidInputError(row.field(name), row.cells[name], remedy)
        return PriceBar(
            price_source=self._price_source,
            symbol=_symbol(row),
            timeframe=timeframe,
            opened_at=_opened_at(row, timeframe, now),
            open=opening,
            high=high,
            low=low,
            close=close,
            volume=_volume(row),
            origin=BarOrigin.FILE,
        )

    def _timeframe_of(self, row: _Row) -> Timeframe:
        choices = " or ".join(Timeframe)
        text = row.cells.get(_TIMEFRAME)
        if text is None:
            if self._timeframe is None:
                remedy = f"has no column {_TIMEFRAME}; add one, or say --timeframe {choices} for all files"
                raise InvalidInputError("file", row.file, remedy)
            return self._timeframe
        if text not in set(Timeframe):
            raise InvalidInputError(row.field(_TIMEFRAME), text, f"is unknown; use {choices}")
        if self._timeframe is not None and text != self._timeframe:
            remedy = f"is not {self._timeframe.value} as --timeframe says; leave the option out"
            raise InvalidInputError(row.field(_TIMEFRAME), text, remedy)
        return Timeframe(text)


def _rows(path: Path) -> Iterator[_Row]:
    """The rows of a file below its header. Raises `InvalidInputError`."""
    with _readable(path), path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        header = _header(path, next(reader, []))
        while True:
            # A quoted cell may hold line breaks: a row is named by the line on which it begins.
            line = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return
            if not cells:
                continue
            if len(cells) != len(header):
                remedy = f"must have {len(header)} cells, as the header has"
                raise InvalidInputError(f"{path.name} line {line}, cells", len(cells), remedy)
            yield _Row(path.name, line, dict(zip(header, (cell.strip() for cell in cells), strict=True)))


def _header(path: Path, cells: Sequence[str]) -> Sequence[str]:
    header = [cell.strip() for cell in cells]
    allowed = {*COLUMNS, _TIMEFRAME}
    if len(set(header)) != len(header) or not set(COLUMNS) <= set(header) <= allowed:
        raise InvalidInputError(
            f"{path.name} line 1, header",
            ",".join(cells),
            f"must be {','.join(COLUMNS)}, with {_TIMEFRAME} or without it, separated by commas",
        )
    return header


@contextmanager
def _readable(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidInputError("file", path.name, f"cannot be read: {error.strerror}; see who may read it") from None
    except UnicodeDecodeError:
        raise InvalidInputError("file", path.name, "is not UTF-8 text; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise InvalidInputError("file", path.name, f"is not CSV ({error}); save it as CSV again") from None


def _symbol(row: _Row) -> str:
    text = row.cells["symbol"]
    base, slash, quote = text.partition("/")
    if not slash:
        raise InvalidInputError(row.field("symbol"), text, "is not a market; write it like BTC/EUR")
    try:
        return market_symbol(parse_currency(base), parse_currency(quote))
    except InvalidInputError:
        raise InvalidInputError(row.field("symbol"), text, "is not a market; write it like BTC/EUR") from None


def _opened_at(row: _Row, timeframe: Timeframe, now: datetime) -> datetime:
    """When a bar starts: a moment with its offset from UTC, or a mere day, which starts at midnight in UTC."""
    text = row.cells["opened_at"]
    field = row.field("opened_at")
    try:
        opened_at = start_of(date.fromisoformat(text)) if _is_day(text) else datetime.fromisoformat(text)
        if opened_at.tzinfo is None:
            raise InvalidInputError(field, text, "has no time zone; end it with Z for UTC")
        opened_at = opened_at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInputError(field, text, "is not a time; write it like 2018-10-01T00:00Z") from None
    starts = opened_at.replace(minute=0, second=0, microsecond=0)
    if opened_at != (starts if timeframe is Timeframe.HOUR else starts.replace(hour=0)):
        where = "at a full hour" if timeframe is Timeframe.HOUR else "at midnight in UTC"
        raise InvalidInputError(field, text, f"is no start of a bar of {timeframe.value}; these start {where}")
    if opened_at.date() < FIRST_DAY:
        raise InvalidInputError(field, text, f"lies before every market; leave out what is older than {FIRST_DAY}")
    if opened_at > now - timeframe.length:
        raise InvalidInputError(field, text, "starts a bar that has not ended yet; leave it out")
    return opened_at


def _is_day(text: str) -> bool:
    return len(text) == len("2018-10-01")


def _price(row: _Row, name: str) -> Decimal:
    return parse_positive(_number(row, name), field=row.field(name))


def _volume(row: _Row) -> Decimal | None:
    """An empty cell is a volume that nobody knows."""
    if not row.cells["volume"]:
        return None
    volume = parse_decimal(_number(row, "volume"), field=row.field("volume"))
    if volume < ZERO:
        raise InvalidInputError(row.field("volume"), row.cells["volume"], "must not be negative")
    return volume


def _number(row: _Row, name: str) -> str:
    text = row.cells[name]
    if not _NUMBER.fullmatch(text):
        raise InvalidInputError(row.field(name), text, "is not a number; write it like 12.5")
    return text
