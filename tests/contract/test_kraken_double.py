"""The Kraken double, through the real ccxt: that it trades, counts and fails as Kraken does."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from tests.support.kraken_double import (
    AcceptedWithWarning,
    BadGzip,
    Delayed,
    Drip,
    EmptyBody,
    EmptyJson,
    EmptyResult,
    ErrorAnswer,
    Fault,
    Hang,
    HtmlPage,
    InvalidNonce,
    KrakenDouble,
    Lockout,
    LoseRequest,
    LoseResponse,
    MissingTxid,
    OtherPair,
    RateLimited,
    Reset,
    Status,
    Truncated,
    kraken_double,
)
from tests.support.kraken_double.remote import kraken_double_process
from tests.support.manual_clock import ManualClock

BID, ASK = Decimal("29990.0"), Decimal("30000.0")


@pytest.fixture
def kraken(clock: ManualClock) -> Iterator[KrakenDouble]:
    with kraken_double(clock=clock, tier="pro", balances={"EUR": "1000", "BTC": "0.02"}) as double:
        double.quote("BTC/EUR", BID, ASK)
        yield double


@pytest.fixture
def client(kraken: KrakenDouble) -> ccxt.kraken:
    return connect(kraken.url, kraken.key, kraken.secret)


def connect(url: str, key: str, secret: str, **options: Any) -> ccxt.kraken:
    return ccxt.kraken(
        {
            "apiKey": key,
            "secret": secret,
            "enableRateLimit": False,
            "timeout": 2000,
            "urls": {"api": {"public": url, "private": url}},
            **options,
        }
    )


def order(**changes: Any) -> dict[str, Any]:
    fields = {
        "pair": "XXBTZEUR",
        "type": "buy",
        "ordertype": "limit",
        "volume": "0.01",
        "price": "30000",
        "timeinforce": "IOC",
        "cl_ord_id": "order-1",
    }
    return {name: value for name, value in {**fields, **changes}.items() if value is not None}


def send(client: ccxt.kraken, **changes: Any) -> str:
    return client.privatePostAddOrder(order(**changes))["result"]["txid"][0]


def error_of(action: Any) -> str:
    """Kraken's error, out of ccxt's exception."""
    with pytest.raises(ccxt.BaseError) as caught:
        action()
    return str(caught.value)


def closed(client: ccxt.kraken, **parameters: Any) -> dict[str, Any]:
    return client.privatePostClosedOrders({"trades": "true", **parameters})["result"]["closed"]


# Who may speak.


def test_a_key_shows_what_it_may_do_and_cannot_withdraw(client: ccxt.kraken) -> None:
    permissions = client.privatePostGetApiKeyInfo()["result"]["permissions"]
    assert "modify-trades" in permissions
    assert "withdraw-funds" not in permissions


def test_an_unknown_key_and_a_wrong_signature_are_told_apart(kraken: KrakenDouble) -> None:
    stranger = connect(kraken.url, "nobody", kraken.secret)
    forger = connect(kraken.url, kraken.key, base64.b64encode(b"guessed").decode())
    assert "EAPI:Invalid key" in error_of(stranger.privatePostBalanceEx)
    assert "EAPI:Invalid signature" in error_of(forger.privatePostBalanceEx)
    assert [violation.error for violation in kraken.violations] == ["EAPI:Invalid key", "EAPI:Invalid signature"]


def test_nonces_rise_strictly_for_each_key(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    kraken.add_key("second", base64.b64encode(b"second").decode())
    second = connect(kraken.url, "second", base64.b64encode(b"second").decode())
    client.incrementing_nonce = second.incrementing_nonce = lambda: 100  # type: ignore[method-assign]
    client.privatePostBalanceEx()
    second.privatePostBalanceEx()
    with pytest.raises(ccxt.InvalidNonce):
        client.privatePostBalanceEx()
    client.incrementing_nonce = lambda: 101  # type: ignore[method-assign]
    client.privatePostBalanceEx()


def test_ten_mistakes_in_a_minute_lock_the_key_for_a_quarter_of_an_hour(
    kraken: KrakenDouble, client: ccxt.kraken, clock: ManualClock
) -> None:
    forger = connect(kraken.url, kraken.key, base64.b64encode(b"guessed").decode())
    for _ in range(10):
        assert "EAPI:Invalid signature" in error_of(forger.privatePostBalanceEx)
    assert "EGeneral:Temporary lockout" in error_of(client.privatePostBalanceEx)
    clock.sleep(timedelta(minutes=15))
    client.privatePostBalanceEx()


@pytest.mark.parametrize(
    ("endpoint", "missing"),
    [
        ("BalanceEx", "query-funds"),
        ("OpenOrders", "query-open-trades"),
        ("ClosedOrders", "query-closed-trades"),
        ("TradesHistory", "query-closed-trades"),
        ("Ledgers", "query-ledger"),
        ("AddOrder", "modify-trades"),
    ],
)
def test_a_key_without_the_permission_is_denied(kraken: KrakenDouble, endpoint: str, missing: str) -> None:
    all_others = {"query-funds", "query-open-trades", "query-closed-trades", "query-ledger", "modify-trades"} - {
        missing
    }
    kraken.add_key("limited", kraken.secret, all_others)
    limited = connect(kraken.url, "limited", kraken.secret)
    with pytest.raises(ccxt.PermissionDenied):
        getattr(limited, f"privatePost{endpoint}")(order() if endpoint == "AddOrder" else {})
    assert kraken.orders == []


# Market data.


def test_lists_enough_markets_for_a_wide_portfolio(client: ccxt.kraken) -> None:
    markets = client.load_markets()
    assert {"BTC/EUR", "ETH/EUR", "SOL/EUR", "XRP/EUR", "LTC/EUR", "ADA/EUR", "DOT/EUR", "DOGE/EUR"} <= set(markets)
    assert sum(market["active"] for market in markets.values()) > 20
    assert set(client.fetch_tickers(["BTC/EUR", "DOGE/EUR"])) == {"BTC/EUR", "DOGE/EUR"}


def test_one_unknown_pair_fails_the_whole_ticker_request(client: ccxt.kraken) -> None:
    assert "EQuery:Unknown asset pair" in error_of(lambda: client.publicGetTicker({"pair": "XXBTZEUR,NOPE"}))


def test_time_is_told_in_whole_seconds(kraken: KrakenDouble, client: ccxt.kraken, clock: ManualClock) -> None:
    clock.sleep(timedelta(seconds=0.9))
    assert client.fetch_time() == int(clock.now().timestamp()) * 1000
    kraken.set_system_status("maintenance")
    assert client.fetch_status()["status"] == "maintenance"


def test_fees_are_those_of_the_account(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    kraken.set_fees(taker_percent="0.26", maker_percent="0.16")
    fee = client.fetch_trading_fee("BTC/EUR")
    assert (fee["taker"], fee["maker"]) == (0.0026, 0.0016)


# Trading.


def test_a_buy_fills_at_the_ask_and_money_moves_by_ledger_lines(
    kraken: KrakenDouble, client: ccxt.kraken, clock: ManualClock
) -> None:
    txid = send(client)
    (filled,) = closed(client, cl_ord_id="order-1").values()
    assert (filled["status"], filled["vol_exec"], filled["price"]) == ("closed", "0.01000000", "30000.0")
    trades = client.privatePostQueryTrades({"txid": ",".join(filled["trades"])})["result"]
    ((trade_id, trade),) = trades.items()
    assert (trade["ordertxid"], trade["cost"], trade["fee"]) == (txid, "300.00000", "1.20000")
    assert trade["time"] == clock.now().timestamp()
    lines = client.privatePostLedgers({"type": "trade"})["result"]["ledger"].values()
    assert [(line["refid"], line["asset"], line["amount"], line["fee"]) for line in lines] == [
        (trade_id, "XXBT", "0.0100000000", "0.0000000000"),
        (trade_id, "ZEUR", "-300.0000", "1.2000"),
    ]
    assert kraken.balances() == {"EUR": Decimal("698.8"), "BTC": Decimal("0.03")}


def test_a_sell_fills_at_the_bid(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    send(client, type="sell", price="29990")
    assert kraken.balances() == {"EUR": Decimal("1298.7004"), "BTC": Decimal("0.01")}


def test_what_an_order_says_it_cost_is_cut_off(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    send(client, volume="0.00123457")
    (filled,) = closed(client).values()
    assert (filled["cost"], filled["fee"]) == ("37.0", "0.1")
    (trade,) = kraken.trades
    assert (trade.cost, trade.fee) == (Decimal("37.0371"), Decimal("0.1481484"))
    assert kraken.ledger[-2].amount == Decimal("-37.0371")
    assert kraken.ledger[-2].fee == Decimal("0.1481")


def test_a_fee_in_base_is_named_in_quote_by_the_trade_and_taken_in_base_by_the_ledger(
    kraken: KrakenDouble, client: ccxt.kraken
) -> None:
    send(client, oflags="fcib")
    assert kraken.balances() == {"EUR": Decimal(700), "BTC": Decimal("0.02996")}
    (filled,) = closed(client).values()
    assert (filled["oflags"], filled["fee"]) == ("fcib", "1.2")


def test_each_level_of_the_book_is_a_trade_and_what_is_not_filled_is_cancelled(
    kraken: KrakenDouble, client: ccxt.kraken
) -> None:
    kraken.book("BTC/EUR", bids=[("29990", "1")], asks=[("30000.5", "1"), ("29999.9", "0.003"), ("30000", "0.004")])
    send(client)
    (part,) = closed(client).values()
    assert (part["status"], part["vol_exec"], len(part["trades"])) == ("canceled", "0.00700000", 2)
    assert [(trade.price, trade.volume) for trade in kraken.trades] == [
        (Decimal("29999.9"), Decimal("0.003")),
        (Decimal(30000), Decimal("0.004")),
    ]
    send(client, cl_ord_id="order-2")
    assert kraken.orders[1].vol_exec == 0


def test_a_market_order_takes_what_is_there(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    kraken.book("BTC/EUR", asks=[("30000", "0.004"), ("30100", "0.002")])
    send(client, ordertype="market", price=None, timeinforce=None)
    (taken,) = kraken.orders
    assert (taken.status, taken.vol_exec) == ("canceled", Decimal("0.006"))


def test_a_resting_order_holds_funds_and_fills_as_the_maker(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    txid = send(client, timeinforce="GTC", price="29000")
    assert list(client.privatePostOpenOrders({"cl_ord_id": "order-1"})["result"]["open"]) == [txid]
    assert client.fetch_balance()["EUR"] == {"total": 1000.0, "used": 291.16, "free": 708.84}
    kraken.quote("BTC/EUR", "28990", "28999")
    assert client.fetch_order(txid)["status"] == "closed"
    (trade,) = kraken.trades
    assert (trade.maker, trade.price, trade.fee) == (True, Decimal(29000), Decimal("0.725"))


@pytest.mark.parametrize("by", ["txid", "cl_ord_id"])
def test_a_resting_order_can_be_cancelled_once(kraken: KrakenDouble, client: ccxt.kraken, by: str) -> None:
    named = {"txid": send(client, timeinforce="GTC", price="29000"), "cl_ord_id": "order-1"}[by]
    assert client.privatePostCancelOrder({by: named})["result"] == {"count": 1}
    (cancelled,) = closed(client).values()
    assert (cancelled["status"], cancelled["reason"]) == ("canceled", "User requested")
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order(kraken.orders[0].txid)


def test_an_order_that_is_only_validated_is_described_and_not_made(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    answer = client.privatePostAddOrder(order(validate="true"))
    assert answer["result"] == {"descr": {"order": "buy 0.01000000 XBTEUR @ limit 30000.0"}}
    assert "EGeneral:Invalid arguments:validate" in error_of(lambda: send(client, validate=True))
    assert kraken.orders == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pair": "XMREUR"}, "EQuery:Unknown asset pair"),
        ({"volume": "0.00004"}, "EOrder:Order minimum not met"),
        ({"volume": "0.0001", "price": "4499.9"}, "EOrder:Cost minimum not met"),
        ({"volume": "0.000000011"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "0"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "-0.01"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "NaN"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "1e-2"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": None}, "EGeneral:Invalid arguments:volume"),
        ({"price": "30000.05"}, "EOrder:Tick size check failed"),
        ({"price": "-30000"}, "EGeneral:Invalid arguments:price"),
        ({"price": None}, "EGeneral:Invalid arguments:price"),
        ({"cl_ord_id": "longer than eighteen"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"userref": "7"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"type": "hold"}, "EGeneral:Invalid arguments:type"),
        ({"ordertype": "stop-loss"}, "EGeneral:Invalid arguments:ordertype"),
        ({"timeinforce": "soon"}, "EGeneral:Invalid arguments:timeinforce"),
        ({"oflags": "fcib,fciq"}, "EGeneral:Invalid arguments:oflags"),
        ({"deadline": "tomorrow"}, "EGeneral:Invalid arguments:deadline"),
        ({"deadline": "2026-03-02T12:01:00.5Z"}, "EGeneral:Invalid arguments:deadline"),
        ({"deadline": "2026-03-02T11:59:59.999Z"}, "EService:Deadline elapsed"),
        ({"volume": "0.04"}, "EOrder:Insufficient funds"),
        ({"type": "sell", "volume": "0.02000001"}, "EOrder:Insufficient funds"),
        ({"pair": "HALTEUR", "volume": "0"}, "EService:Market in cancel_only mode"),
    ],
)
def test_refuses_in_krakens_words_and_keeps_nothing(
    kraken: KrakenDouble, client: ccxt.kraken, changes: dict[str, Any], reason: str
) -> None:
    before = kraken.balances()
    assert f'["{reason}"]' in error_of(lambda: send(client, **changes))
    assert kraken.orders == []
    assert kraken.balances() == before
    assert kraken.requests[-1].outcome == reason


@pytest.mark.parametrize("client_id", ["6d47a5f0-6fd4-4b84-b56e-c23f0f689c20", "6d47a5f06fd44b84b56ec23f0f689c20", "a"])
def test_takes_the_three_kinds_of_client_id(kraken: KrakenDouble, client: ccxt.kraken, client_id: str) -> None:
    send(client, cl_ord_id=client_id)
    assert kraken.orders[0].cl_ord_id == client_id


def test_a_deadline_holds_to_the_moment(client: ccxt.kraken, kraken: KrakenDouble, clock: ManualClock) -> None:
    deadline = f"{clock.now() + timedelta(seconds=10):%Y-%m-%dT%H:%M:%S.%fZ}"
    clock.sleep(timedelta(seconds=10))
    send(client, deadline=deadline)
    clock.sleep(timedelta(microseconds=1))
    assert "EService:Deadline elapsed" in error_of(lambda: send(client, deadline=deadline))
    assert len(kraken.orders) == 1


def test_a_client_id_is_unique_among_open_orders_only(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    send(client)
    send(client)
    assert kraken.balances()["BTC"] == Decimal("0.04")
    send(client, timeinforce="GTC", price="20000")
    assert "EGeneral:Invalid arguments:cl_ord_id" in error_of(lambda: send(client))


def test_a_market_without_a_price_takes_no_order(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    kraken.quote("BTC/EUR", None, None)
    assert "Market in cancel_only mode: it has no price at this moment" in error_of(lambda: send(client))


def test_the_fee_must_be_paid_for_too(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    assert "EOrder:Insufficient funds" in error_of(lambda: send(client, volume="0.03320054"))
    send(client, volume="0.03320053")
    assert kraken.balances()["EUR"] == 0


# Looking things up.


def test_history_comes_in_pages_of_fifty_newest_first(
    kraken: KrakenDouble, client: ccxt.kraken, clock: ManualClock
) -> None:
    for number in range(60):
        clock.sleep(timedelta(seconds=1))
        send(client, cl_ord_id=f"order-{number}", volume="0.0001")
    kraken.violations.clear()
    pages = [client.privatePostClosedOrders({"ofs": offset})["result"] for offset in (0, 50)]
    assert [page["count"] for page in pages] == [60, 60]
    shown = [each["cl_ord_id"] for page in pages for each in page["closed"].values()]
    assert shown == [f"order-{number}" for number in reversed(range(60))]
    assert len(closed(client, cl_ord_id="order-3")) == 1
    histories = [client.privatePostTradesHistory({"ofs": offset})["result"] for offset in (0, 50)]
    assert [trade_id for page in histories for trade_id in page["trades"]] == [t.id for t in reversed(kraken.trades)]
    clock.sleep(timedelta(seconds=10))
    ledgers = [client.privatePostLedgers({"ofs": offset})["result"] for offset in (0, 50, 100)]
    assert [line_id for page in ledgers for line_id in page["ledger"]] == [x.id for x in reversed(kraken.ledger)]
    assert kraken.violations == []


def test_start_is_exclusive_and_end_inclusive_in_whole_seconds(
    kraken: KrakenDouble, client: ccxt.kraken, clock: ManualClock
) -> None:
    seconds = int(clock.now().timestamp())
    for number in range(4):
        send(client, cl_ord_id=f"order-{number}", volume="0.0001")
        clock.sleep(timedelta(seconds=1))
    shown = client.privatePostTradesHistory({"start": str(seconds + 1) + ".9", "end": str(seconds + 3)})["result"]
    assert list(shown["trades"]) == [kraken.trades[3].id, kraken.trades[2].id]
    by_id = client.privatePostTradesHistory({"start": kraken.trades[2].id})["result"]
    assert list(by_id["trades"]) == [kraken.trades[3].id]


def test_ids_are_queried_up_to_a_limit(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    txid = send(client)
    known = kraken.trades[0].id
    shown = client.privatePostQueryTrades({"txid": f"{known},TAAAAA-AAAAA-AAAAAA", "ledgers": "true"})["result"]
    assert {trade_id: trade["ledgers"] for trade_id, trade in shown.items()} == {
        known: list(kraken.trades[0].ledger_ids)
    }
    assert "EGeneral:Invalid arguments:txid" in error_of(
        lambda: client.privatePostQueryTrades({"txid": ",".join([known] * 21)})
    )
    assert set(client.privatePostQueryLedgers({"id": kraken.ledger[0].id})["result"]) == {kraken.ledger[0].id}
    assert set(client.privatePostQueryOrders({"txid": txid})["result"]) == {txid}
    assert client.privatePostQueryOrders({"txid": "OAAAAA-AAAAA-AAAAAA"})["result"] == {}
    # ccxt sends a client id as a userref, and finds nothing.
    with pytest.raises(ccxt.OrderNotFound):
        client.fetch_order(txid, params={"clientOrderId": "order-1"})


def test_orders_can_be_found_by_userref(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    txid = send(client, cl_ord_id=None, userref="-5")
    send(client, cl_ord_id=None, userref="6")
    assert list(closed(client, userref="-5")) == [txid]


# Counters.


def test_the_rest_counter_fills_by_cost_and_empties_with_time(clock: ManualClock) -> None:
    with kraken_double(clock=clock, tier="starter") as double:
        client = connect(double.url, double.key, double.secret)
        for _ in range(6):
            client.privatePostLedgers()
        for _ in range(3):
            client.privatePostBalanceEx()
        for _ in range(2):
            client.publicGetTime()
            with pytest.raises(ccxt.DDoSProtection, match="EAPI:Rate limit exceeded"):
                client.privatePostBalanceEx()
        clock.sleep(timedelta(seconds=3.1))
        client.privatePostBalanceEx()
        assert [violation.error for violation in double.violations] == ["EAPI:Rate limit exceeded"] * 2


def test_the_trading_counter_charges_early_cancellations(clock: ManualClock) -> None:
    with kraken_double(clock=clock, tier="starter", balances={"EUR": "10000"}) as double:
        client = connect(double.url, double.key, double.secret)
        resting = {"price": "20000", "volume": "0.0001", "timeinforce": "GTC", "cl_ord_id": None}
        for _ in range(6):
            client.privatePostCancelOrder({"txid": send(client, **resting)})
        for _ in range(6):
            last = send(client, **resting)
        with pytest.raises(ccxt.DDoSProtection, match="EOrder:Rate limit exceeded"):
            send(client, **resting)
        with pytest.raises(ccxt.DDoSProtection, match="EOrder:Rate limit exceeded"):
            client.privatePostCancelOrder({"txid": last})
        send(client, pair="XETHZEUR", price="2000", volume="0.001", cl_ord_id=None)
        assert [violation.error for violation in double.violations] == ["EOrder:Rate limit exceeded"] * 2
        clock.sleep(timedelta(seconds=90))
        client.privatePostCancelOrder({"txid": last})


# What happens to an account by itself.


def test_events_from_outside_write_the_lines_that_kraken_writes(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    kraken.deposit("EUR", "500")
    kraken.withdraw("BTC", "0.005", fee="0.0002")
    kraken.reward("ETH.F", "0.01")
    kraken.reward("DOT28.S", "1", fee="0.2", kind="earn")
    kraken.transfer("BTC", "BTC.F", "0.004")
    kraken.convert("EUR", "100", "SOL", "0.7", fee="1")
    kraken.trade_by_hand("BTC/EUR", "sell", "0.001", "30000")
    lines = list(client.privatePostLedgers()["result"]["ledger"].values())
    assert [(line["type"], line["asset"], line["amount"], line["fee"]) for line in reversed(lines[:-2])] == [
        ("deposit", "ZEUR", "500.0000", "0.0000"),
        ("withdrawal", "XXBT", "-0.0050000000", "0.0002000000"),
        ("staking", "ETH.F", "0.0100000000", "0.0000000000"),
        ("earn", "DOT28.S", "1.0000000000", "0.2000000000"),
        ("transfer", "XXBT", "-0.0040000000", "0.0000000000"),
        ("transfer", "XBT.F", "0.0040000000", "0.0000000000"),
        ("spend", "ZEUR", "-100.0000", "1.0000"),
        ("receive", "SOL", "0.7000000000", "0.0000000000"),
        ("trade", "XXBT", "-0.0010000000", "0.0000000000"),
        ("trade", "ZEUR", "30.0000", "0.1200"),
    ]
    assert kraken.balances() == {
        "EUR": Decimal("1428.88"),
        "BTC": Decimal("0.0098"),
        "ETH.F": Decimal("0.01"),
        "DOT28.S": Decimal("0.8"),
        "BTC.F": Decimal("0.004"),
        "SOL": Decimal("0.7"),
    }
    assert client.fetch_balance()["total"]["BTC.F"] == 0.004
    assert (kraken.orders[0].by_hand, kraken.orders[0].cl_ord_id) == (True, None)


# Faults. After each, the journal knows whether the order exists.


@pytest.mark.parametrize(
    ("fault", "exception", "exists"),
    [
        (LoseRequest(), ccxt.NetworkError, False),
        (LoseResponse(), ccxt.NetworkError, True),
        (Reset(), ccxt.NetworkError, True),
        (Reset(done=False), ccxt.NetworkError, False),
        (Truncated(length_matches=False), ccxt.BaseError, True),
        (Status(502), ccxt.ExchangeNotAvailable, True),
        (Status(502, done=False), ccxt.ExchangeNotAvailable, False),
        (Status(503), ccxt.ExchangeNotAvailable, True),
        (Status(504), ccxt.RequestTimeout, True),
        (Status(520), ccxt.ExchangeNotAvailable, True),
        (Status(523), ccxt.BaseError, True),
        (Status(524), ccxt.BaseError, True),
        (AcceptedWithWarning(), ccxt.ExchangeError, True),
        (ErrorAnswer("EService:Unavailable"), ccxt.ExchangeNotAvailable, False),
        (ErrorAnswer("EService:Timeout", done=True), ccxt.ExchangeError, True),
        (ErrorAnswer("EGeneral:Internal error", done=True), ccxt.ExchangeNotAvailable, True),
        (InvalidNonce(), ccxt.InvalidNonce, False),
        (RateLimited(), ccxt.DDoSProtection, False),
        (RateLimited("EOrder:Rate limit exceeded"), ccxt.DDoSProtection, False),
        (BadGzip(), ccxt.BaseError, True),
        (BadGzip(done=False), ccxt.BaseError, False),
        (Hang(), ccxt.RequestTimeout, False),
        (Hang(done=True), ccxt.RequestTimeout, True),
    ],
    ids=repr,
)
def test_faults_that_raise(
    kraken: KrakenDouble, client: ccxt.kraken, fault: Fault, exception: type[Exception], exists: bool
) -> None:
    client.load_markets()
    if isinstance(fault, Hang):
        client.timeout = 300
    kraken.inject("AddOrder", fault)
    with pytest.raises(exception):
        client.create_order("BTC/EUR", "limit", "buy", 0.01, 30000, {"clientOrderId": "order-1", "timeInForce": "IOC"})
    assert len(kraken.orders) == exists
    assert kraken.balances()["BTC"] == Decimal("0.03" if exists else "0.02")
    assert kraken.requests[-1].fault == repr(fault)
    kraken.release()
    send(client)
    assert len(kraken.orders) == 1 + exists


@pytest.mark.parametrize(
    ("fault", "exists"),
    [
        (Truncated(), True),
        (HtmlPage(), True),
        (HtmlPage(done=False), False),
        (EmptyBody(), True),
        (EmptyJson(), True),
        (EmptyJson(done=False), False),
        (EmptyResult(), True),
        (MissingTxid(), True),
    ],
    ids=repr,
)
def test_faults_that_ccxt_takes_for_success_without_an_id(
    kraken: KrakenDouble, client: ccxt.kraken, fault: Fault, exists: bool
) -> None:
    kraken.inject("AddOrder", fault)
    made = client.create_order("BTC/EUR", "limit", "buy", 0.01, 30000, {"timeInForce": "IOC"})
    assert made["id"] is None
    assert len(kraken.orders) == exists


def test_a_dripping_answer_never_times_out(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    client.load_markets()
    client.timeout = 500
    kraken.inject("AddOrder", Drip(interval=0.01))
    started = time.monotonic()
    assert send(client) == kraken.orders[0].txid
    assert time.monotonic() - started > 0.5


def test_a_fault_meets_the_request_that_it_was_meant_for(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    kraken.inject("AddOrder", Status(502), after=1, times=2)
    outcomes = []
    for number in range(4):
        client.publicGetTime()
        try:
            outcomes.append(bool(send(client, cl_ord_id=f"order-{number}", volume="0.001")))
        except ccxt.ExchangeNotAvailable:
            outcomes.append(False)
    assert outcomes == [True, False, False, True]


def test_a_lockout_lasts(kraken: KrakenDouble, client: ccxt.kraken, clock: ManualClock) -> None:
    kraken.inject("AddOrder", Lockout(seconds=60))
    for action in (lambda: send(client), client.privatePostBalanceEx):
        with pytest.raises(ccxt.DDoSProtection, match="EGeneral:Temporary lockout"):
            action()
    clock.sleep(timedelta(seconds=60))
    client.privatePostBalanceEx()


def test_a_delayed_order_executes_when_its_time_has_come(
    kraken: KrakenDouble, client: ccxt.kraken, clock: ManualClock
) -> None:
    arrival = clock.now()
    kraken.inject("AddOrder", Delayed(seconds=30))
    with pytest.raises(ccxt.NetworkError):
        send(client)
    clock.sleep(timedelta(seconds=29))
    assert closed(client) == {}
    clock.sleep(timedelta(seconds=20))
    assert len(closed(client)) == 1
    assert kraken.orders[0].accepted_at == arrival + timedelta(seconds=30)


def test_a_delayed_order_is_refused_after_its_deadline(
    kraken: KrakenDouble, client: ccxt.kraken, clock: ManualClock
) -> None:
    kraken.inject("AddOrder", Delayed(seconds=30))
    with pytest.raises(ccxt.NetworkError):
        send(client, deadline=(clock.now() + timedelta(seconds=10)).isoformat())
    clock.sleep(timedelta(seconds=31))
    kraken.settle_delayed()
    assert kraken.orders == []
    assert kraken.requests[-1].outcome == "EService:Deadline elapsed"


def test_an_order_may_stay_invisible(kraken: KrakenDouble, client: ccxt.kraken, clock: ManualClock) -> None:
    kraken.hide_orders_for(45)
    txid = send(client)
    open_txid = send(client, timeinforce="GTC", price="20000", cl_ord_id="rests")
    clock.sleep(timedelta(seconds=44))
    assert closed(client) == {}
    assert client.privatePostOpenOrders()["result"]["open"] == {}
    assert client.privatePostQueryOrders({"txid": txid})["result"] == {}
    clock.sleep(timedelta(seconds=1))
    assert list(closed(client)) == [txid]
    assert list(client.privatePostOpenOrders()["result"]["open"]) == [open_txid]


def test_trades_and_their_ledger_lines_may_come_one_after_another(
    kraken: KrakenDouble, client: ccxt.kraken, clock: ManualClock
) -> None:
    kraken.book("BTC/EUR", asks=[("29999", "0.004"), ("30000", "0.006")])
    kraken.hide_trades_for(5)
    send(client)
    first, second = (trade.id for trade in kraken.trades)
    for seconds, shown in ((4, []), (1, [first]), (5, [first, second])):
        clock.sleep(timedelta(seconds=seconds))
        (filled,) = closed(client).values()
        assert filled["vol_exec"] == "0.01000000"
        assert filled.get("trades", []) == shown
        assert set(client.privatePostQueryTrades({"txid": f"{first},{second}"})["result"]) == set(shown)
        assert client.privatePostTradesHistory()["result"]["count"] == len(shown)
        assert client.privatePostLedgers({"type": "trade"})["result"]["count"] == 2 * len(shown)


def test_balances_may_be_those_from_before_the_trade(
    kraken: KrakenDouble, client: ccxt.kraken, clock: ManualClock
) -> None:
    kraken.stale_balances_for(10)
    kraken.deposit("EUR", "5")
    send(client)
    assert client.fetch_balance()["total"] == {"EUR": 1005.0, "BTC": 0.02}
    clock.sleep(timedelta(seconds=10))
    assert client.fetch_balance()["total"] == {"EUR": 703.8, "BTC": 0.03}


def test_trades_may_come_in_disorder_and_twice(kraken: KrakenDouble, client: ccxt.kraken, clock: ManualClock) -> None:
    kraken.book("BTC/EUR", asks=[(str(29000 + level), "0.0001") for level in range(60)])
    kraken.shuffle_trades()
    kraken.repeat_trades()
    send(client, volume="0.006")
    (filled,) = closed(client).values()
    ids = [trade.id for trade in kraken.trades]
    assert sorted(filled["trades"]) == sorted([*ids, *ids])
    pages = [list(client.privatePostTradesHistory({"ofs": offset})["result"]["trades"]) for offset in (0, 50)]
    assert {*pages[0], *pages[1]} == set(ids)
    assert len(pages[0]) + len(pages[1]) == 61
    assert pages[0] != sorted(pages[0], key=ids.index, reverse=True)


def test_lookups_may_fail_while_orders_pass(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    kraken.fail_lookups(2)
    send(client)
    for lookup in (client.privatePostOpenOrders, client.privatePostClosedOrders):
        with pytest.raises(ccxt.ExchangeNotAvailable):
            lookup()
    assert len(closed(client)) == 1


def test_an_order_may_stay_open_and_fill_while_it_is_cancelled(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    kraken.leave_open(filled="0.002", fills_on_cancel="0.003")
    partly = send(client)
    assert client.fetch_order(partly)["status"] == "open"
    assert client.privatePostCancelOrder({"txid": partly})["result"] == {"count": 1}
    assert client.fetch_order(partly)["filled"] == 0.005
    kraken.leave_open(fills_on_cancel="1")
    wholly = send(client)
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order(wholly)
    assert client.fetch_order(wholly)["filled"] == 0.01


def test_an_open_order_may_fill_later_or_be_closed_by_hand(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    for client_id in ("fills", "ends"):
        kraken.leave_open()
        send(client, cl_ord_id=client_id)
    kraken.fill_open("fills")
    kraken.fill_open("ends", "0.001")
    kraken.close_open_orders()
    assert [(each.status, each.vol_exec) for each in kraken.orders] == [
        ("closed", Decimal("0.01")),
        ("canceled", Decimal("0.001")),
    ]


def test_the_next_order_may_fill_in_part(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    kraken.fill_next("0.004")
    send(client)
    send(client, cl_ord_id="order-2", volume="0.001")
    assert [each.vol_exec for each in kraken.orders] == [Decimal("0.004"), Decimal("0.001")]


def test_a_request_may_be_answered_for_another_pair(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    kraken.inject("Ticker", OtherPair("XETHZEUR"))
    assert set(client.publicGetTicker({"pair": "XXBTZEUR"})["result"]) == {"XETHZEUR"}
    kraken.inject("AddOrder", OtherPair("XETHZEUR"))
    answer = client.privatePostAddOrder(order())
    assert answer["result"]["descr"]["order"] == "buy 0.01000000 ETHEUR @ limit 30000.00"


@pytest.mark.parametrize("price", [None, "NaN", "0.00000", "-1.0"])
def test_a_ticker_may_be_nonsense(kraken: KrakenDouble, client: ccxt.kraken, price: str | None) -> None:
    kraken.quote("BTC/EUR", price, "30000")
    assert client.publicGetTicker({"pair": "XXBTZEUR"})["result"]["XXBTZEUR"]["b"][0] == price
    send(client)
    assert kraken.orders[0].status == "closed"


def test_a_pair_may_stop_trading(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    kraken.set_status("BTC/EUR", "delisted")
    assert "EService:Market in delisted mode" in error_of(lambda: send(client))
    assert client.load_markets(reload=True)["BTC/EUR"]["active"] is False


# The journal, the process, the speed.


def test_the_journal_is_one_document_without_secrets(kraken: KrakenDouble, client: ccxt.kraken) -> None:
    txid = send(client)
    journal = kraken.journal()
    assert journal["orders"][0]["txid"] == txid
    assert journal["orders"][0]["trades"] == [journal["trades"][0]["id"]]
    assert journal["orders"][0]["vol_exec"] == "0.01"
    assert {line["refid"] for line in journal["ledger"][2:]} == {journal["trades"][0]["id"]}
    assert journal["balances"]["EUR"] == "698.8000"
    assert journal["requests"][-1]["parameters"]["cl_ord_id"] == "order-1"
    assert kraken.secret not in str(journal)


def test_ids_are_the_same_for_the_same_seed(clock: ManualClock) -> None:
    def first_order(seed: int) -> str:
        with kraken_double(clock=clock, balances={"EUR": "1000"}, seed=seed) as double:
            return send(connect(double.url, double.key, double.secret), price="70000")

    assert first_order(1) == first_order(1) != first_order(2)


def test_runs_in_a_process_of_its_own_and_is_turned_over_http() -> None:
    with kraken_double_process("--tier", "pro", "--balance", "EUR=1000", "--clock-offset", "300") as double:
        client = connect(double.url, double.key, double.secret)
        assert client.fetch_time() - client.milliseconds() > 298_000
        double.quote("BTC/EUR", "29990", "30000")
        double.move("deposit", asset="BTC", amount="0.5")
        double.state("fill_next", at_most="0.004")
        double.inject("AddOrder", Status(502, done=True))
        with pytest.raises(ccxt.ExchangeNotAvailable):
            send(client)
        journal = double.journal()
        assert journal["orders"][0]["vol_exec"] == "0.004"
        assert journal["balances"] == {"EUR": "879.5200", "BTC": "0.5040000000"}
        double.state("hide_orders_for", seconds=60)
        assert closed(client) == {}


def test_ends_while_requests_hang(clock: ManualClock) -> None:
    started = time.monotonic()
    with kraken_double(clock=clock) as double:
        double.fall_silent("Time")
        with pytest.raises(ccxt.RequestTimeout):
            connect(double.url, double.key, double.secret, timeout=100).fetch_time()
    assert time.monotonic() - started < 2


def test_answers_without_stalls(client: ccxt.kraken) -> None:
    """A stall for a delayed acknowledgement is 40 ms: 300 of them would take 12 s."""
    started = time.monotonic()
    for _ in range(300):
        client.publicGetTime()
    assert time.monotonic() - started < 2


def test_bars_are_the_newest_720_and_the_last_is_under_way(
    kraken: KrakenDouble, client: ccxt.kraken, clock: ManualClock
) -> None:
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    kraken.draw("BTC/EUR", 60, hour - timedelta(hours=800), [*range(30_000, 30_800), 99_999, 88_888])
    bars = client.fetch_ohlcv("BTC/EUR", "1h")
    assert len(bars) == 720
    assert [close for *_, close, _ in bars[-2:]] == [30_799, 99_999]
    assert bars[-1][0] == hour.timestamp() * 1000
    answer = client.publicGetOHLC({"pair": "XBTEUR", "interval": "60", "since": str(int(hour.timestamp()) - 7200)})
    assert [row[4] for row in answer["result"]["XXBTZEUR"]] == ["30799.0", "99999.0"]
    assert int(answer["result"]["last"]) == hour.timestamp() - 3600


def test_a_bar_is_under_way_where_nothing_was_traded_yet(
    kraken: KrakenDouble, client: ccxt.kraken, clock: ManualClock
) -> None:
    midnight = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    kraken.draw("BTC/EUR", 1440, midnight - timedelta(days=1), ["31000"])
    answer = client.publicGetOHLC({"pair": "XXBTZEUR", "interval": "1440", "since": str(int(midnight.timestamp()))})
    ((opened_at, *prices, trades),) = answer["result"]["XXBTZEUR"]
    assert (int(opened_at), prices[3], int(trades)) == (midnight.timestamp(), "31000.0", 0)
    with pytest.raises(ccxt.BadRequest):
        client.publicGetOHLC({"pair": "XXBTZEUR", "interval": "7"})
