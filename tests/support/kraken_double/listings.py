"""What the double lists: assets and pairs, in the fields and formats of Kraken's Assets and AssetPairs.

The tables are plain JSON values that a test may change; everything the engine decides is read from them at that moment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_CODES = {"XBT": "BTC", "XDG": "DOGE"}
"""ccxt's and most people's name for what Kraken calls otherwise."""

TAKER_PERCENT, MAKER_PERCENT = Decimal("0.40"), Decimal("0.25")


@dataclass(frozen=True, slots=True)
class _Row:
    """A pair with EUR: Kraken's names, decimals of the base asset and of prices, minimum order, quotes at the start."""

    base: str
    altname: str
    asset_decimals: int
    pair_decimals: int
    ordermin: str
    bid: str
    ask: str
    status: str = "online"


_ROWS = (
    _Row("XXBT", "XBT", 10, 1, "0.00005", "61234.50000", "61234.60000"),
    _Row("XETH", "ETH", 10, 2, "0.001", "2431.37000", "2431.38000"),
    _Row("SOL", "SOL", 10, 2, "0.06", "143.12000", "143.13000"),
    _Row("XXRP", "XRP", 8, 5, "2", "1.82310", "1.82330"),
    _Row("XLTC", "LTC", 10, 2, "0.05", "78.41000", "78.45000"),
    _Row("ADA", "ADA", 8, 6, "8", "0.412310", "0.412540"),
    _Row("DOT", "DOT", 10, 4, "1.2", "4.10230", "4.10460"),
    _Row("LINK", "LINK", 10, 5, "0.35", "13.50210", "13.50640"),
    _Row("PEPE", "PEPE", 5, 9, "500000", "0.000007123", "0.000007124"),
    _Row("XXDG", "XDG", 8, 7, "30", "0.1412300", "0.1412900"),
    _Row("AVAX", "AVAX", 10, 2, "0.25", "18.72000", "18.74000"),
    _Row("ATOM", "ATOM", 8, 4, "1.5", "3.91120", "3.91430"),
    _Row("UNI", "UNI", 10, 3, "0.8", "6.21400", "6.22100"),
    _Row("XXLM", "XLM", 8, 6, "20", "0.231400", "0.231510"),
    _Row("ALGO", "ALGO", 8, 5, "30", "0.16112", "0.16134"),
    _Row("TRX", "TRX", 8, 6, "25", "0.241230", "0.241310"),
    _Row("AAVE", "AAVE", 10, 2, "0.04", "171.22000", "171.39000"),
    _Row("FIL", "FIL", 10, 3, "2.5", "1.93100", "1.93400"),
    _Row("XETC", "ETC", 10, 3, "0.35", "15.41000", "15.43000"),
    _Row("BCH", "BCH", 10, 2, "0.012", "421.05000", "421.32000"),
    _Row("NEAR", "NEAR", 8, 3, "2.5", "1.89200", "1.89500"),
    _Row("SUI", "SUI", 8, 4, "2", "2.81420", "2.81590"),
    _Row("CRV", "CRV", 8, 3, "10", "0.61200", "0.61300"),
    _Row("HALT", "HALT", 10, 4, "1", "1.0000", "1.0001", "cancel_only"),
    _Row("POST", "POST", 10, 4, "1", "1.0000", "1.0001", "post_only"),
)
_EUR_DECIMALS = 4
_EUR_COST_DECIMALS = 5


class Listings:
    """`pairs` by id (`XXBTZEUR`) and `assets` by id (`XXBT`); `initial_quotes` are bid and ask by pair id."""

    def __init__(self, listed: Collection[str] | None = None) -> None:
        """`listed` limits the pairs to these symbols (`BTC/EUR`)."""
        rows = [row for row in _ROWS if listed is None or f"{_code(row.altname)}/EUR" in listed]
        self.pairs = {_pair_id(row): _pair(row) for row in rows}
        self.assets = {row.base: _asset(row.altname, row.asset_decimals) for row in rows}
        self.assets["ZEUR"] = _asset("EUR", _EUR_DECIMALS)
        self.initial_quotes = {_pair_id(row): (row.bid, row.ask) for row in rows}

    def pair_id(self, name: str) -> str | None:
        """The id of a pair from its id, its altname or wsname (`XBTEUR`, `XBT/EUR`), or ccxt's symbol (`BTC/EUR`)."""
        if name in self.pairs:
            return name
        for pair_id, pair in self.pairs.items():
            if name in {pair["altname"], pair["wsname"], self._symbol(pair)}:
                return pair_id
        return None

    def rules(self, pair_id: str) -> PairRules:
        pair = self.pairs[pair_id]
        return PairRules(pair_id, pair, self.decimals(pair["base"]), self.decimals(pair["quote"]))

    def asset_id(self, name: str) -> str:
        """The id of an asset from its id, altname or ccxt's code. A suffix (`BTC.F`, `DOT28.S`) is kept as it is.

        An asset with a suffix that is not listed yet is listed with the decimals of its base.
        """
        stem, dot, suffix = name.partition(".")
        found = self._listed_asset(stem if dot else name)
        if not dot:
            if found is None:
                self.assets[name] = _asset(name, 8)
            return found or name
        # Kraken names suffixed assets by the altname, without the X and Z in front: XBT.F, EUR.M, DOT28.S.
        altname = self.assets[found]["altname"] if found else stem
        suffixed = f"{altname}.{suffix}"
        if suffixed not in self.assets:
            base = found or self._listed_asset(altname.rstrip("0123456789"))
            self.assets[suffixed] = _asset(suffixed, self.decimals(base) if base else 8)
        return suffixed

    def code(self, asset_id: str) -> str:
        """ccxt's code: `BTC` for XXBT, `BTC.F` for XBT.F."""
        stem, dot, suffix = self.assets[asset_id]["altname"].partition(".")
        return _code(stem) + dot + suffix

    def decimals(self, asset_id: str) -> int:
        """Decimals of balances and ledger lines."""
        return int(self.assets[asset_id]["decimals"])

    def _listed_asset(self, name: str) -> str | None:
        if name in self.assets:
            return name
        for asset_id, asset in self.assets.items():
            if name in {asset["altname"], _code(asset["altname"])}:
                return asset_id
        return None

    def _symbol(self, pair: Mapping[str, Any]) -> str:
        return f"{self.code(pair['base'])}/{self.code(pair['quote'])}"


@dataclass(frozen=True, slots=True)
class PairRules:
    """A pair's rules as Decimals, read from its row; decimals count digits after the point."""

    id: str
    row: Mapping[str, Any]
    base_decimals: int
    quote_decimals: int

    @property
    def base(self) -> str:
        return self.row["base"]

    @property
    def quote(self) -> str:
        return self.row["quote"]

    @property
    def altname(self) -> str:
        return self.row["altname"]

    @property
    def status(self) -> str:
        return self.row.get("status", "online")

    @property
    def tick(self) -> Decimal:
        return Decimal(self.row["tick_size"]) if "tick_size" in self.row else Decimal(1).scaleb(-self.pair_decimals)

    @property
    def lot(self) -> Decimal:
        """No finer than the base asset itself, or its ledger could not hold what was traded."""
        return Decimal(1).scaleb(-min(self.lot_decimals, self.base_decimals))

    @property
    def minimum_volume(self) -> Decimal:
        return Decimal(self.row.get("ordermin", 0))

    @property
    def minimum_cost(self) -> Decimal:
        return Decimal(self.row.get("costmin", 0))

    @property
    def pair_decimals(self) -> int:
        return int(self.row["pair_decimals"])

    @property
    def lot_decimals(self) -> int:
        return int(self.row["lot_decimals"])

    @property
    def cost_decimals(self) -> int:
        return int(self.row.get("cost_decimals", _EUR_COST_DECIMALS))

    @property
    def price_places(self) -> int:
        """Trades and tickers show at least five decimals, and more where prices need them."""
        return max(5, self.pair_decimals)


def _code(altname: str) -> str:
    return _CODES.get(altname, altname)


def _pair_id(row: _Row) -> str:
    return f"{row.base}ZEUR" if row.base.startswith("X") else f"{row.altname}EUR"


def _pair(row: _Row) -> dict[str, Any]:
    return {
        "altname": f"{row.altname}EUR",
        "wsname": f"{row.altname}/EUR",
        "aclass_base": "currency",
        "base": row.base,
        "aclass_quote": "currency",
        "quote": "ZEUR",
        "lot": "unit",
        "cost_decimals": _EUR_COST_DECIMALS,
        "pair_decimals": row.pair_decimals,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4], [10000, 0.35]],
        "fees_maker": [[0, 0.25], [10000, 0.2]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": row.ordermin,
        "costmin": "0.45",
        "tick_size": f"{Decimal(1).scaleb(-row.pair_decimals):f}",
        "status": row.status,
    }


def _asset(altname: str, decimals: int) -> dict[str, Any]:
    return {
        "aclass": "currency",
        "altname": altname,
        "decimals": decimals,
        "display_decimals": min(decimals, 6),
        "status": "enabled",
    }
