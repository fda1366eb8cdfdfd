"""Kraken's private endpoints, behind the gate."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from tests.support.kraken_double.amounts import ZERO
from tests.support.kraken_double.clock import unix
from tests.support.kraken_double.errors import MALFORMED_ORDER_ID, UNKNOWN_PAIR, RefusedError, invalid
from tests.support.kraken_double.exchange import Exchange
from tests.support.kraken_double.gate import ApiKey
from tests.support.kraken_double.records import LedgerLine, Order, Trade
from tests.support.kraken_double.rendering import balance_info, ledger_info, order_info, order_sentence, trade_info
from tests.support.kraken_double.visibility import Visibility

PAGE_SIZE = 50
_MOST_ORDERS, _MOST_TRADES, _MOST_LINES = 50, 20, 20
_ORDER_ID = re.compile(r"[A-Z0-9]{6}-[A-Z0-9]{5}-[A-Z0-9]{6}")

_Row = TypeVar("_Row")


class PrivateApi:
    """What an id names that the double does not know, or does not show yet, is left out of the answer."""

    def __init__(self, exchange: Exchange, visibility: Visibility) -> None:
        self._exchange = exchange
        self._listings = exchange.listings
        self._visibility = visibility

    def balance(self, _: Mapping[str, str], now: datetime) -> dict[str, Any]:
        held = self._exchange.holds()
        return {
            asset: balance_info(total, held.get(asset, ZERO), self._listings.decimals(asset))
            for asset, total in self._visibility.balances(now).items()
        }

    def add_order(self, parameters: Mapping[str, str], arrived_at: datetime, now: datetime) -> dict[str, Any]:
        entry, order = self._exchange.add_order(parameters, arrived_at=arrived_at, now=now)
        answer: dict[str, Any] = {"descr": {"order": order_sentence(entry.rules, entry)}}
        if order is not None:
            answer["txid"] = [order.txid]
        return answer

    def cancel_order(self, parameters: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """By `txid`, which may also be a userref, or by `cl_ord_id`."""
        if "txid" in parameters:
            named = parameters["txid"]
            orders = [order for order in self._exchange.orders if named in {order.txid, str(order.userref)}]
        elif "cl_ord_id" in parameters:
            orders = [order for order in self._exchange.orders if order.cl_ord_id == parameters["cl_ord_id"]]
        else:
            raise invalid("txid")
        return {"count": self._exchange.cancel(orders, now)}

    def open_orders(self, parameters: Mapping[str, str], now: datetime) -> dict[str, Any]:
        orders = [order for order in self._visibility.orders(now) if order.status == "open"]
        return {"open": self._order_infos(_referenced(orders, parameters), parameters, now)}

    def closed_orders(self, parameters: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """Newest first; `closetime` says whether `start` and `end` mean when an order was opened or closed."""
        by_opening = parameters.get("closetime") == "open"

        def moment(order: Order) -> datetime:
            return order.accepted_at if by_opening or order.closed_at is None else order.closed_at

        closed = [order for order in self._visibility.orders(now) if order.status != "open"]
        starts = {order.txid: order.accepted_at for order in closed}
        found = _between(_referenced(closed, parameters), moment, parameters, starts)
        page = self._order_infos(self._page(found, parameters), parameters, now)
        return _counted("closed", page, len(found), parameters)

    def query_orders(self, parameters: Mapping[str, str], now: datetime) -> dict[str, Any]:
        asked = _ids(parameters, "txid", _MOST_ORDERS)
        if not all(_ORDER_ID.fullmatch(txid) for txid in asked):
            raise RefusedError(MALFORMED_ORDER_ID)
        known = {order.txid: order for order in self._visibility.orders(now)}
        orders = [known[txid] for txid in asked if txid in known]
        return self._order_infos(_referenced(orders, parameters), parameters, now)

    def query_trades(self, parameters: Mapping[str, str], now: datetime) -> dict[str, Any]:
        asked = _ids(parameters, "txid", _MOST_TRADES)
        known = {trade.id: trade for trade in self._visibility.trades(now)}
        return self._trade_infos([known[trade_id] for trade_id in asked if trade_id in known], parameters)

    def trades_history(self, parameters: Mapping[str, str], now: datetime) -> dict[str, Any]:
        trades = self._visibility.trades(now)
        starts = {trade.id: trade.executed_at for trade in trades}
        found = _between(trades, lambda trade: trade.executed_at, parameters, starts)
        page = self._trade_infos(self._page(found, parameters), parameters)
        return _counted("trades", page, len(found), parameters)

    def ledgers(self, parameters: Mapping[str, str], now: datetime) -> dict[str, Any]:
        """`type` and `asset` filter; assets may be given by any of their names, with commas between them."""
        lines = self._visibility.lines(now)
        starts = {line.id: line.time for line in lines}
        if parameters.get("type", "all") != "all":
            lines = [line for line in lines if line.type == parameters["type"]]
        if parameters.get("asset", "all") != "all":
            assets = {self._listings.asset_id(name) for name in parameters["asset"].split(",")}
            lines = [line for line in lines if line.asset in assets]
        found = _between(lines, lambda line: line.time, parameters, starts)
        page = self._line_infos(self._page(found, parameters))
        return _counted("ledger", page, len(found), parameters)

    def query_ledgers(self, parameters: Mapping[str, str], now: datetime) -> dict[str, Any]:
        asked = _ids(parameters, "id", _MOST_LINES)
        known = {line.id: line for line in self._visibility.lines(now)}
        return self._line_infos([known[line_id] for line_id in asked if line_id in known])

    def trade_volume(self, parameters: Mapping[str, str], _: datetime) -> dict[str, Any]:
        answer: dict[str, Any] = {"currency": "ZUSD", "volume": "0.0000"}
        if "pair" in parameters:
            pairs = [self._listings.pair_id(name) for name in parameters["pair"].split(",")]
            if None in pairs:
                raise RefusedError(UNKNOWN_PAIR)
            answer["fees"] = {pair: _fee_tier(self._exchange.taker_percent) for pair in pairs}
            answer["fees_maker"] = {pair: _fee_tier(self._exchange.maker_percent) for pair in pairs}
        return answer

    def key_info(self, key: ApiKey, now: datetime) -> dict[str, Any]:
        return {
            "apiKeyName": key.name,
            "apiKey": key.key,
            "nonce": str(key.last_nonce),
            "nonceWindow": 0,
            "permissions": list(key.permissions),
            "iban": "AA88 N84G WOAK NMOI",
            "validUntil": "0",
            "queryFrom": "0",
            "queryTo": "0",
            "createdTime": "1772542900",
            "modifiedTime": "1772543095",
            "ipAllowlist": [],
            "lastUsed": str(int(now.timestamp())),
        }

    def _page(self, rows: Sequence[_Row], parameters: Mapping[str, str]) -> list[_Row]:
        """Fifty rows from `ofs` on.

        Repetition shows up here as it does when something new arrives between two pages: the last row of the page
        before comes again.
        """
        offset = _whole_number(parameters, "ofs")
        overlap = 1 if offset and self._visibility.repeated else 0
        return self._visibility.in_disorder(rows[max(0, offset - overlap) : offset + PAGE_SIZE - overlap])

    def _order_infos(self, orders: Sequence[Order], parameters: Mapping[str, str], now: datetime) -> dict[str, Any]:
        with_trades = _is_true(parameters.get("trades"))
        return {
            order.txid: order_info(
                order, self._listings, self._visibility.trade_ids(order, now) if with_trades else None
            )
            for order in orders
        }

    def _trade_infos(self, trades: Sequence[Trade], parameters: Mapping[str, str]) -> dict[str, Any]:
        with_ledgers = _is_true(parameters.get("ledgers"))
        return {trade.id: trade_info(trade, self._listings, with_ledgers=with_ledgers) for trade in trades}

    def _line_infos(self, lines: Sequence[LedgerLine]) -> dict[str, Any]:
        return {line.id: ledger_info(line, self._listings) for line in lines}


def _referenced(orders: Sequence[Order], parameters: Mapping[str, str]) -> list[Order]:
    """Kraken filters by client id or userref itself."""
    found = list(orders)
    if "cl_ord_id" in parameters:
        found = [order for order in found if order.cl_ord_id == parameters["cl_ord_id"]]
    if "userref" in parameters:
        found = [order for order in found if str(order.userref) == parameters["userref"]]
    return found


def _between(
    rows: Sequence[_Row],
    moment: Callable[[_Row], datetime],
    parameters: Mapping[str, str],
    moments_by_id: Mapping[str, datetime],
) -> list[_Row]:
    """Newest first; after `start` in whole seconds, which itself is excluded, and up to `end`. Both may be ids."""

    def bound(name: str) -> Decimal | None:
        written = parameters.get(name)
        if written is None:
            return None
        if written in moments_by_id:
            return Decimal(str(unix(moments_by_id[written])))
        try:
            return Decimal(written) // 1
        except InvalidOperation:
            raise invalid(name) from None

    start, end = bound("start"), bound("end")
    newest_first = sorted(rows, key=moment)[::-1]
    return [
        row
        for row in newest_first
        if (start is None or Decimal(str(unix(moment(row)))) > start)
        and (end is None or Decimal(str(unix(moment(row)))) <= end)
    ]


def _counted(name: str, page: dict[str, Any], count: int, parameters: Mapping[str, str]) -> dict[str, Any]:
    return {name: page} if _is_true(parameters.get("without_count")) else {name: page, "count": count}


def _ids(parameters: Mapping[str, str], name: str, most: int) -> list[str]:
    ids = [each for each in parameters.get(name, "").split(",") if each]
    if not 0 < len(ids) <= most:
        raise invalid(name)
    return ids


def _whole_number(parameters: Mapping[str, str], name: str) -> int:
    written = parameters.get(name, "0")
    if not written.isdecimal():
        raise invalid(name)
    return int(written)


def _is_true(written: str | None) -> bool:
    """ccxt writes `True`, Kraken's documents `true`; both are understood where nothing is bought by mistake."""
    return written is not None and written.lower() == "true"


def _fee_tier(percent: Decimal) -> dict[str, str | None]:
    return {
        "fee": f"{percent:.4f}",
        "minfee": "0.0000",
        "maxfee": f"{percent:.4f}",
        "nextfee": None,
        "nextvolume": None,
        "tiervolume": "0.0000",
    }
