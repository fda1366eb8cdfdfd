"""Live prices through the real ccxt, over HTTP, against the double of Kraken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest

from rebalancer_pipelines.adapters.prices.live import LivePrices
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.market import Market, MarketStatus, PriceMark
from rebalancer_pipelines.domain.values import Currency
from tests.support.kraken_double import KrakenDouble, kraken_double
from tests.support.manual_clock import ManualClock

PAGE = "<html><body>Checking your browser</body></html>"


@pytest.fixture
def kraken() -> Iterator[KrakenDouble]:
    with kraken_double() as double:
        yield double


@pytest.fixture
def live(kraken: KrakenDouble, clock: ManualClock) -> LivePrices:
    return LivePrices(clock, endpoint=kraken.url, timeout=timedelta(seconds=5), spacing=timedelta(0))


def test_quotes_are_what_kraken_wrote(live: LivePrices, clock: ManualClock) -> None:
    marks = live.quotes(["BTC/EUR", "PEPE/EUR"])
    assert marks["BTC/EUR"] == PriceMark(
        "BTC/EUR", Decimal("61234.50000"), Decimal("61234.60000"), "live (kraken)", clock.now()
    )
    assert str(marks["PEPE/EUR"].bid) == "0.000007123"


def test_rules_are_what_kraken_wrote(live: LivePrices) -> None:
    markets = live.markets()
    assert markets["BTC/EUR"] == Market(
        symbol="BTC/EUR",
        base_currency=Currency("BTC"),
        quote_currency=Currency("EUR"),
        price_increment=Decimal("0.1"),
        size_increment=Decimal("0.00000001"),
        min_amount=Decimal("0.00005"),
        min_notional=Decimal("0.45"),
    )
    assert markets["HALT/EUR"].status is MarketStatus.CANCEL_ONLY


def test_a_tick_wider_than_the_pairs_decimals_counts(kraken: KrakenDouble, live: LivePrices) -> None:
    kraken.pairs["XXBTZEUR"]["tick_size"] = "0.5"
    del kraken.pairs["XETHZEUR"]["tick_size"]
    markets = live.markets()
    assert markets["BTC/EUR"].price_increment == Decimal("0.5")
    assert markets["ETH/EUR"].price_increment == Decimal("0.01")


def test_an_amount_is_never_finer_than_its_currency(live: LivePrices) -> None:
    assert live.markets()["PEPE/EUR"].size_increment == Decimal("0.00001")


def test_a_status_that_we_do_not_know_is_not_traded(kraken: KrakenDouble, live: LivePrices) -> None:
    kraken.pairs["XXBTZEUR"]["status"] = "work_in_progress"
    assert live.markets()["BTC/EUR"].status is MarketStatus.CANCEL_ONLY
    assert live.quotes(["BTC/EUR"]) == {}


def test_a_market_without_its_minimum_is_absent(kraken: KrakenDouble, live: LivePrices) -> None:
    del kraken.pairs["SOLEUR"]["ordermin"]
    assert "SOL/EUR" not in live.markets()


@pytest.mark.parametrize("price", ["0.00000", "0", "NaN", "nan", "-1.0", "Infinity", "", "abc", None, 61234.5])
def test_an_unusable_price_costs_only_its_own_market(kraken: KrakenDouble, live: LivePrices, price: str) -> None:
    kraken.quote("XETHZEUR", price, "2431.38000")
    kraken.quote("SOLEUR", "143.12000", price)
    assert set(live.quotes(["BTC/EUR", "ETH/EUR", "SOL/EUR"])) == {"BTC/EUR"}


@pytest.mark.parametrize("ticker", [{}, {"a": [], "b": []}, {"a": None, "b": None}, None, "x"])
def test_a_malformed_ticker_costs_only_its_own_market(kraken: KrakenDouble, live: LivePrices, ticker: object) -> None:
    kraken.tickers["XETHZEUR"] = ticker
    assert set(live.quotes(["BTC/EUR", "ETH/EUR"])) == {"BTC/EUR"}


def test_unknown_and_closed_markets_are_not_asked_for(kraken: KrakenDouble, live: LivePrices) -> None:
    assert set(live.quotes(["BTC/EUR", "NOPE/EUR", "HALT/EUR", "POST/EUR"])) == {"BTC/EUR", "POST/EUR"}
    kraken.requests.clear()
    assert live.quotes(["NOPE/EUR", "HALT/EUR"]) == {}
    assert kraken.requests == []


def test_a_pair_delisted_behind_our_back_is_forgotten_after_one_failure(kraken: KrakenDouble, live: LivePrices) -> None:
    live.markets()
    del kraken.pairs["SOLEUR"], kraken.tickers["SOLEUR"]
    with pytest.raises(VenueUnreachableError, match="Unknown asset pair"):
        live.quotes(["BTC/EUR", "SOL/EUR"])
    assert set(live.quotes(["BTC/EUR", "SOL/EUR"])) == {"BTC/EUR"}


def test_rules_are_read_again_once_they_are_a_minute_old(
    kraken: KrakenDouble, live: LivePrices, clock: ManualClock
) -> None:
    live.markets()
    kraken.pairs["XXBTZEUR"]["status"] = "cancel_only"
    clock.sleep(timedelta(seconds=59))
    assert live.markets()["BTC/EUR"].status is MarketStatus.ONLINE
    clock.sleep(timedelta(seconds=1))
    assert live.markets()["BTC/EUR"].status is MarketStatus.CANCEL_ONLY
    assert kraken.count("AssetPairs") == 2


@pytest.mark.parametrize("endpoint", ["AssetPairs", "Ticker"])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, "oops"),
        (502, PAGE),
        (520, ""),
        (429, "slow down"),
        (200, PAGE),
        (200, ""),
        (200, "{}"),
        (200, "[]"),
        (200, "null"),
        (200, '{"error":[],"result":{}}'),
        (200, '{"error":[],"resu'),
        (200, '{"error":["EGeneral:Too many requests"]}'),
        (200, '{"error":["EService:Unavailable"]}'),
    ],
)
def test_an_answer_that_is_none_is_one_line_and_asked_for_once(
    kraken: KrakenDouble, live: LivePrices, endpoint: str, status: int, body: str
) -> None:
    kraken.answer(endpoint, status, body)
    with pytest.raises(VenueUnreachableError) as caught:
        live.quotes(["BTC/EUR", "ETH/EUR"])
    assert "\n" not in str(caught.value)
    assert "kraken" in str(caught.value)
    assert len(str(caught.value)) < 300
    assert kraken.count(endpoint) == 1


@pytest.mark.parametrize("endpoint", ["AssetPairs", "Ticker"])
def test_silence_ends_in_a_timeout(kraken: KrakenDouble, clock: ManualClock, endpoint: str) -> None:
    kraken.fall_silent(endpoint)
    live = LivePrices(clock, endpoint=kraken.url, timeout=timedelta(seconds=0.2), spacing=timedelta(0))
    with pytest.raises(VenueUnreachableError, match="RequestTimeout"):
        live.quotes(["BTC/EUR"])
    assert kraken.count(endpoint) == 1


def test_nobody_listening_is_one_line(clock: ManualClock) -> None:
    with kraken_double() as double:
        url = double.url
    with pytest.raises(VenueUnreachableError, match="kraken's markets cannot be read"):
        LivePrices(clock, endpoint=url, spacing=timedelta(0)).markets()


def test_ccxt_is_loaded_only_when_live_prices_are_asked_for() -> None:
    code = (
        "import sys; from rebalancer_pipelines.adapters.venues.registry import VenueRegistry;"
        "VenueRegistry(None, None).check('paper', 'live'); assert 'ccxt' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
