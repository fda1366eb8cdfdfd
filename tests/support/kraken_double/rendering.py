"""Orders, trades, ledger lines and tickers in the fields and number formats of Kraken's answers."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tests.support.kraken_double.amounts import ZERO, text, truncated
from tests.support.kraken_double.clock import unix
from tests.support.kraken_double.listings import Listings, PairRules
from tests.support.kraken_double.order_entry import OrderEntry
from tests.support.kraken_double.records import LedgerLine, Order, Trade

_FIRST_TRADE_NUMBER = 68_230_621


def ticker(bid: Any, ask: Any) -> dict[str, Any]:
    """Bid and ask stand as they are given, so that a test may quote nonsense."""
    return {
        "a": [ask, "1", "1.000"],
        "b": [bid, "2", "2.000"],
        "c": [bid, "0.01"],
        "v": ["100.0", "200.0"],
        "p": [bid, bid],
        "t": [10, 20],
        "l": [bid, bid],
        "h": [ask, ask],
        "o": bid,
    }


def bar(opened_at: int, opening: Decimal, close: Decimal, places: int) -> list[Any]:
    """A bar as OHLC lists it: seconds, prices and volume as text, number of trades. It moved between its two ends."""
    low, high = sorted((opening, close))
    prices = [text(price, places) for price in (opening, high, low, close, (low + high) / 2)]
    return [opened_at, *prices, "12.34567890", 321]


def order_sentence(rules: PairRules, entry: OrderEntry | Order) -> str:
    """`buy 0.01000000 XBTEUR @ limit 61234.6`."""
    volume = text(entry.volume, rules.lot_decimals)
    at = "market" if entry.limit is None else f"limit {text(entry.limit, rules.pair_decimals)}"
    return f"{entry.side} {volume} {rules.altname} @ {at}"


def order_info(order: Order, listings: Listings, shown_trades: Sequence[str] | None) -> dict[str, Any]:
    """An order as OpenOrders, ClosedOrders and QueryOrders show it.

    `cost`, `fee` and the average `price` are cut off after the pair's decimals, one on BTC/EUR.
    `shown_trades` are the trade ids, None when they were not asked for.
    """
    rules = listings.rules(order.pair)
    few = min(rules.pair_decimals, rules.cost_decimals)
    average = order.cost / order.vol_exec if order.vol_exec else ZERO
    limit = "0" if order.limit is None else text(order.limit, rules.pair_decimals)
    info: dict[str, Any] = {
        "refid": None,
        "userref": order.userref,
        "status": order.status,
        "opentm": unix(order.accepted_at),
        "starttm": 0,
        "expiretm": 0,
        "descr": {
            "pair": rules.altname,
            "aclass": "forex",
            "type": order.side,
            "ordertype": order.order_type,
            "price": limit,
            "price2": "0",
            "leverage": "none",
            "order": order_sentence(rules, order),
            "close": "",
        },
        "vol": text(order.volume, rules.lot_decimals),
        "vol_exec": text(order.vol_exec, rules.lot_decimals),
        "cost": f"{truncated(order.cost, few):f}",
        "fee": f"{truncated(order.fee, few):f}",
        "price": f"{truncated(average, rules.pair_decimals):f}",
        "stopprice": "0.00000",
        "limitprice": "0.00000",
        "misc": "",
        "oflags": "fcib" if order.fee_in_base else "fciq",
    }
    if order.cl_ord_id is not None:
        info["cl_ord_id"] = order.cl_ord_id
    if order.status != "open":
        info["reason"] = order.reason
        info["closetm"] = unix(order.closed_at or order.accepted_at)
    # Kraken leaves the list out when there is none.
    if shown_trades:
        info["trades"] = list(shown_trades)
    return info


def trade_info(trade: Trade, listings: Listings, *, with_ledgers: bool) -> dict[str, Any]:
    """A trade as QueryTrades and TradesHistory show it; `cost` and `fee` are rounded to the pair's cost decimals."""
    rules = listings.rules(trade.pair)
    info: dict[str, Any] = {
        "ordertxid": trade.order_id,
        "postxid": "TKH2SE-M7IF5-CFI7LT",
        "pair": trade.pair,
        "aclass": "forex",
        "time": unix(trade.executed_at),
        "type": trade.side,
        "ordertype": trade.order_type,
        "price": text(trade.price, rules.price_places),
        "cost": text(trade.cost, rules.cost_decimals),
        "fee": text(trade.fee, rules.cost_decimals),
        "vol": text(trade.volume, rules.lot_decimals),
        "margin": text(ZERO, rules.cost_decimals),
        "leverage": "0",
        "misc": "",
        "trade_id": _FIRST_TRADE_NUMBER + trade.number,
        "maker": trade.maker,
    }
    if with_ledgers:
        info["ledgers"] = list(trade.ledger_ids)
    return info


def ledger_info(line: LedgerLine, listings: Listings) -> dict[str, Any]:
    places = listings.decimals(line.asset)
    return {
        "refid": line.refid,
        "time": unix(line.time),
        "type": line.type,
        "subtype": line.subtype,
        "aclass": "currency",
        "asset": line.asset,
        "amount": text(line.amount, places),
        "fee": text(line.fee, places),
        "balance": text(line.balance, places),
    }


def balance_info(total: Decimal, held: Decimal, places: int) -> dict[str, str]:
    return {
        "balance": text(total, places),
        "hold_trade": text(held, places),
        "credit": text(ZERO, places),
        "credit_used": text(ZERO, places),
    }
