"""What is missing of the price history, as it is stored now; nobody is asked for anything."""

from __future__ import annotations

from collections.abc import Sequence

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.price_history.questions import questions
from rebalancer_pipelines.domain.day_span import FIRST_DAY, DaySpan, last_ended_day
from rebalancer_pipelines.domain.price_bar import Timeframe
from rebalancer_pipelines.domain.price_history import BarGap, MarketDays


def known_gaps(ports: Ports, timeframe: Timeframe) -> Sequence[BarGap]:
    """The gaps of every market: from its oldest bar, or the first day of a book that needs it, up to yesterday."""
    until_now = DaySpan(FIRST_DAY, last_ended_day(ports.clock.now()))
    asked = questions(ports, until_now, timeframe)
    with ports.transactions() as work:
        first_bars = work.bars.first_days(timeframe)
        books = {(need.price_source, need.symbol): need.since for need in work.bars.needed()}
        wanted: list[MarketDays] = []
        for days in (question.days for question in asked):
            market = days.price_source, days.symbol
            known = [day for day in (first_bars.get(market), books.get(market)) if day is not None]
            span = days.span.since(min(known)) if known else None
            if span is not None:
                wanted.append(MarketDays(days.price_source, days.symbol, span))
        return work.bars.gaps(timeframe, wanted)
