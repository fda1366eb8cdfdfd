"""What is asked of whom: the markets and days of which there should be bars, each with its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from rebalancer_pipelines.application.ports import BarSource, Ports
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.price_bar import Timeframe
from rebalancer_pipelines.domain.price_history import MarketDays, NeededMarket


@dataclass(frozen=True, slots=True)
class Question:
    """Days of a market. `source` None: nobody offers bars of them; what rebalances have seen is all that is known."""

    days: MarketDays
    source: BarSource | None


def questions(ports: Ports, span: DaySpan, timeframe: Timeframe) -> list[Question]:
    """Everything of which there should be bars in a span, by price source and market.

    These are the markets that portfolios need, all through the span; of a recording all its markets, on its own days.
    On other days a recorded market is asked for from the first day of a book that needs it, and by the day only: what
    was seen now and then does not make hours.
    """
    with ports.transactions() as work:
        needed = work.bars.needed()
    asked: list[Question] = []
    for price_source in sorted({*ports.bar_sources.always, *(need.price_source for need in needed)}):
        here = [need for need in needed if need.price_source == price_source]
        asked += _of(ports, price_source, here, span, timeframe)
    return sorted(
        asked, key=lambda question: (question.days.price_source, question.days.symbol, question.days.span.first)
    )


def _of(
    ports: Ports, price_source: str, needed: Sequence[NeededMarket], span: DaySpan, timeframe: Timeframe
) -> list[Question]:
    source = ports.bar_sources.of(price_source)
    recorded = source.recorded
    if recorded is None:
        return [
            Question(MarketDays(price_source, need.symbol, span), ports.bar_sources.of(price_source, need.endpoint))
            for need in needed
        ]
    asked: list[Question] = []
    on_the_recording = span.within(recorded)
    if on_the_recording is not None:
        asked += [Question(MarketDays(price_source, symbol, on_the_recording), source) for symbol in source.markets]
    if timeframe is Timeframe.DAY:
        for need in needed:
            since = max(need.since, recorded.last + timedelta(days=1)) if need.since else None
            later = span.since(since) if since else None
            if later is not None:
                asked.append(Question(MarketDays(price_source, need.symbol, later), None))
    return asked
