"""AddOrder's parameters: what they say, and what Kraken refuses whatever the account holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import cast

from tests.support.kraken_double.amounts import is_multiple, positive_number, product
from tests.support.kraken_double.errors import (
    COST_MINIMUM,
    DEADLINE_ELAPSED,
    ORDER_MINIMUM,
    TICK_SIZE,
    UNKNOWN_PAIR,
    RefusedError,
    invalid,
)
from tests.support.kraken_double.listings import Listings, PairRules
from tests.support.kraken_double.records import Side

_CLIENT_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[!-~]{1,18}")
"""A UUID with dashes, 32 hex digits, or free text of at most 18 characters."""

_LONGEST_DEADLINE = timedelta(seconds=60)
_FLAGS = {"fciq", "fcib", "nompp"}
_USERREF = re.compile(r"[+-]?[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class OrderEntry:
    """An order that keeps the rules. `limit` is None for market orders."""

    rules: PairRules
    side: Side
    order_type: str
    volume: Decimal
    limit: Decimal | None
    time_in_force: str
    cl_ord_id: str | None
    userref: int | None
    deadline: datetime | None
    fee_in_base: bool
    validate_only: bool


def read_entry(parameters: Mapping[str, str], listings: Listings, *, arrived_at: datetime, now: datetime) -> OrderEntry:
    """`now` is when the engine takes the order, `arrived_at` when the request came in.

    Raises `RefusedError`, for the first rule broken in this sequence: pair, deadline, status, client id, volume, price,
    their grids, minimum volume, minimum cost.
    """
    pair_id = listings.pair_id(parameters.get("pair", ""))
    if pair_id is None:
        raise RefusedError(UNKNOWN_PAIR)
    rules = listings.rules(pair_id)
    deadline = _deadline(parameters.get("deadline"), arrived_at, now)
    if rules.status != "online":
        raise RefusedError(f"EService:Market in {rules.status} mode")
    cl_ord_id, userref = _references(parameters)
    volume = positive_number(parameters.get("volume"))
    if volume is None:
        raise invalid("volume")
    order_type = _one_of(parameters, "ordertype", ("limit", "market"))
    limit = None
    if order_type == "limit":
        limit = positive_number(parameters.get("price"))
        if limit is None:
            raise invalid("price")
    _check_grids_and_minimums(rules, volume, limit)
    return OrderEntry(
        rules=rules,
        side=cast(Side, _one_of(parameters, "type", ("buy", "sell"))),
        order_type=order_type,
        volume=volume,
        limit=limit,
        time_in_force=_one_of(parameters, "timeinforce", ("GTC", "IOC"), default="GTC"),
        cl_ord_id=cl_ord_id,
        userref=userref,
        deadline=deadline,
        fee_in_base=_fee_in_base(parameters.get("oflags", "")),
        validate_only=_one_of(parameters, "validate", ("true", "false"), default="false") == "true",
    )


def _one_of(parameters: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str | None = None) -> str:
    """Raises also for `validate=True`: an order that was not meant must not be taken for one that was."""
    value = parameters.get(name, default)
    if value not in allowed:
        raise invalid(name)
    return value


def _deadline(written: str | None, arrived_at: datetime, now: datetime) -> datetime | None:
    if written is None:
        return None
    try:
        deadline = datetime.fromisoformat(written)
    except ValueError:
        raise invalid("deadline") from None
    if deadline.tzinfo is None or deadline - arrived_at > _LONGEST_DEADLINE:
        raise invalid("deadline")
    if now > deadline:
        raise RefusedError(DEADLINE_ELAPSED)
    return deadline


def _references(parameters: Mapping[str, str]) -> tuple[str | None, int | None]:
    cl_ord_id, userref = parameters.get("cl_ord_id"), parameters.get("userref")
    if cl_ord_id is not None and (userref is not None or not _CLIENT_ID.fullmatch(cl_ord_id)):
        raise invalid("cl_ord_id")
    if userref is None:
        return cl_ord_id, None
    if not _USERREF.fullmatch(userref) or not -(2**31) <= int(userref) < 2**31:
        raise invalid("userref")
    return cl_ord_id, int(userref)


def _check_grids_and_minimums(rules: PairRules, volume: Decimal, limit: Decimal | None) -> None:
    if not is_multiple(volume, rules.lot):
        raise invalid("volume")
    if limit is not None and not is_multiple(limit, rules.tick):
        raise RefusedError(TICK_SIZE)
    if volume < rules.minimum_volume:
        raise RefusedError(ORDER_MINIMUM)
    if limit is not None and product(volume, limit) < rules.minimum_cost:
        raise RefusedError(COST_MINIMUM)


def _fee_in_base(oflags: str) -> bool:
    flags = {flag for flag in oflags.split(",") if flag}
    if not flags <= _FLAGS or {"fciq", "fcib"} <= flags:
        raise invalid("oflags")
    return "fcib" in flags
