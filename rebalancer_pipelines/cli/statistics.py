"""`rebalancer stats`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.text import Text

from rebalancer_pipelines.application.documents import moment
from rebalancer_pipelines.application.statistics import StatisticsOverview, read_statistics, statistics_document
from rebalancer_pipelines.cli.options import AsJson, DataDir
from rebalancer_pipelines.cli.output import minute, money, print_json, print_table, say
from rebalancer_pipelines.cli.session import open_session
from rebalancer_pipelines.domain.history_basis import HistoryBasis
from rebalancer_pipelines.domain.statistics import RunMode
from rebalancer_pipelines.domain.values import HUNDRED

_ROWS = 20
"""So many rows of a table people read; a program is given all."""

_MODES = {RunMode.LIVE: "live", RunMode.DRY_RUN: "dry run", RunMode.BACKFILL: "backfill"}
_BASES = {HistoryBasis.BOOKED: "booked", HistoryBasis.REHEARSED: "rehearsed"}

_Columns = Mapping[str, Callable[[Any], str | Text]]


def stats(
    name: Annotated[str | None, typer.Argument(help="A portfolio; all together when none is named.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show success rate, traded value, execution quality, performance and failures."""
    with open_session(data_dir) as session:
        overview = read_statistics(session.ports, name)
    if as_json:
        print_json(statistics_document(overview))
        return
    _print_overview(overview)


def _print_overview(overview: StatisticsOverview) -> None:
    if not overview.rebalance_success_rate and not overview.portfolio_performance:
        say(f"No rebalance of {overview.portfolio or 'any portfolio'} is in the analytics yet.")
        return
    several = overview.portfolio is None
    owner: _Columns = {"portfolio": lambda row: row.portfolio_name} if several else {}
    mode: _Columns = {"mode": lambda row: _MODES[row.run_mode]}
    _table(
        "Success rate",
        {
            **mode,
            "rebalances": _count("rebalances"),
            "done": _count("successes"),
            "failed": _count("failures"),
            "success %": lambda row: money(row.success_rate),
        },
        overview.rebalance_success_rate,
    )
    _table(
        "Rebalances",
        {
            **mode,
            "currency": lambda row: row.valuation_currency,
            "traded": lambda row: money(row.total_value_traded),
            "average value": lambda row: money(row.average_portfolio_value),
            "fees": lambda row: money(row.fees_paid),
            "average s": lambda row: _seconds(row.average_duration_ms),
            "p95 s": lambda row: _seconds(row.p95_duration_ms),
            "planned": _count("orders_planned"),
            "executed": _count("orders_executed"),
            "failed": _count("orders_failed"),
        },
        overview.rebalance_statistics,
    )
    _table(
        "Traded value",
        {
            **mode,
            "currency": lambda row: row.currency,
            "side": lambda row: row.side,
            "orders": _count("orders"),
            "traded": lambda row: f"{money(row.traded_value)} {row.valuation_currency}",
        },
        overview.traded_value,
    )
    _table(
        "Execution quality",
        {
            **owner,
            **mode,
            "market": lambda row: row.symbol,
            "side": lambda row: row.side,
            "fills": _count("fills"),
            "slippage bp": lambda row: money(row.slippage_bps),
            "fees bp": lambda row: money(row.fees_bps),
            "maker %": lambda row: _percent(row.maker_share),
            "s to fill": lambda row: money(row.median_seconds_to_fill),
        },
        overview.execution_quality,
    )
    _table(
        "Performance",
        {
            **owner,
            "basis": lambda row: _BASES[row.basis],
            "day": lambda row: row.day.isoformat(),
            "value": lambda row: f"{money(row.value)} {row.valuation_currency}",
            "return %": lambda row: _percent(row.cumulative_return),
            "held instead %": lambda row: _percent(row.hold_return),
            "edge": lambda row: _percent(row.edge),
            "drawdown %": lambda row: _percent(row.drawdown),
            "volatility %": lambda row: _percent(row.volatility),
            "fees": lambda row: money(row.fees_to_date),
        },
        overview.portfolio_performance,
    )
    _table(
        "Failures",
        {
            **mode,
            "code": lambda row: row.code,
            "times": _count("occurrences"),
            "last": lambda row: minute(moment(row.last_at)),
            "message": lambda row: row.last_message or "-",
        },
        overview.failure_reasons,
    )
    _table(
        "Recent rebalances",
        {
            "executed at": lambda row: minute(moment(row.executed_at)),
            "portfolio": lambda row: row.portfolio_name,
            **mode,
            "result": lambda row: Text("done", "green") if row.success else Text("failed", "red"),
            "value": lambda row: money(row.portfolio_value),
            "traded": lambda row: money(row.total_value_traded),
            "orders": _count("orders_executed"),
            "by": lambda row: row.triggered_by,
        },
        overview.recent_rebalances,
    )
    say("live: orders were sent, also to a paper venue; dry run: nothing was sent; backfill and rehearsed: what the")
    say("planner would have done on a recorded market, no money moved. Times and days are UTC.")


_WORDS = {"portfolio", "mode", "currency", "side", "market", "basis", "day", "code", "last", "message"} | {
    "executed at",
    "result",
    "by",
}
"""Columns of text; all others are numbers and stand to the right."""


def _table(title: str, columns: _Columns, found: Sequence[Any]) -> None:
    """Print the rows, unless there are none."""
    if not found:
        return
    rows: Iterable[list[str | Text]] = ([cell(row) for cell in columns.values()] for row in found[:_ROWS])
    print_table(title, tuple(columns), rows, numbers=[name for name in columns if name not in _WORDS])
    if len(found) > _ROWS:
        say(f"  … and {len(found) - _ROWS} more: name a portfolio, or take --json")


def _count(field: str) -> Callable[[Any], str]:
    return lambda row: f"{getattr(row, field):,}"


def _percent(fraction: Decimal | None) -> str:
    return money(fraction * HUNDRED) if fraction is not None else "-"


def _seconds(milliseconds: Decimal | None) -> str:
    return money(milliseconds / 1000) if milliseconds is not None else "-"
