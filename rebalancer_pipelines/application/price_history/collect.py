"""Collecting price bars: every market is asked for once, and all that came of it is stored in one write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rebalancer_pipelines.application.ports import BarsRead, Ports
from rebalancer_pipelines.application.price_history.progress import Progress, unheard
from rebalancer_pipelines.application.price_history.questions import Question, questions
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.errors import InvalidInputError, VenueUnreachableError
from rebalancer_pipelines.domain.price_bar import PriceBar, Timeframe
from rebalancer_pipelines.domain.price_history import BarGap, StoredBars

_PATIENCE = 3
"""After so many markets in a row that could not be read, a source is left alone: each may take seconds to fail."""

_UNSEEN = "nobody offers bars of these days of a recorded market; what rebalances have seen of it is all there is"
_NO_MORE = "its source has no more"


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why markets of a price source have gaps. `is_total`: they have no bar at all in the span that was asked for."""

    price_source: str
    symbols: tuple[str, ...]
    reason: str
    is_total: bool

    def __str__(self) -> str:
        extent = "no prices at all" if self.is_total else "prices are missing"
        return f"{self.price_source} {', '.join(self.symbols)}: {extent}: {self.reason}"


@dataclass(frozen=True, slots=True)
class BarCollection:
    """What collecting bars of a span came to.

    `asked` counts markets. `gaps` is what is still missing, whoever should have had it, and `shortfalls` says why.
    `unread`: markets whose source could not be read, one line each; all others are stored all the same.
    """

    span: DaySpan
    timeframe: Timeframe
    asked: int
    stored: tuple[StoredBars, ...]
    gaps: tuple[BarGap, ...]
    shortfalls: tuple[Shortfall, ...]
    unread: tuple[str, ...]

    @property
    def has_prices(self) -> bool:
        """Whether there is a bar of any market in the span."""
        return sum(len(short.symbols) for short in self.shortfalls if short.is_total) < self.asked

    def check_any(self) -> None:
        """Raise `InvalidInputError` when no market has a bar in the span."""
        if self.has_prices:
            return
        reasons = "; ".join(map(str, self.shortfalls)) or "no portfolio needs any, and no recording covers them"
        raise InvalidInputError(
            "days",
            str(self.span),
            f"have no prices ({reasons}); choose other days, or import some with 'rebalancer bars import'",
        )


def collect_bars(
    ports: Ports,
    span: DaySpan,
    timeframe: Timeframe = Timeframe.DAY,
    *,
    progress: Progress = unheard,
) -> BarCollection:
    """Bring the bars of a span of days up to what their sources say; collecting again changes nothing.

    Raises `InvalidInputError` unless all days have ended.
    """
    span.check_ended(ports.clock.now())
    asked = questions(ports, span, timeframe)
    readings, unread = _read(ports, asked, timeframe, progress)
    with ports.transactions() as work:
        stored = work.bars.add([bar for reading in readings for bar in reading.bars])
        gaps = work.bars.gaps(timeframe, [question.days for question in asked])
        work.commit()
    return BarCollection(
        span=span,
        timeframe=timeframe,
        asked=len(_markets(asked)),
        stored=tuple(stored),
        gaps=tuple(gaps),
        shortfalls=_shortfalls(asked, readings, gaps, timeframe),
        unread=tuple(unread),
    )


def _read(
    ports: Ports, asked: Sequence[Question], timeframe: Timeframe, progress: Progress
) -> tuple[list[BarsRead], list[str]]:
    """What every question was answered, and lines on those that were not: nothing came of them."""
    now = ports.clock.now()
    seen = _observed(ports, asked)
    readings: list[BarsRead] = []
    unread: list[str] = []
    failures: dict[str, int] = defaultdict(int)
    for number, question in enumerate(asked, start=1):
        days = question.days
        reading = BarsRead((), f"{days.price_source} prices could not be read")
        if question.source is None:
            reading = BarsRead(seen[days.price_source, days.symbol], _UNSEEN)
        elif failures[days.price_source] < _PATIENCE:
            try:
                reading = question.source.read(days.symbol, timeframe, days.span, now)
                failures[days.price_source] = 0
            except VenueUnreachableError as error:
                unread.append(f"{days.price_source} {days.symbol}: {error}")
                failures[days.price_source] += 1
        else:
            unread.append(f"{days.price_source} {days.symbol}: not asked for, as others could not be read")
        readings.append(reading)
        progress(number, len(asked))
    return readings, unread


def _observed(ports: Ports, asked: Iterable[Question]) -> dict[tuple[str, str], list[PriceBar]]:
    """What rebalances have seen, by price source and symbol; within the days that were asked for."""
    wanted = {(q.days.price_source, q.days.symbol): q.days.span for q in asked if q.source is None}
    seen: dict[tuple[str, str], list[PriceBar]] = defaultdict(list)
    with ports.transactions() as work:
        for price_source in sorted({source for source, _ in wanted}):
            spans = [span for (source, _), span in wanted.items() if source == price_source]
            whole = DaySpan(min(span.first for span in spans), max(span.last for span in spans))
            for bar in work.bars.observed(price_source, whole):
                span = wanted.get((price_source, bar.symbol))
                if span is not None and span.starts_at <= bar.opened_at < span.ends_at:
                    seen[price_source, bar.symbol].append(bar)
    return seen


def _markets(asked: Iterable[Question]) -> set[tuple[str, str]]:
    return {(question.days.price_source, question.days.symbol) for question in asked}


def _shortfalls(
    asked: Sequence[Question], readings: Sequence[BarsRead], gaps: Iterable[BarGap], timeframe: Timeframe
) -> tuple[Shortfall, ...]:
    """Markets with gaps, those with the same reason together."""
    missing: dict[tuple[str, str], int] = defaultdict(int)
    for gap in gaps:
        missing[gap.price_source, gap.symbol] += gap.bars
    wanted: dict[tuple[str, str], int] = defaultdict(int)
    reasons: dict[tuple[str, str], str] = {}
    for question, reading in zip(asked, readings, strict=True):
        market = question.days.price_source, question.days.symbol
        wanted[market] += question.days.bars(timeframe)
        reasons[market] = reading.remark or reasons.get(market, _NO_MORE)
    together: dict[tuple[str, str, bool], list[str]] = defaultdict(list)
    for market in sorted(missing):
        price_source, symbol = market
        together[price_source, reasons[market], missing[market] == wanted[market]].append(symbol)
    return tuple(
        Shortfall(price_source, tuple(symbols), reason, is_total)
        for (price_source, reason, is_total), symbols in together.items()
    )
