"""A request's way through the double: the fault it meets, the gate, its endpoint, and the note taken of it."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.kraken_double.errors import ORDER_RATE, PERMISSION_DENIED, UNKNOWN_METHOD, RefusedError
from tests.support.kraken_double.faults import Fault
from tests.support.kraken_double.gate import Gate
from tests.support.kraken_double.injections import Injections
from tests.support.kraken_double.messages import (
    NOTHING,
    Answer,
    Delivery,
    Manner,
    Request,
    error_answer,
    json_answer,
    result_answer,
)
from tests.support.kraken_double.private_api import PrivateApi
from tests.support.kraken_double.public_api import PublicApi
from tests.support.kraken_double.records import RequestRecord, Violation

_Take = Callable[[datetime], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Delayed:
    due: datetime
    record: RequestRecord
    take: _Take


class Reception:
    """Takes one request at a time: whoever calls holds the double's lock."""

    def __init__(self, gate: Gate, public: PublicApi, private: PrivateApi) -> None:
        self.requests: list[RequestRecord] = []
        self.violations: list[Violation] = []
        self.injections = Injections()
        self._gate = gate
        self._public = public
        self._private = private
        self._delayed: list[_Delayed] = []
        self._released = threading.Event()

    def respond(self, request: Request, now: datetime) -> Delivery:
        self.take_due(now)
        path = urlsplit(request.target).path
        record = RequestRecord(path.rpartition("/")[2], _parameters(request), now)
        self.requests.append(record)
        fault = self.injections.fault_for(record.endpoint)
        if fault is None:
            return Delivery(self._answer(request, record, Fault(), now))
        record.fault = repr(fault)
        fault.on_arrival(self._gate, now)
        delivery = fault.deliver(self._answer(request, record, fault, now) if fault.done else NOTHING)
        if delivery.manner is Manner.HANG:
            return Delivery(delivery.answer, Manner.HANG, released=self._released)
        return delivery

    def take_due(self, now: datetime) -> None:
        """Let the engine take the delayed requests whose time has come, each at that time."""
        due = sorted((delayed for delayed in self._delayed if delayed.due <= now), key=lambda delayed: delayed.due)
        self._delayed = [delayed for delayed in self._delayed if delayed.due > now]
        for delayed in due:
            try:
                delayed.take(delayed.due)
                delayed.record.outcome = "ok"
            except RefusedError as refused:
                delayed.record.outcome = str(refused)

    def release(self) -> None:
        """Let what hangs be answered."""
        self._released.set()
        self._released = threading.Event()

    def _answer(self, request: Request, record: RequestRecord, fault: Fault, now: datetime) -> Answer:
        try:
            take = self._admitted(request, record, fault, now)
            if fault.delay is not None:
                record.outcome = "waiting"
                self._delayed.append(_Delayed(now + fault.delay, record, take))
                return NOTHING
            result = take(now)
        except RefusedError as refused:
            record.outcome = str(refused)
            if _is_violation(record.outcome):
                self.violations.append(Violation(now, record.endpoint, record.outcome))
            return error_answer(record.outcome)
        except Exception:  # noqa: BLE001
            # A mistake in the double itself, or in what a test put into its tables, must not look like Kraken's.
            record.outcome = "the double failed"
            traceback.print_exc(file=sys.stderr)
            return json_answer({"the double failed": traceback.format_exc()}, status=500)
        record.outcome = "ok"
        return result_answer(result)

    def _admitted(self, request: Request, record: RequestRecord, fault: Fault, now: datetime) -> _Take:
        """Let the request through the gate and return what takes it, at a time."""
        endpoint = record.endpoint
        path = urlsplit(request.target).path
        parameters = fault.rewritten(record.parameters)
        public, private = self._public, self._private
        if path.startswith("/0/public/"):
            endpoints = {
                "Time": public.time,
                "SystemStatus": public.status,
                "Assets": public.assets,
                "AssetPairs": public.pairs,
                "Ticker": public.ticker,
                "OHLC": public.ohlc,
            }
            if endpoint not in endpoints:
                raise RefusedError(UNKNOWN_METHOD)
            return partial(endpoints[endpoint], parameters)
        key = self._gate.admit(endpoint, path, request.headers, request.body, parameters.get("nonce"), now)
        if endpoint == "AddOrder":
            return partial(private.add_order, parameters, now)
        if endpoint == "GetApiKeyInfo":
            return partial(private.key_info, key)
        endpoints = {
            "BalanceEx": private.balance,
            "CancelOrder": private.cancel_order,
            "OpenOrders": private.open_orders,
            "ClosedOrders": private.closed_orders,
            "QueryOrders": private.query_orders,
            "QueryTrades": private.query_trades,
            "TradesHistory": private.trades_history,
            "Ledgers": private.ledgers,
            "QueryLedgers": private.query_ledgers,
            "TradeVolume": private.trade_volume,
        }
        if endpoint not in endpoints:
            raise RefusedError(UNKNOWN_METHOD)
        return partial(endpoints[endpoint], parameters)


def _parameters(request: Request) -> dict[str, str]:
    if request.headers.get("content-type", "").startswith("application/json") and request.body:
        return {name: str(value) for name, value in json.loads(request.body).items()}
    query = urlsplit(request.target).query
    return dict(parse_qsl(request.body if request.method == "POST" else query, keep_blank_values=True))


def _is_violation(error: str) -> bool:
    """What no careful client causes: counters exceeded, and keys, signatures, nonces or permissions that are wrong."""
    return error.startswith("EAPI:") or error in {ORDER_RATE, PERMISSION_DENIED}
