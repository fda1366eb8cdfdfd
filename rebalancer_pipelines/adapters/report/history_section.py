"""One basis of a portfolio's history as a section of the page: headline figures, charts, tables."""

from __future__ import annotations

from html import escape

from rebalancer_pipelines.adapters.report import performance_figures, rebalance_figures, tables, words
from rebalancer_pipelines.adapters.report.figure import Figure
from rebalancer_pipelines.application.portfolio_report import PortfolioReport, ReportedHistory
from rebalancer_pipelines.domain.history_basis import HistoryBasis
from rebalancer_pipelines.domain.statistics import PerformanceDay
from rebalancer_pipelines.domain.values import ZERO

_RECORDED = "recorded"


def history_section(report: PortfolioReport, history: ReportedHistory) -> str:
    """The section as markup."""
    prefix = history.basis.value
    currency = report.portfolio.valuation_currency
    figures: list[Figure | None] = []
    if history.newest is not None:
        figures += performance_figures.performance_figures(history, currency, prefix=prefix)
    figures += [
        rebalance_figures.drift(history, prefix=prefix),
        rebalance_figures.traded_value(history, currency, prefix=prefix),
        rebalance_figures.success(history, prefix=prefix),
    ]
    if history.newest is not None:
        figures.append(performance_figures.fees(history, currency, prefix=prefix))
    drawn = "".join(figure.html() for figure in figures if figure is not None)
    return (
        f'<section class="history {prefix}" aria-labelledby="{prefix}"><header>'
        f'<h2 id="{prefix}">{escape(_title(history))}</h2><p class="lead">{escape(_lead(report, history))}</p></header>'
        f"{_tiles(history, currency)}"
        f'<div class="figures">{drawn}</div>'
        f"{tables.recent(history)}"
        f'<div class="pair">{tables.statistics(history)}{tables.execution_quality(history)}</div>'
        f"{tables.failures(history)}</section>"
    )


def _title(history: ReportedHistory) -> str:
    if history.basis is HistoryBasis.BOOKED:
        return "What happened"
    first, last = (day.year for day in history.span)
    years = str(first) if first == last else f"{first}–{last}"
    return f"Rehearsed on a recorded market ({years}): what the planner would have done, no money moved"


def _lead(report: PortfolioReport, history: ReportedHistory) -> str:
    sentences: list[str] = []
    if history.basis is HistoryBasis.BOOKED:
        account = report.account
        money = "play money on a paper account" if account.is_paper else f"real money at {account.venue}"
        recorded = account.price_source == _RECORDED
        prices = "prices of a recorded market, not today's" if recorded else f"{account.price_source} prices"
        sentences.append(f"This portfolio trades {money}, at {prices}.")
    newest = history.newest
    if newest is None:
        sentences.append(
            "No day of it has a value yet: days get theirs when they have ended, or by 'rebalancer backfill'."
        )
    elif newest.cumulative_return is not None:
        first = history.days[0].day
        sentences.append(
            f"From {words.day(first)} to {words.day(newest.day)} its money returned "
            f"{words.percent(newest.cumulative_return, signed=True)}; held and never traded it would have returned "
            f"{words.percent(newest.hold_return, signed=True)}."
        )
    return " ".join(sentences)


def _tiles(history: ReportedHistory, currency: str) -> str:
    tiles: list[tuple[str, str, str, str]] = []
    newest = history.newest
    if newest is not None:
        deepest = min(
            (row.drawdown for row in history.days if row.value is not None and row.drawdown is not None), default=None
        )
        tiles += [
            ("Value", words.money(newest.value), f"{currency} on {words.day(newest.day)}", ""),
            (
                "Return",
                words.percent(newest.cumulative_return, signed=True),
                "time-weighted, after fees",
                _tone(newest, "cumulative_return"),
            ),
            (
                "Edge",
                words.percent(newest.edge, signed=True),
                f"over holding ({words.percent(newest.hold_return, signed=True)})",
                _tone(newest, "edge"),
            ),
            ("Deepest drawdown", words.percent(deepest), f"now {words.percent(newest.drawdown)}", ""),
            (
                "Volatility",
                words.percent(newest.volatility),
                "a year, from the last 30 days",
                "",
            ),
        ]
    for row in history.overall:
        if row.run_mode is history.charted:
            tiles.append(
                (
                    "Success rate",
                    words.points(row.success_rate, unit="\u00a0%"),
                    f"{words.whole(row.successes)} of {words.counted(row.rebalances, 'rebalance')}",
                    "",
                )
            )
    shown = "".join(
        f'<div><dt>{name}</dt><dd class="{tone}">{escape(figure)}</dd><dd class="about">{escape(about)}</dd></div>'
        for name, figure, about, tone in tiles
    )
    return f'<dl class="tiles">{shown}</dl>' if shown else ""


def _tone(day: PerformanceDay, field: str) -> str:
    number = getattr(day, field)
    return "" if not number else "gain" if number > ZERO else "loss"
