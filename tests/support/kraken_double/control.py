"""The double's knobs over HTTP, for tests whose double runs in another process.

GET /control/journal answers the journal; POST /control/<knob> takes the arguments of a method as a JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.kraken_double.double import KrakenDouble
from tests.support.kraken_double.faults import fault_named
from tests.support.kraken_double.messages import Answer, Request, json_answer

_MOVES = ("deposit", "withdraw", "reward", "transfer", "convert", "trade_by_hand")
_STATES = (
    "hide_orders_for",
    "hide_trades_for",
    "stale_balances_for",
    "shuffle_trades",
    "repeat_trades",
    "fail_lookups",
    "fill_next",
    "leave_open",
    "fill_open",
    "close_open_orders",
    "set_status",
    "set_system_status",
    "set_fees",
    "release",
    "clear_faults",
    "settle_delayed",
)


def control(double: KrakenDouble, request: Request) -> Answer:
    """`fault`, `quote`, `book`, `move` and `state`; the last two name their method in `do`."""
    knob = request.target.removeprefix("/control/")
    if knob == "journal":
        return json_answer(double.journal())
    knobs: dict[str, Callable[..., None]] = {
        "fault": lambda **given: _inject(double, **given),
        "quote": double.quote,
        "book": double.book,
        "move": lambda do, **given: _call(double, _MOVES, do, given),
        "state": lambda do, **given: _call(double, _STATES, do, given),
    }
    if knob not in knobs:
        return json_answer({"error": f"no knob {knob}; there are journal, {', '.join(knobs)}"}, status=404)
    try:
        knobs[knob](**json.loads(request.body or "{}"))
    except (KeyError, TypeError, ValueError) as error:
        return json_answer({"error": repr(error)}, status=400)
    return json_answer({"done": True})


def _inject(
    double: KrakenDouble,
    endpoint: str,
    fault: str,
    arguments: dict[str, Any] | None = None,
    after: int = 0,
    times: int | None = 1,
) -> None:
    double.inject(endpoint, fault_named(fault, arguments or {}), after=after, times=times)


def _call(double: KrakenDouble, allowed: tuple[str, ...], name: str, given: dict[str, Any]) -> None:
    if name not in allowed:
        raise KeyError(f"{name}; there are {', '.join(allowed)}")
    getattr(double, name)(**given)
