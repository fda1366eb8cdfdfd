"""Days made of hours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import groupby

from rebalancer_pipelines.domain.price_bar import PriceBar, Timeframe
from rebalancer_pipelines.domain.values import exact_sum

_LAST_HOUR = timedelta(hours=23)


def days_of(hours: Iterable[PriceBar]) -> list[PriceBar]:
    """The daily bars of one market's hourly bars, which come in order of time.

    A day opens with its first hour and closes with its last. Hours may be missing in between; without the hour that
    ends at midnight a day is a gap, since its close is what books are valued at and an earlier one would pass for it.
    """
    days: list[PriceBar] = []
    for midnight, group in groupby(hours, key=lambda hour: hour.opened_at.replace(hour=0)):
        of_day = list(group)
        if of_day[-1].opened_at == midnight + _LAST_HOUR:
            days.append(
                replace(
                    of_day[0],
                    timeframe=Timeframe.DAY,
                    opened_at=midnight,
                    high=max(hour.high for hour in of_day),
                    low=min(hour.low for hour in of_day),
                    close=of_day[-1].close,
                    volume=_volume(of_day),
                )
            )
    return days


def _volume(hours: list[PriceBar]) -> Decimal | None:
    volumes = [hour.volume for hour in hours if hour.volume is not None]
    return exact_sum(volumes) if len(volumes) == len(hours) else None
