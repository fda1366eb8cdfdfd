from __future__ import annotations

import ccxt
import pytest

from rebalancer_pipelines.adapters.venues.ccxt.requirements import (
    DOCUMENTED,
    Documented,
    missing_abilities,
    refusal_of,
)

EVERYTHING = Documented(client_order_ids=True, finds_by_client_order_id=True, deadline="deadline")
DEADLINE = "a deadline that its engine enforces"
LOOK_UP = "look-up of open and closed orders by client order id"


def missing(exchange_id: str, documented: Documented | None = None) -> tuple[str, ...]:
    exchange = getattr(ccxt, exchange_id)()
    return missing_abilities(exchange.has, exchange.features, documented or DOCUMENTED.get(exchange_id, Documented()))


def test_kraken_lacks_nothing() -> None:
    assert missing("kraken") == ()


def test_what_nobody_has_read_of_is_missing() -> None:
    assert missing("binance") == ("client order ids", LOOK_UP, DEADLINE)
    assert missing("binance", Documented(client_order_ids=True, finds_by_client_order_id=True)) == (DEADLINE,)


def test_what_ccxt_does_not_show_is_missing_whatever_the_documents_say() -> None:
    assert missing("krakenfutures", EVERYTHING)[0] == "spot markets"
    assert "ledger" in missing("gemini", EVERYTHING)


@pytest.mark.parametrize("ability", ["createOrder", "fetchBalance", "fetchOpenOrders", "fetchMyTrades", "fetchLedger"])
def test_every_method_counts(ability: str) -> None:
    kraken = ccxt.kraken()
    has = {**kraken.has, ability: False, "fetchOrderTrades": False}
    assert len(missing_abilities(has, kraken.features, EVERYTHING)) == 1


def test_immediate_orders_count() -> None:
    kraken = ccxt.kraken()
    for features in (None, {}, {"spot": None}, {"spot": {"createOrder": {"timeInForce": {"IOC": False}}}}):
        (ability,) = missing_abilities(kraken.has, features, EVERYTHING)
        assert "IOC" in ability


def test_the_refusal_names_what_is_missing_and_the_way_out() -> None:
    error = refusal_of("binance", "use kraken")
    assert error.field == "venue"
    for part in ("'binance'", f"ccxt {ccxt.__version__}", LOOK_UP, DEADLINE, "use kraken"):
        assert part in str(error)


def test_an_exchange_that_lacks_nothing_is_refused_as_not_connected() -> None:
    assert "is not connected" in str(refusal_of("kraken", "use another"))


def test_every_exchange_of_ccxt_gets_an_answer() -> None:
    for exchange_id in ccxt.exchanges:
        assert exchange_id in str(refusal_of(exchange_id, "use kraken"))
