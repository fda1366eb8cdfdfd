"""The tables of a report: rebalances in figures, execution, failures, and the last rebalances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from html import escape
from typing import Any

from rebalancer_pipelines.adapters.report import words
from rebalancer_pipelines.application.portfolio_report import ReportedHistory
from rebalancer_pipelines.domain.statistics import RecentRebalance

_Cell = Callable[[Any], str]
_THOUSAND = Decimal(1000)


def statistics(history: ReportedHistory) -> str:
    """Counts, sums and times of the rebalances, a column per mode."""
    rates = {row.run_mode: row for row in history.overall}
    rows: list[tuple[str, _Cell]] = [
        ("Rebalances", lambda row: words.whole(row.rebalances)),
        (
            "Success rate",
            lambda row: words.points(
                rates[row.run_mode].success_rate if row.run_mode in rates else None, unit="\u00a0%"
            ),
        ),
        ("Traded in all", lambda row: words.money(row.total_value_traded, row.valuation_currency)),
        ("Average value", lambda row: words.money(row.average_portfolio_value, row.valuation_currency)),
        ("Fees", lambda row: words.money(row.fees_paid, row.valuation_currency)),
        ("Orders planned", lambda row: words.whole(row.orders_planned)),
        ("Orders executed", lambda row: words.whole(row.orders_executed)),
        ("Orders failed", lambda row: words.whole(row.orders_failed)),
        ("Average duration", lambda row: f"{words.points(row.average_duration_ms / _THOUSAND)} s"),
        ("95 % took at most", lambda row: f"{words.points(row.p95_duration_ms / _THOUSAND)} s"),
    ]
    if not history.statistics:
        return ""
    heads = "".join(f'<th scope="col">{words.MODES[row.run_mode]}</th>' for row in history.statistics)
    body = "".join(
        f'<tr><th scope="row">{name}</th>'
        + "".join(f"<td>{escape(cell(row))}</td>" for row in history.statistics)
        + "</tr>"
        for name, cell in rows
    )
    return _block(
        "Rebalances in figures",
        f'<table class="plain"><thead><tr><td></td>{heads}</tr></thead><tbody>{body}</tbody></table>',
    )


def execution_quality(history: ReportedHistory) -> str:
    """How well orders were filled, by market and side."""
    return _table(
        "Execution",
        history.execution_quality,
        [
            ("Market", lambda row: f"{row.symbol} {row.side}"),
            ("Mode", lambda row: words.MODES[row.run_mode]),
            ("Fills", lambda row: words.whole(row.fills)),
            ("Slippage, bp", lambda row: words.points(row.slippage_bps)),
            ("Fees, bp", lambda row: words.points(row.fees_bps)),
            ("Maker", lambda row: words.percent(row.maker_share)),
            ("Fill, s", lambda row: words.points(row.median_seconds_to_fill)),
        ],
        note="Slippage is held against the mid price that the decision rested on, in basis points (0.01\u00a0%); "
        "above zero it cost money. Fill: the median time from order to fill.",
        texts=2,
    )


def failures(history: ReportedHistory) -> str:
    """Why rebalances failed or were denied."""
    return _table(
        "Why rebalances failed or were denied",
        history.failure_reasons,
        [
            ("Reason", lambda row: row.code),
            ("Mode", lambda row: words.MODES[row.run_mode]),
            ("Times", lambda row: words.whole(row.occurrences)),
            ("Last (UTC)", lambda row: words.minute(row.last_at)),
            ("What it said last", lambda row: row.last_message or words.UNKNOWN),
        ],
        texts=2,
    )


def recent(history: ReportedHistory) -> str:
    """The last rebalances, newest first."""
    heads = ("Executed at (UTC)", "Result", "Mode", "Value", "Traded", "Orders", "By")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    rows = "".join(_recent(row, heads) for row in history.recent)
    if not rows:
        return ""
    return _block(
        "Last rebalances",
        f'<table class="cards"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>',
    )


def _recent(row: RecentRebalance, heads: Sequence[str]) -> str:
    outcome = "done" if row.success else "failed"
    said = f'<span class="said">{escape(row.first_error)}</span>' if row.first_error else ""
    cells = (
        f'<span class="outcome {outcome}">{outcome.capitalize()}</span>{said}',
        escape(words.MODES[row.run_mode]),
        escape(words.money(row.portfolio_value, row.valuation_currency)),
        escape(words.money(row.total_value_traded, row.valuation_currency)),
        escape(words.whole(row.orders_executed)),
        escape(row.triggered_by),
    )
    return (
        f'<tr><th scope="row">{escape(words.minute(row.executed_at))}</th>'
        + "".join(f'<td data-head="{name}">{cell}</td>' for name, cell in zip(heads[1:], cells, strict=True))
        + "</tr>"
    )


def _table(title: str, rows: Sequence[Any], columns: Sequence[tuple[str, _Cell]], *, texts: int, note: str = "") -> str:
    """A table of rows, unless there are none; so many first columns are text, the others figures."""
    if not rows:
        return ""
    kinds = ["text" if number < texts else "figure" for number in range(len(columns))]
    if columns[-1][0].startswith("What"):
        kinds[-1] = "text"
    head = "".join(
        f'<th scope="col" class="{kind}">{name}</th>' for kind, (name, _) in zip(kinds, columns, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row">{escape(columns[0][1](row))}</th>'
        + "".join(
            f'<td class="{kind}">{escape(cell(row))}</td>'
            for kind, (_, cell) in zip(kinds[1:], columns[1:], strict=True)
        )
        + "</tr>"
        for row in rows
    )
    table = f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return _block(title, table, note=note)


def _block(title: str, table: str, *, note: str = "") -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return (
        f'<section class="block"><h3>{escape(title)}</h3>'
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(title)}">{table}</div>{said}</section>'
    )
