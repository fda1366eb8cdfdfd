"""What an exchange must be able to do before it may be trusted with an order, and what is known of it.

ccxt tells which methods it has for an exchange and which kinds of orders that takes. Two things it does not tell, and
those decide: whether an order can be found by the id that we gave it, open or closed, and whether the engine refuses an
order that arrives late. Without them an order whose answer was lost could neither be found nor be known to be dead.
They are read from an exchange's own documents, once, when it is connected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rebalancer_pipelines.domain.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Documented:
    """What an exchange's own documents say. `deadline` is the parameter by which its engine refuses late orders."""

    client_order_ids: bool = False
    finds_by_client_order_id: bool = False
    deadline: str | None = None


DOCUMENTED: Mapping[str, Documented] = {
    "kraken": Documented(client_order_ids=True, finds_by_client_order_id=True, deadline="deadline"),
}
"""The exchanges whose documents were read for this."""

_METHODS: Mapping[str, tuple[str, ...]] = {
    "spot markets": ("spot",),
    "orders": ("createOrder",),
    "balances": ("fetchBalance",),
    "list of open orders": ("fetchOpenOrders",),
    "list of closed orders": ("fetchClosedOrders", "fetchOrders"),
    "own trades": ("fetchMyTrades", "fetchOrderTrades"),
    "ledger": ("fetchLedger",),
}
"""Abilities and ccxt's names for them; one of each is enough."""


def refusal_of(exchange_id: str, ways_out: str) -> InvalidInputError:
    """The refusal of one of ccxt's exchanges that is not connected here, naming what it lacks."""
    import ccxt  # noqa: PLC0415 - loaded on the way to a refusal only: it takes seconds

    exchange: Any = getattr(ccxt, exchange_id)()
    missing = missing_abilities(exchange.has, exchange.features, DOCUMENTED.get(exchange_id, Documented()))
    if not missing:
        return InvalidInputError("venue", exchange_id, f"is not connected by this version yet; {ways_out}")
    return InvalidInputError(
        "venue",
        exchange_id,
        f"cannot be traded safely: neither ccxt {ccxt.__version__} nor this program knows it to have "
        f"{', '.join(missing)}; {ways_out}",
    )


def missing_abilities(
    has: Mapping[str, Any], features: Mapping[str, Any] | None, documented: Documented
) -> tuple[str, ...]:
    """What the order protocol needs and nobody knows this exchange to have. `has` and `features` are ccxt's."""
    immediate = _table(_table(_table(features, "spot"), "createOrder"), "timeInForce").get("IOC")
    known = {ability: any(has.get(name) for name in names) for ability, names in _METHODS.items()} | {
        "limit orders that fill at once or are cancelled (IOC)": bool(immediate),
        "client order ids": documented.client_order_ids,
        "look-up of open and closed orders by client order id": documented.finds_by_client_order_id,
        "a deadline that its engine enforces": documented.deadline is not None,
    }
    return tuple(ability for ability, is_known in known.items() if not is_known)


def _table(tables: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    found = (tables or {}).get(name)
    return found if isinstance(found, dict) else {}
