"""Kraken's public endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.support.kraken_double.errors import UNKNOWN_PAIR, RefusedError
from tests.support.kraken_double.listings import Listings


class PublicApi:
    """`tickers` is the table that Ticker answers from, by pair id; its values may be anything."""

    def __init__(self, listings: Listings) -> None:
        self.tickers: dict[str, Any] = {}
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

    def _asked(self, names: str) -> list[str]:
        asked = []
        for name in names.split(","):
            pair_id = self._listings.pair_id(name)
            if pair_id is None:
                raise RefusedError(UNKNOWN_PAIR)
            asked.append(pair_id)
        return asked
