"""What is read from Kraken through the real ccxt, over HTTP, against a double: exactly, or not at all."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlalchemy import Engine

from rebalancer_pipelines.adapters.clock import SystemClock
from rebalancer_pipelines.adapters.venues.ccxt.client import CcxtClient, Credentials
from rebalancer_pipelines.adapters.venues.ccxt.kraken.venue import KrakenVenue
from rebalancer_pipelines.adapters.venues.ccxt.raw_answer import Failure, RawAnswer
from rebalancer_pipelines.application.ports import KeyPermissions, MovementKind
from rebalancer_pipelines.domain.account_settings import AccountSettings, RateTier
from rebalancer_pipelines.domain.errors import VenueUnreachableError
from rebalancer_pipelines.domain.portfolio import Holding
from tests.support.kraken_account import ASK, BID, KrakenAccount
from tests.support.kraken_double import (
    Drip,
    EmptyBody,
    EmptyJson,
    ErrorAnswer,
    Fault,
    FixedAnswer,
    Hang,
    HtmlPage,
    InvalidNonce,
    KrakenDouble,
    Lockout,
    LoseResponse,
    OtherPair,
    RateLimited,
    Reset,
    Status,
    Truncated,
    kraken_double,
)
from tests.support.manual_clock import ManualClock

SECOND = timedelta(seconds=1)
OTHER_SECRET = "YW5vdGhlciBzZWNyZXQgdGhhdCBzaWducyBub3RoaW5nIGF0IGFsbA=="


@pytest.fixture
def double(clock: ManualClock) -> Iterator[KrakenDouble]:
    with kraken_double(clock=clock, balances={"EUR": "10000", "BTC": "0.5"}) as double:
        yield double


@pytest.fixture
def at(engine: Engine, clock: ManualClock, double: KrakenDouble) -> KrakenAccount:
    return KrakenAccount(engine, clock, double)


READS: dict[str, tuple[str, Callable[[KrakenVenue], object]]] = {
    "balances": ("BalanceEx", lambda venue: venue.balances()),
    "fees": ("TradeVolume", lambda venue: venue.fees(["BTC/EUR"])),
    "ledger": ("Ledgers", lambda venue: venue.movements(SystemClock().now())),
    "key permissions": ("GetApiKeyInfo", lambda venue: venue.key_permissions()),
    "markets": ("AssetPairs", lambda venue: venue.markets()),
    "prices": ("Ticker", lambda venue: venue.prices(["BTC/EUR"])),
    "time": ("Time", lambda venue: venue.clock_skew()),
}
"""Everything that is read, by what people are told it is, with the endpoint that tells it."""

PRIVATE = ("balances", "fees", "ledger", "key permissions")


def refusal(venue: KrakenVenue, what: str) -> str:
    """What people are told; always one short line without a secret."""
    with pytest.raises(VenueUnreachableError) as caught:
        READS[what][1](venue)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) <= 200
    assert text.startswith("kraken")
    return text


# What is read.


def test_all_forms_of_a_currency_are_one(engine: Engine, clock: ManualClock) -> None:
    balances = {
        "EUR": "100.5",
        "EUR.HOLD": "7",
        "BTC": "0.1",
        "BTC.M": "0.2",
        "BTC.F": "0.4",
        "ETH.S": "1",
        "DOGE": "3",
        "DOT28.S": "5",
        "KFEE": "12",
    }
    with kraken_double(clock=clock, balances=balances) as double:
        assert KrakenAccount(engine, clock, double).venue.balances() == {
            "EUR": Holding(Decimal("107.5"), Decimal("100.5")),
            "BTC": Holding(Decimal("0.7"), Decimal("0.5")),
            "ETH": Holding(Decimal(1), Decimal(0)),
            "DOGE": Holding(Decimal(3), Decimal(3)),
            "DOT": Holding(Decimal(5), Decimal(0)),
            "KFEE": Holding(Decimal(12), Decimal(12)),
        }


def test_money_in_open_orders_is_not_free(at: KrakenAccount, double: KrakenDouble) -> None:
    double.leave_open()
    at.submit(at.ticket(quantity=Decimal("0.01"), limit_price=Decimal(60_000)))
    holding = at.venue.balances()
    assert holding["EUR"].total == 10_000
    assert holding["EUR"].free <= 10_000 - 600


def test_the_ledger_is_read_to_its_beginning_oldest_first(
    at: KrakenAccount, double: KrakenDouble, clock: ManualClock
) -> None:
    clock.sleep(SECOND)
    since = clock.now()
    for number in range(120):
        double.deposit("EUR", 1 + number)
    clock.sleep(SECOND)
    double.withdraw("BTC", "0.1", fee="0.0001")
    double.reward("ETH.F", "0.01", fee="0.001", kind="earn")
    double.transfer("BTC", "BTC.F", "0.1", kind="earn")
    double.transfer("ETH.F", "ETH.S", "0.001")
    clock.sleep(SECOND)
    double.trade_by_hand("BTC/EUR", "sell", "0.01", BID)
    for repeated in (False, True):
        double.repeat_trades(repeated)
        movements = at.venue.movements(since)
        assert len(movements) == 120 + 6 + 2
        assert {m.kind for m in movements[:120]} == {MovementKind.DEPOSIT}
        assert sorted(movements, key=lambda m: m.occurred_at) == list(movements)
        kinds = [(m.kind, m.currency) for m in movements[120:]]
        assert sorted(kinds[:6]) == sorted(
            [
                (MovementKind.WITHDRAWAL, "BTC"),
                (MovementKind.REWARD, "ETH"),
                (MovementKind.CONVERSION, "BTC"),
                (MovementKind.CONVERSION, "BTC"),
                (MovementKind.CONVERSION, "ETH"),
                (MovementKind.CONVERSION, "ETH"),
            ]
        )
        assert sorted(kinds[6:]) == [(MovementKind.TRADE, "BTC"), (MovementKind.TRADE, "EUR")]
        assert {m.trade_id for m in movements[-2:]} == {double.trades[0].id}
        assert len({m.entry_id for m in movements}) == len(movements)


def test_the_ledger_adds_up_to_the_balances(at: KrakenAccount, double: KrakenDouble, clock: ManualClock) -> None:
    since = clock.now()
    at.submit(at.ticket(quantity=Decimal("0.01234567")))
    double.convert("EUR", "100", "ETH", "0.04", fee="0.5")
    double.reward("DOT28.S", "0.3")
    sums: dict[str, Decimal] = {}
    for movement in at.venue.movements(since):
        sums[movement.currency] = sums.get(movement.currency, Decimal(0)) + movement.amount - movement.fee
    assert sums == {currency: holding.total for currency, holding in at.venue.balances().items()}


def test_the_ledger_begins_with_the_moment_itself(at: KrakenAccount, double: KrakenDouble, clock: ManualClock) -> None:
    clock.time += timedelta(microseconds=250_000)
    double.deposit("EUR", 1)
    clock.time += timedelta(microseconds=250_000)
    since = clock.now()
    double.deposit("EUR", 2)
    clock.time += timedelta(microseconds=1)
    double.deposit("EUR", 3)
    assert [movement.amount for movement in at.venue.movements(since)] == [2, 3]
    assert at.venue.movements(clock.now() + SECOND) == []


def test_fees_are_the_worst_of_the_markets(at: KrakenAccount, double: KrakenDouble) -> None:
    double.set_fees(taker_percent="0.26", maker_percent="0.16")
    fees = at.venue.fees(["BTC/EUR", "ETH/EUR", "NOPE/EUR"])
    assert (fees.taker, fees.maker) == (Decimal("0.0026"), Decimal("0.0016"))
    fees_by_pair = {"XXBTZEUR": {"fee": "0.26"}, "XETHZEUR": {"fee": "0.4"}}
    body = {"error": [], "result": {"fees": fees_by_pair, "fees_maker": {"XXBTZEUR": {"fee": "0.16"}}}}
    double.answer("TradeVolume", 200, str(body).replace("'", '"'))
    fees = at.venue.fees(["BTC/EUR", "ETH/EUR"])
    assert (fees.taker, fees.maker) == (Decimal("0.004"), Decimal("0.004"))


def test_fees_of_a_market_that_are_not_told_are_not_taken_for_none(at: KrakenAccount, double: KrakenDouble) -> None:
    double.answer("TradeVolume", 200, '{"error":[],"result":{"fees":{"XXBTZEUR":{"fee":"0.4"}},"fees_maker":{}}}')
    with pytest.raises(VenueUnreachableError):
        at.venue.fees(["BTC/EUR", "ETH/EUR"])


def test_a_price_of_another_market_is_refused(at: KrakenAccount, double: KrakenDouble) -> None:
    double.inject("Ticker", OtherPair("XETHZEUR"))
    with pytest.raises(VenueUnreachableError):
        at.venue.prices(["BTC/EUR"])
    double.inject("Ticker", OtherPair("XETHZEUR,XXBTZEUR"))
    with pytest.raises(VenueUnreachableError, match="XETHZEUR, which nobody asked for"):
        at.venue.prices(["BTC/EUR"])
    assert at.venue.prices(["BTC/EUR"])["BTC/EUR"].ask == ASK


def test_rules_are_read_again_once_after_a_failure(at: KrakenAccount, double: KrakenDouble) -> None:
    at.venue.markets()
    double.inject("Ticker", Status(502))
    with pytest.raises(VenueUnreachableError):
        at.venue.prices(["BTC/EUR"])
    for _ in range(3):
        at.venue.prices(["BTC/EUR"])
    assert double.count("AssetPairs") == 2


@pytest.mark.parametrize(
    ("ahead", "proven"),
    [
        (0, 0),
        (0.9, 0),
        (-0.9, 0),
        (1, 1),
        (1.5, 1),
        (2.5, 2),
        (300, 300),
        (-1, 0),
        (-1.5, -1),
        (-2.5, -2),
        (-300, -299),
    ],
)
def test_a_clock_is_wrong_only_as_far_as_whole_seconds_prove(
    engine: Engine, clock: ManualClock, ahead: float, proven: float
) -> None:
    at_venue = ManualClock(clock.now() + timedelta(seconds=ahead))
    with kraken_double(clock=at_venue) as double:
        venue = KrakenAccount(engine, clock, double).venue
        assert venue.clock_skew() == timedelta(seconds=proven)
        clock.sleep(timedelta(seconds=59))
        venue.clock_skew()
        assert double.count("Time") == 1
        clock.sleep(SECOND)
        venue.clock_skew()
        assert double.count("Time") == 2


def test_permissions_are_told_in_krakens_words(engine: Engine, clock: ManualClock) -> None:
    with kraken_double(clock=clock, permissions=["query-funds", "modify-trades", "withdraw-funds"]) as double:
        assert KrakenAccount(engine, clock, double).venue.key_permissions() == KeyPermissions(
            can_withdraw=True,
            missing=(
                "Query Open Orders & Trades",
                "Query Closed Orders & Trades",
                "Query Ledger Entries",
                "Cancel/Close Orders",
            ),
        )


def test_a_key_that_is_fit_lacks_nothing(at: KrakenAccount) -> None:
    assert at.venue.key_permissions() == KeyPermissions(can_withdraw=False)


def test_absence_proves_nothing_for_as_long_as_the_account_says(at: KrakenAccount) -> None:
    assert at.venue.visibility_lag == at.settings.hold
    assert at.venue.price_source == "live (kraken)"


# What cannot be read.


@pytest.mark.parametrize("what", READS)
@pytest.mark.parametrize(
    "fault",
    [
        Status(502),
        Status(520),
        HtmlPage(),
        EmptyBody(),
        EmptyJson(),
        Truncated(),
        Truncated(length_matches=False),
        LoseResponse(),
        Reset(),
        ErrorAnswer("EService:Unavailable"),
        ErrorAnswer("EGeneral:Internal error"),
        FixedAnswer(200, "null"),
        FixedAnswer(200, "[]"),
        FixedAnswer(200, '{"error":[]}'),
        FixedAnswer(200, '{"error":[],"result":null}'),
        FixedAnswer(200, '{"error":[],"result":[]}'),
        FixedAnswer(404, "<html>not here</html>"),
        FixedAnswer(307, ""),
    ],
    ids=repr,
)
def test_what_is_no_answer_is_never_an_empty_one(
    at: KrakenAccount, double: KrakenDouble, what: str, fault: Fault
) -> None:
    double.inject(READS[what][0], fault)
    refusal(at.venue, what)
    assert double.count(READS[what][0]) == 1
    READS[what][1](at.venue)


@pytest.mark.parametrize("what", READS)
@pytest.mark.parametrize("fault", [Hang(), Drip(interval=0.05)], ids=repr)
def test_every_call_ends(engine: Engine, clock: ManualClock, double: KrakenDouble, what: str, fault: Fault) -> None:
    venue = KrakenAccount(engine, clock, double, AccountSettings(venue_timeout=timedelta(seconds=0.3))).venue
    venue.markets()
    clock.sleep(timedelta(minutes=2))
    double.inject(READS[what][0], fault, times=2)
    begun = time.monotonic()
    refusal(venue, what)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("what", PRIVATE)
def test_a_wrong_key_and_a_wrong_secret_are_told_apart(at: KrakenAccount, what: str) -> None:
    assert "does not know the API key" in refusal(at.connect(key="another key"), what)
    assert "the secret does not belong to the API key" in refusal(at.connect(secret=OTHER_SECRET), what)


@pytest.mark.parametrize(
    ("what", "permission"),
    [("balances", "Query Funds"), ("fees", "Query Funds"), ("ledger", "Query Ledger Entries")],
)
def test_a_missing_permission_is_named(engine: Engine, clock: ManualClock, what: str, permission: str) -> None:
    with kraken_double(clock=clock, permissions=["export-data"]) as double:
        told = refusal(KrakenAccount(engine, clock, double).venue, what)
    assert f"the API key lacks '{permission}'" in told
    assert "grant it at Kraken" in told


def test_addresses_that_are_not_krakens_are_told_apart(at: KrakenAccount) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    at.venue.markets()
    cases = {
        f"http://127.0.0.1:{port}": f"nobody listens at http://127.0.0.1:{port}",
        "http://nowhere.invalid": "the host of http://nowhere.invalid is unknown",
    }
    for endpoint, words in cases.items():
        other = at.connect(endpoint=endpoint)
        other._public = at.venue._public
        assert words in refusal(other, "balances")
        refusal(at.connect(endpoint=endpoint), "markets")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Lockout(), "wait 15 minutes"),
        (ErrorAnswer("EService:Unavailable"), "status.kraken.com"),
        (ErrorAnswer("EService:Market in cancel_only mode"), "status.kraken.com"),
        (Status(502), "HTTP 502"),
        (FixedAnswer(429, "slow down"), "too many requests"),
        (FixedAnswer(404, "<html>"), "check the address"),
        (HtmlPage(), "check the address"),
        (LoseResponse(), "the connection broke"),
    ],
    ids=repr,
)
def test_other_causes_have_their_own_words(at: KrakenAccount, double: KrakenDouble, fault: Fault, words: str) -> None:
    double.inject("BalanceEx", fault)
    assert words in refusal(at.venue, "balances")


# The key: its nonces and its counter.


def test_a_read_that_met_a_full_counter_is_asked_again_when_there_is_room(
    at: KrakenAccount, double: KrakenDouble, clock: ManualClock
) -> None:
    at.venue.markets()
    begun = clock.now()
    double.inject("BalanceEx", RateLimited())
    assert at.venue.balances()
    assert double.count("BalanceEx") == 2
    # The counter stood at 15 then, and one point fades in 3.0303… seconds.
    assert clock.now() - begun == timedelta(milliseconds=3031)
    assert at.venue.time_spent.waited == timedelta(milliseconds=3031)
    double.inject("BalanceEx", RateLimited(), times=None)
    assert "another program uses the same API key" in refusal(at.venue, "balances")
    assert double.count("BalanceEx") == 5


def test_a_read_that_met_an_old_nonce_is_asked_again(at: KrakenAccount, double: KrakenDouble) -> None:
    double.inject("BalanceEx", InvalidNonce(), times=2)
    assert at.venue.balances()
    assert double.count("BalanceEx") == 3
    double.inject("BalanceEx", InvalidNonce(), times=None)
    assert "another program uses the same API key" in refusal(at.venue, "balances")


@pytest.mark.parametrize("tier", RateTier)
def test_no_amount_of_reading_exceeds_krakens_counter(engine: Engine, clock: ManualClock, tier: RateTier) -> None:
    with kraken_double(clock=clock, tier=tier.value, balances={"EUR": "100"}) as double:
        settings = AccountSettings(rate_tier=tier, venue_timeout=timedelta(seconds=5))
        account = KrakenAccount(engine, clock, double, settings)
        since = clock.now()
        for _ in range(12):
            account.venue.balances()
            account.venue.movements(since)
        assert double.violations == []
        assert account.venue.time_spent.waited > timedelta(0)


def test_several_processes_on_one_key_send_no_old_nonce(engine: Engine) -> None:
    clock = SystemClock()
    with kraken_double(clock=clock, tier="pro", balances={"EUR": "100"}, latency=0.005) as double:
        settings = AccountSettings(rate_tier=RateTier.PRO, venue_timeout=timedelta(seconds=5))
        account = KrakenAccount(engine, clock, double, settings)
        account.venue.markets()
        others = [account.connect() for _ in range(3)]
        for other in others:
            other._public = account.venue._public
        failures: list[BaseException] = []

        def read(venue: KrakenVenue) -> None:
            try:
                for _ in range(4):
                    venue.balances()
            except BaseException as error:  # noqa: BLE001
                failures.append(error)

        threads = [threading.Thread(target=read, args=(venue,)) for venue in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert double.violations == []
        assert double.count("BalanceEx") == 12


def test_a_clock_that_is_set_back_sends_no_old_nonce(
    at: KrakenAccount, double: KrakenDouble, clock: ManualClock
) -> None:
    at.venue.balances()
    clock.time -= timedelta(hours=1)
    at.venue.balances()
    at.connect().balances()
    assert double.violations == []


def test_public_requests_leave_in_a_burst_and_then_slowly(
    at: KrakenAccount, double: KrakenDouble, clock: ManualClock
) -> None:
    begun = clock.now()
    at.venue.markets()
    at.venue.prices(["BTC/EUR"])
    at.venue.clock_skew()
    assert clock.now() == begun
    for _ in range(5):
        at.venue.prices(["BTC/EUR"])
    assert clock.now() == begun + 5 * SECOND


def test_time_in_calls_is_real_time(engine: Engine, clock: ManualClock) -> None:
    with kraken_double(clock=clock, balances={"EUR": "100"}, latency=0.05) as double:
        venue = KrakenAccount(engine, clock, double).venue
        venue.balances()
        assert timedelta(seconds=0.15) <= venue.time_spent.called < timedelta(seconds=3)
        assert venue.time_spent.waited == timedelta(0)


# What must never happen.


def test_no_secret_is_ever_told_or_logged(
    at: KrakenAccount, double: KrakenDouble, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("ccxt").setLevel(logging.DEBUG)
    logging.getLogger("ccxt.base.exchange").setLevel(logging.DEBUG)
    told: list[str] = []
    echo = f"<html>\n{double.key} {double.secret} {double.key.replace('/', chr(92) + '/')}</html>"
    faults: list[Fault] = [
        FixedAnswer(200, echo),
        FixedAnswer(500, echo),
        ErrorAnswer(f"EGeneral:Invalid arguments:{double.key}"),
        ErrorAnswer(f"EService:{'x' * 30}{double.secret}"),
        LoseResponse(),
    ]
    for fault in faults:
        double.inject("BalanceEx", fault)
        told.append(refusal(at.venue, "balances"))
        double.inject("AddOrder", fault)
        told.append(repr(at.submit(at.ticket())))
    at.venue.key_permissions()
    told += [repr(at.venue), repr(at.venue.__dict__), repr(Credentials(double.key, double.secret))]
    out, err = capfd.readouterr()
    everything = "\n".join([*told, caplog.text, *map(str, (r.args for r in caplog.records)), out, err])
    for secret in (double.key, double.secret, double.key[:20], double.secret[:20]):
        assert secret not in everything
    assert "API-Sign" not in everything


class _Redirecting(BaseHTTPRequestHandler):
    target = ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Location", f"{self.target}/0/private/AddOrder")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay quiet."""


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(double: KrakenDouble, status: int) -> None:
    _Redirecting.target = double.url
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Redirecting)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        client = CcxtClient(
            "kraken",
            timeout=timedelta(seconds=2),
            endpoint=f"http://127.0.0.1:{server.server_port}/{status}",
            credentials=Credentials(double.key, double.secret),
        )
        assert client.call("privatePostAddOrder", {"pair": "XXBTZEUR"}, nonce=1) == RawAnswer(status, "{}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert double.requests == []


def test_no_proxy_of_the_environment_comes_between(at: KrakenAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert at.venue.balances()


def test_a_client_that_is_set_to_repeat_sends_nothing(double: KrakenDouble) -> None:
    client = CcxtClient(
        "kraken",
        timeout=timedelta(seconds=2),
        endpoint=double.url,
        credentials=Credentials(double.key, double.secret),
    )
    client.prepare()
    for options in ({"maxRetriesOnFailure": 1}, {"maxRetriesOnFailure": 0, "AddOrder": {"maxRetriesOnFailure": 1}}, {}):
        client._connection.options = options
        answer = client.call("privatePostAddOrder", {"pair": "XXBTZEUR"}, nonce=1)
        assert answer.never_sent
        assert answer.failure is Failure.OTHER
    assert double.requests == []


def test_a_connection_that_was_given_up_sends_nothing_more(double: KrakenDouble) -> None:
    client = CcxtClient("kraken", timeout=timedelta(seconds=2), endpoint=double.url)
    client.prepare()
    connection = client._connection
    connection.session.close()
    answer = client.call("publicGetTime", {})
    assert answer.never_sent
    assert double.requests == []


@pytest.mark.parametrize(
    ("endpoint", "failure", "never_sent"),
    [("http://nowhere.invalid", Failure.UNKNOWN_HOST, True), ("http://127.0.0.1:1", Failure.REFUSED, True)],
)
def test_what_certainly_was_not_sent_is_known(endpoint: str, failure: Failure, never_sent: bool) -> None:
    answer = CcxtClient("kraken", timeout=timedelta(seconds=5), endpoint=endpoint).call("publicGetTime", {})
    assert (answer.failure, answer.never_sent) == (failure, never_sent)


def test_a_connection_that_broke_may_have_sent(double: KrakenDouble) -> None:
    client = CcxtClient("kraken", timeout=timedelta(seconds=2), endpoint=double.url)
    double.inject("Time", Reset())
    answer = client.call("publicGetTime", {})
    assert (answer.failure, answer.never_sent) == (Failure.DISCONNECTED, False)


def test_one_that_cannot_prove_who_it_is_gets_no_key() -> None:
    received = b""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_without_tls() -> None:
            nonlocal received
            connection, _ = listener.accept()
            with connection:
                received = connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer_without_tls)
        thread.start()
        credentials = Credentials("a key that stays here", OTHER_SECRET)
        port = listener.getsockname()[1]
        client = CcxtClient(
            "kraken", timeout=timedelta(seconds=5), endpoint=f"https://127.0.0.1:{port}", credentials=credentials
        )
        answer = client.call("privatePostBalanceEx", {}, nonce=1)
        thread.join()
    assert answer.failure is Failure.INSECURE
    assert received
    assert credentials.key.encode() not in received
