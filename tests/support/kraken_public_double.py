"""Kraken's public API on 127.0.0.1, for tests that speak to it through the real ccxt.

It answers as Kraken does, also to what a careless client asks: one unknown pair fails the whole ticker request.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Handler = Callable[[dict[str, str]], "str | dict[str, Any]"]


def _pair(base: str, decimals: int, ordermin: str, tick_size: str, *, status: str = "online") -> dict[str, Any]:
    altname = f"{base.removeprefix('X')}EUR"
    return {
        "altname": altname,
        "wsname": f"{base.removeprefix('X')}/EUR",
        "aclass_base": "currency",
        "base": base,
        "aclass_quote": "currency",
        "quote": "ZEUR",
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": decimals,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [2, 3],
        "leverage_sell": [2, 3],
        "fees": [[0, 0.4], [10000, 0.35]],
        "fees_maker": [[0, 0.25], [10000, 0.2]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": ordermin,
        "costmin": "0.45",
        "tick_size": tick_size,
        "status": status,
    }


def _ticker(bid: str, ask: str) -> dict[str, Any]:
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


class KrakenPublicDouble:
    """Its tables may be changed, and `answer` may put anything in the place of an endpoint's answer."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[str] = []
        self.released = threading.Event()
        self.pairs = {
            "XXBTZEUR": _pair("XXBT", 1, "0.00005", "0.1"),
            "XETHZEUR": _pair("XETH", 2, "0.001", "0.01"),
            "SOLEUR": _pair("SOL", 2, "0.06", "0.01"),
            "PEPEEUR": _pair("PEPE", 9, "500000", "0.000000001"),
            "HALTEUR": _pair("HALT", 4, "1", "0.0001", status="cancel_only"),
            "POSTEUR": _pair("POST", 4, "1", "0.0001", status="post_only"),
        }
        self.assets = {
            "XXBT": {"aclass": "currency", "altname": "XBT", "decimals": 10, "status": "enabled"},
            "XETH": {"aclass": "currency", "altname": "ETH", "decimals": 10, "status": "enabled"},
            "SOL": {"aclass": "currency", "altname": "SOL", "decimals": 10, "status": "enabled"},
            "PEPE": {"aclass": "currency", "altname": "PEPE", "decimals": 5, "status": "enabled"},
            "HALT": {"aclass": "currency", "altname": "HALT", "decimals": 10, "status": "enabled"},
            "POST": {"aclass": "currency", "altname": "POST", "decimals": 10, "status": "enabled"},
            "ZEUR": {"aclass": "currency", "altname": "EUR", "decimals": 4, "status": "enabled"},
        }
        self.tickers = {
            "XXBTZEUR": _ticker("61234.50000", "61234.60000"),
            "XETHZEUR": _ticker("2431.37000", "2431.38000"),
            "SOLEUR": _ticker("143.12000", "143.13000"),
            "PEPEEUR": _ticker("0.000007123", "0.000007124"),
            "HALTEUR": _ticker("1.0000", "1.0001"),
            "POSTEUR": _ticker("1.0000", "1.0001"),
        }
        self._answers: dict[str, tuple[int, str]] = {}
        self._silent: set[str] = set()

    def quote(self, pair: str, bid: str, ask: str) -> None:
        """Quote a pair from now on."""
        self.tickers[pair] = _ticker(bid, ask)

    def answer(self, endpoint: str, status: int, body: str) -> None:
        """Answer this from now on, whatever is asked."""
        self._answers[endpoint] = status, body

    def fall_silent(self, endpoint: str) -> None:
        """Take requests from now on and never answer them."""
        self._silent.add(endpoint)

    def reply(self, target: str) -> tuple[int, str] | None:
        """Status and body for a request; None when it is never to be answered."""
        parts = urlsplit(target)
        endpoint = parts.path.rsplit("/", 1)[-1]
        self.requests.append(endpoint)
        if endpoint in self._silent:
            self.released.wait(30)
            return None
        if endpoint in self._answers:
            return self._answers[endpoint]
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        endpoints: dict[str, Handler] = {
            "Time": lambda _: {"unixtime": 1_772_452_800, "rfc1123": "Mon,  2 Mar 26 12:00:00 +0000"},
            "Assets": lambda _: self.assets,
            "AssetPairs": lambda _: self.pairs,
            "Ticker": self._ticker,
        }
        result = endpoints[endpoint](query) if endpoint in endpoints else "EGeneral:Unknown method"
        if isinstance(result, str):
            return 200, json.dumps({"error": [result]})
        return 200, json.dumps({"error": [], "result": result})

    def _ticker(self, query: dict[str, str]) -> str | dict[str, Any]:
        asked = query["pair"].split(",")
        if any(pair not in self.tickers for pair in asked):
            return "EQuery:Unknown asset pair"
        return {pair: self.tickers[pair] for pair in asked}


@contextmanager
def kraken_public_double() -> Iterator[KrakenPublicDouble]:
    """The double on a free port, for a block."""
    double = KrakenPublicDouble()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply = double.reply(self.path)
            if reply is None:
                self.close_connection = True
                return
            status, body = reply
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if body.startswith("<") else "application/json")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    double.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield double
    finally:
        double.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
