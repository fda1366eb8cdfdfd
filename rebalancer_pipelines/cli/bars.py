"""`rebalancer bars …`: the price history, collected, imported, and what is missing of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from rebalancer_pipelines.adapters.prices.bar_files import CsvFolder
from rebalancer_pipelines.application.documents import Document, moment
from rebalancer_pipelines.application.price_history.collect import BarCollection, collect_bars
from rebalancer_pipelines.application.price_history.files import import_bars
from rebalancer_pipelines.application.price_history.gaps import known_gaps
from rebalancer_pipelines.cli.options import AsJson, DataDir
from rebalancer_pipelines.cli.output import minute, print_json, print_table, say
from rebalancer_pipelines.cli.progress import counting
from rebalancer_pipelines.cli.session import open_session
from rebalancer_pipelines.domain.day_span import DaySpan, parse_day
from rebalancer_pipelines.domain.price_bar import Timeframe, parse_timeframe
from rebalancer_pipelines.domain.price_history import BarGap, StoredBars

app = typer.Typer(help="Price history: bars of a day or an hour, and what is missing of them.", no_args_is_help=True)

FirstDay = Annotated[str, typer.Option("--from", help="First day, in UTC, such as 2018-10-01.", show_default=False)]
LastDay = Annotated[str, typer.Option("--to", help="Last day; it must have ended.", show_default=False)]
BarLength = Annotated[str, typer.Option("--timeframe", help="1d or 1h.")]

_COUNTS = ("added", "changed", "unchanged", "outranked")


@app.command("collect")
def collect(
    first: FirstDay,
    last: LastDay,
    timeframe: BarLength = Timeframe.DAY.value,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Collect the bars of all markets that portfolios need; collecting again changes nothing.

    Exit 1 when a market could not be read; what could be is stored.
    """
    span = DaySpan(parse_day(first, field="from"), parse_day(last, field="to"))
    length = parse_timeframe(timeframe)
    with open_session(data_dir) as session, counting("Collecting bars", hidden=as_json) as progress:
        collected = collect_bars(session.ports, span, length, progress=progress)
    if not collected.unread:
        collected.check_any()
    if as_json:
        print_json(_collection_document(collected))
    else:
        _print_collection(collected)
    raise typer.Exit(1 if collected.unread else 0)


@app.command("import")
def import_folder(
    folder: Annotated[Path, typer.Argument(help="Holds .csv files: symbol,opened_at,open,high,low,close,volume.")],
    prices: Annotated[str, typer.Option(help="Whose prices they are: live or recorded.", show_default=False)],
    timeframe: Annotated[
        str | None, typer.Option(help="1d or 1h, for files without a column timeframe.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Store the bars of every CSV file of a folder, or none of them when a row is bad.

    Bars of the venue or the recording itself stand as they are.
    """
    length = None if timeframe is None else parse_timeframe(timeframe)
    with open_session(data_dir) as session, counting("Reading files", hidden=as_json) as progress:
        session.ports.bar_sources.of(prices)
        files = CsvFolder(folder, prices, length, session.ports.clock)
        stored = import_bars(session.ports, files, progress=progress)
    if as_json:
        print_json([asdict(one) for one in stored])
        return
    _print_stored("Imported", stored)


@app.command("gaps")
def gaps(timeframe: BarLength = Timeframe.DAY.value, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List what is missing up to yesterday: from a market's oldest bar, or from the first book that needs it."""
    length = parse_timeframe(timeframe)
    with open_session(data_dir) as session:
        found = known_gaps(session.ports, length)
    if as_json:
        print_json([_gap_document(gap) for gap in found])
    elif found:
        _print_gaps(found)
    else:
        say(f"No bar of {length.value} is missing.")


def _collection_document(collected: BarCollection) -> Document:
    return {
        "from": collected.span.first.isoformat(),
        "to": collected.span.last.isoformat(),
        "timeframe": collected.timeframe.value,
        "stored": [asdict(one) for one in collected.stored],
        "gaps": [_gap_document(gap) for gap in collected.gaps],
        "shortfalls": [asdict(short) for short in collected.shortfalls],
        "unread": list(collected.unread),
    }


def _gap_document(gap: BarGap) -> dict[str, Any]:
    return {**asdict(gap), "first": moment(gap.first), "last": moment(gap.last)}


def _print_collection(collected: BarCollection) -> None:
    _print_stored(f"Bars of {collected.timeframe.value}, {collected.span}", collected.stored)
    if collected.gaps:
        _print_gaps(collected.gaps)
    for short in collected.shortfalls:
        say(str(short))
    for line in collected.unread:
        say(f"NOT READ: {line}")


def _print_stored(title: str, stored: Sequence[StoredBars]) -> None:
    rows = ((one.price_source, one.symbol, *(str(getattr(one, count)) for count in _COUNTS)) for one in stored)
    print_table(title, ("prices", "market", *_COUNTS), rows, numbers=_COUNTS)
    if any(one.outranked for one in stored):
        say("Outranked: other bars stand, which are of the venue or the recording itself.")


def _print_gaps(found: Iterable[BarGap]) -> None:
    rows = (
        (gap.price_source, gap.symbol, minute(moment(gap.first)), minute(moment(gap.last)), str(gap.bars))
        for gap in found
    )
    print_table("Missing", ("prices", "market", "from (UTC)", "to (UTC)", "bars"), rows, numbers=("bars",))
