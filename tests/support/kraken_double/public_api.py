"""Kraken's public endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.support.kraken_double.errors import UNKNOWN_PAIR, RefusedError, invalid
from tests.support.kraken_double.listings import Listings

INTERVALS = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
"""Minutes of the bars that OHLC knows."""
_MOST_BARS = 720

Chart = dict[int, list[Any]]
"""Bars by the second at which they open, each as OHLC lists it."""


class PublicApi:
    """`tickers` is the table that Ticker answers from, by pair id; its values may be anything.

    `charts` is OHLC's, by pair id and minutes: everything that ever was, whatever of it Kraken would still tell.
    """

    def __init__(self, listings: Listings) -> None:
        self.tickers: dict[str, Any] = {}
        self.charts: dict[tuple[str, int], Chart] = {}
        self.system_status = "online"
        self._listings = listings

    def time(self, _: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """Whole seconds, however late in the second it is."""
        return {"unixtime": int(now.timestamp()), "rfc1123": f"{now:%a, %d %b %y %H:%M:%S} +0000"}

    def status(self, _: Mapping[str, str], now: datetime) -> dict[str, Any]:
        return {"status": self.system_status, "timestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}"}

    def assets(self, _: Mapping[str, str], __: datetime) -> dict[str, Any]:
        return self._listings.assets

    def pairs(self, parameters: Mapping[str, str], _: datetime) -> dict[str, Any]:
        if "pair" not in parameters:
            return self._listings.pairs
        return {pair_id: self._listings.pairs[pair_id] for pair_id in self._asked(parameters["pair"])}

    def ticker(self, parameters: Mapping[str, str], _: datetime) -> dict[str, Any]:
        """One unknown pair fails the whole request."""
        if "pair" not in parameters:
            return self.tickers
        asked = self._asked(parameters["pair"])
        if any(pair_id not in self.tickers for pair_id in asked):
            raise RefusedError(UNKNOWN_PAIR)
        return {pair_id: self.tickers[pair_id] for pair_id in asked}

    def ohlc(self, parameters: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """The newest 720 bars, of these the ones after `since`; the last is always the one under way."""
        (pair_id,) = self._asked(parameters.get("pair", ""))
        minutes, since = _whole(parameters, "interval", 1), _whole(parameters, "since", 0)
        if minutes not in INTERVALS:
            raise invalid("interval")
        chart = self.charts.get((pair_id, minutes), {})
        under_way = int(now.timestamp()) // (minutes * 60) * minutes * 60
        rows = [chart[second] for second in sorted(chart) if second <= under_way]
        if under_way not in chart:
            price = rows[-1][4] if rows else "0.0"
            rows.append([under_way, price, price, price, price, "0.0", "0.00000000", 0])
        told = [row for row in rows[-_MOST_BARS:-1] if row[0] > since]
        return {pair_id: [*told, rows[-1]], "last": rows[-2][0] if len(rows) > 1 else 0}

    def _asked(self, names: str) -> list[str]:
        asked = []
        for name in names.split(","):
            pair_id = self._listings.pair_id(name)
            if pair_id is None:
                raise RefusedError(UNKNOWN_PAIR)
            asked.append(pair_id)
        return asked


def _whole(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name, str(default))
    if not text.isdecimal():
        raise invalid(name)
    return int(text)
