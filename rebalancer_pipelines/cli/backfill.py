"""`rebalancer backfill`: prices of a span of days, and what portfolios were worth on them."""

from __future__ import annotations

from typing import Annotated

import typer

from rebalancer_pipelines.application.portfolio_history.backfill import PRICES, VALUES, Backfill, backfill
from rebalancer_pipelines.cli.options import AsJson, DataDir
from rebalancer_pipelines.cli.output import print_json, say
from rebalancer_pipelines.cli.progress import counting_each
from rebalancer_pipelines.cli.session import open_session
from rebalancer_pipelines.domain.day_span import DaySpan, parse_day

_MOST_LINES = 20


def backfill_history(
    first_day: Annotated[str, typer.Option("--from", help="First day, such as 2018-10-01 (UTC).")],
    last_day: Annotated[str, typer.Option("--to", help="Last day; it must have ended.")],
    portfolio: Annotated[str | None, typer.Option(help="One portfolio; all when none is named.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Collect daily prices and value portfolios day by day; run again, it goes on or changes nothing."""
    span = DaySpan(parse_day(first_day, field="from"), parse_day(last_day, field="to"))
    with open_session(data_dir) as session, counting_each(PRICES, VALUES, hidden=as_json) as progress:
        found = backfill(session.ports, span, portfolio, progress=progress)
    if as_json:
        print_json(_document(span, found))
    else:
        _say(span, found)
    raise typer.Exit(1 if found.bars.unread else 0)


def _document(span: DaySpan, found: Backfill) -> dict[str, object]:
    return {
        "from": span.first.isoformat(),
        "to": span.last.isoformat(),
        "bars": {
            "added": sum(one.added for one in found.bars.stored),
            "changed": sum(one.changed for one in found.bars.stored),
            "unread": list(found.bars.unread),
        },
        "values": {"days": found.books, "changed": found.changed},
        "missing": [
            {"portfolio": one.portfolio, "basis": one.basis.value, "day": one.day.isoformat(), "of": one.currencies}
            for one in found.missing
        ],
    }


def _say(span: DaySpan, found: Backfill) -> None:
    stored = found.bars.stored
    added, changed = sum(one.added for one in stored), sum(one.changed for one in stored)
    say(f"{span}: {added} prices are new, {changed} were changed.")
    say(f"{found.books} values of portfolios, of which {found.changed} are new or changed.")
    for line in found.bars.unread:
        say(f"  Not read: {line}; run this again later.")
    for one in found.missing[:_MOST_LINES]:
        lacking = ", ".join(one.currencies)
        say(f"  {one.day} {one.portfolio} ({one.basis.value}): no value, for want of a close of {lacking}")
    if len(found.missing) > _MOST_LINES:
        say(f"  and {len(found.missing) - _MOST_LINES} more; --json names all.")
