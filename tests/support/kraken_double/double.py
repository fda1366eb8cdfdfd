"""The double: the exchange behind Kraken's gate, what tests may turn on it, and the truth that they assert from."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.support.kraken_double.amounts import ZERO, positive_number
from tests.support.kraken_double.book import Book, Level
from tests.support.kraken_double.clock import Clock, SystemClock
from tests.support.kraken_double.counters import Tier
from tests.support.kraken_double.errors import UNAVAILABLE
from tests.support.kraken_double.exchange import Exchange, Treatment
from tests.support.kraken_double.faults import ErrorAnswer, Fault, FixedAnswer, Hang
from tests.support.kraken_double.gate import DEFAULT_KEY, DEFAULT_PERMISSIONS, DEFAULT_SECRET, Gate
from tests.support.kraken_double.identifiers import Identifiers
from tests.support.kraken_double.journal import journal_document
from tests.support.kraken_double.ledger import Movement, check_sums
from tests.support.kraken_double.listings import Listings
from tests.support.kraken_double.messages import Delivery, Request
from tests.support.kraken_double.private_api import PrivateApi
from tests.support.kraken_double.public_api import Chart, PublicApi
from tests.support.kraken_double.reception import Reception
from tests.support.kraken_double.records import LedgerLine, Order, RequestRecord, Side, Trade, Violation
from tests.support.kraken_double.rendering import bar, ticker
from tests.support.kraken_double.visibility import Visibility

LOOKUPS = ("OpenOrders", "ClosedOrders", "QueryOrders", "QueryTrades", "TradesHistory", "Ledgers", "QueryLedgers")
"""The endpoints that ask what became of an order."""

Amount = Decimal | str | int


class KrakenDouble:
    """Kraken with one account. Everything it times runs on `clock`; `latency` alone is real seconds per request.

    Amounts may be given as text or Decimal, pairs and assets by Kraken's names or ccxt's.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        tier: Tier = "starter",
        balances: Mapping[str, Amount] | None = None,
        listed: Collection[str] | None = None,
        latency: float = 0.0,
        key: str = DEFAULT_KEY,
        secret: str = DEFAULT_SECRET,
        permissions: Collection[str] = DEFAULT_PERMISSIONS,
        seed: int = 1,
    ) -> None:
        """`listed` limits the pairs to some symbols; `seed` decides the ids."""
        self.url = ""
        self.key, self.secret = key, secret
        self.latency = latency
        self._lock = threading.RLock()
        self._clock = clock or SystemClock()
        self._listings = Listings(listed)
        self._identifiers = Identifiers(seed)
        self._exchange = Exchange(self._listings, self._identifiers, tier)
        self._visibility = Visibility(self._exchange)
        self._public = PublicApi(self._listings)
        self._gate = Gate(tier)
        self._gate.add_key(key, secret, permissions)
        self._reception = Reception(self._gate, self._public, PrivateApi(self._exchange, self._visibility))
        for pair_id, (bid, ask) in self._listings.initial_quotes.items():
            self.quote(pair_id, bid, ask)
        for asset, amount in (balances or {}).items():
            self.deposit(asset, amount)

    # The truth.

    @property
    def pairs(self) -> dict[str, dict[str, Any]]:
        """AssetPairs' table; a test may change its rows."""
        return self._listings.pairs

    @property
    def assets(self) -> dict[str, dict[str, Any]]:
        """Assets' table; a test may change its rows."""
        return self._listings.assets

    @property
    def tickers(self) -> dict[str, Any]:
        """Ticker's table, by pair id; a test may put anything into it."""
        return self._public.tickers

    @property
    def charts(self) -> dict[tuple[str, int], Chart]:
        """OHLC's table, by pair id and minutes of a bar; a test may put anything into it."""
        return self._public.charts

    @property
    def orders(self) -> list[Order]:
        """Every order that was accepted, in that sequence."""
        return self._exchange.orders

    @property
    def trades(self) -> list[Trade]:
        return self._exchange.trades

    @property
    def ledger(self) -> list[LedgerLine]:
        return self._exchange.ledger.lines

    @property
    def requests(self) -> list[RequestRecord]:
        """Every request that arrived, also those that a fault kept from the engine."""
        return self._reception.requests

    @property
    def violations(self) -> list[Violation]:
        return self._reception.violations

    def balances(self) -> dict[str, Decimal]:
        """Totals by ccxt's code (`BTC`, `EUR`, `ETH.F`), zeros included."""
        with self._lock:
            check_sums(self.ledger)
            return {self._listings.code(a): total for a, total in self._exchange.ledger.balances().items()}

    def count(self, endpoint: str) -> int:
        """How many requests for an endpoint arrived."""
        return sum(request.endpoint == endpoint for request in self.requests)

    def journal(self) -> dict[str, Any]:
        """All of it as one JSON document; numbers are text."""
        with self._lock:
            return journal_document(
                orders=self.orders,
                trades=self.trades,
                ledger=self.ledger,
                balances=self.balances(),
                requests=self.requests,
                violations=self.violations,
            )

    # Prices and rules.

    def quote(self, pair: str, bid: Any, ask: Any, *, depth: Amount | None = None) -> None:
        """Quote a pair from now on, in the ticker exactly as given: None, `NaN`, 0, negative or crossed too.

        Orders trade at the prices that are usable. `depth` is the volume on each side, in base currency, and is used
        up without changing the ticker; without it there is always more.
        """
        with self._lock:
            pair_id = self._pair_id(pair)
            prices = [f"{price:f}" if isinstance(price, Decimal) else price for price in (bid, ask)]
            self.tickers[pair_id] = ticker(*prices)
            volume = None if depth is None else Decimal(depth)
            usable = [positive_number(price) for price in prices]
            self._set_book(pair_id, *([] if price is None else [Level(price, volume)] for price in usable))

    def book(
        self, pair: str, *, bids: Sequence[tuple[Amount, Amount]] = (), asks: Sequence[tuple[Amount, Amount]] = ()
    ) -> None:
        """Replace a pair's book by levels of price and volume, which trades use up.

        The ticker shows the best of them until it is set again.
        """
        with self._lock:
            pair_id = self._pair_id(pair)
            sides = [[Level(Decimal(price), Decimal(volume)) for price, volume in side] for side in (bids, asks)]
            best = [max(sides[0], key=_price, default=None), min(sides[1], key=_price, default=None)]
            self.tickers[pair_id] = ticker(*(f"{level.price:f}" if level else "0.00000" for level in best))
            self._set_book(pair_id, *sides)

    def draw(self, pair: str, minutes: int, first: datetime, closes: Iterable[Amount]) -> None:
        """Give a pair bars that follow each other from `first` on: each opens where the one before has closed."""
        with self._lock:
            rules = self._listings.rules(self._pair_id(pair))
            chart = self.charts.setdefault((rules.id, minutes), {})
            before: Decimal | None = None
            for number, close in enumerate(map(Decimal, closes)):
                opened_at = int(first.timestamp()) + number * minutes * 60
                chart[opened_at] = bar(opened_at, close if before is None else before, close, rules.pair_decimals)
                before = close

    def set_status(self, pair: str, status: str) -> None:
        """`online`, `cancel_only`, `post_only`, `limit_only`, `reduce_only`, `delisted`…"""
        with self._lock:
            self.pairs[self._pair_id(pair)]["status"] = status

    def set_system_status(self, status: str) -> None:
        """What SystemStatus says, such as `maintenance` or `post_only`. Orders are taken all the same."""
        self._public.system_status = status

    def set_fees(self, *, taker_percent: Amount, maker_percent: Amount) -> None:
        with self._lock:
            self._exchange.taker_percent = Decimal(taker_percent)
            self._exchange.maker_percent = Decimal(maker_percent)

    def add_key(self, key: str, secret: str, permissions: Collection[str] = DEFAULT_PERMISSIONS) -> None:
        """Another key for the same account, with nonces and a REST counter of its own; `secret` is base64."""
        with self._lock:
            self._gate.add_key(key, secret, permissions)

    # Events from outside.

    def deposit(self, asset: str, amount: Amount, *, fee: Amount = 0) -> None:
        self._move("deposit", [(asset, Decimal(amount), Decimal(fee))])

    def withdraw(self, asset: str, amount: Amount, *, fee: Amount = 0) -> None:
        """The account loses `amount` and `fee`."""
        self._move("withdrawal", [(asset, -Decimal(amount), Decimal(fee))])

    def reward(self, asset: str, amount: Amount, *, fee: Amount = 0, kind: str = "staking") -> None:
        """A yield on `ETH`, `ETH.F`, `DOT28.S`…; `kind` is `staking` or `earn`. Kraken keeps `fee` of it."""
        self._move(kind, [(asset, Decimal(amount), Decimal(fee))], subtype="reward" if kind == "earn" else "")

    def transfer(self, source: str, target: str, amount: Amount, *, kind: str = "transfer") -> None:
        """An internal move, such as from ETH to ETH.F: two lines that net to zero. `kind` is `transfer` or `earn`."""
        subtype = "autoallocation" if kind == "earn" else "spottostaking"
        self._move(kind, [(source, -Decimal(amount), ZERO), (target, Decimal(amount), ZERO)], subtype=subtype)

    def convert(self, source: str, spent: Amount, target: str, received: Amount, *, fee: Amount = 0) -> None:
        """An instant conversion by hand: a `spend` and a `receive` line with one refid, and no trade."""
        with self._lock:
            refid = self._identifiers.next("Q")
            now = self._clock.now()
            legs = (("spend", source, -Decimal(spent), Decimal(fee)), ("receive", target, Decimal(received), ZERO))
            for kind, asset, amount, charged in legs:
                movement = Movement(self._listings.asset_id(asset), amount, charged)
                self._exchange.ledger.write([movement], refid=refid, kind=kind, now=now)

    def trade_by_hand(self, pair: str, side: Side, volume: Amount, price: Amount) -> Order:
        """A trade that was made elsewhere on the same account; the order has no client id."""
        with self._lock:
            return self._exchange.trade_outside(
                self._pair_id(pair), side, Decimal(volume), Decimal(price), self._clock.now()
            )

    # Faults of requests.

    def inject(self, endpoint: str, fault: Fault, *, after: int = 0, times: int | None = 1) -> None:
        """Let the request for `endpoint` that comes after so many others meet a fault, and so many more after it.

        `endpoint` `*` is any; `times` None is for ever.
        """
        with self._lock:
            self._reception.injections.add(None if endpoint == "*" else [endpoint], fault, after=after, times=times)

    def fail_lookups(self, count: int, fault: Fault | None = None) -> None:
        """Let the next `count` requests that ask for orders, trades or ledger lines fail, whichever they are."""
        with self._lock:
            self._reception.injections.add(LOOKUPS, fault or ErrorAnswer(UNAVAILABLE), after=0, times=count)

    def answer(self, endpoint: str, status: int, body: str) -> None:
        """Answer this from now on, whatever is asked."""
        self.inject(endpoint, FixedAnswer(status, body), times=None)

    def fall_silent(self, endpoint: str) -> None:
        """Take requests from now on and never answer them."""
        self.inject(endpoint, Hang(), times=None)

    def release(self) -> None:
        """Answer what hangs."""
        with self._lock:
            self._reception.release()

    def clear_faults(self) -> None:
        """Forget what was injected and not met yet."""
        with self._lock:
            self._reception.injections.clear()

    def settle_delayed(self) -> None:
        """Let the engine take the delayed requests whose time has come."""
        with self._lock:
            self._reception.take_due(self._clock.now())

    # States.

    def hide_orders_for(self, seconds: float) -> None:
        """Orders cannot be found until so long after their acceptance; 0 ends it."""
        self._visibility.order_lag = timedelta(seconds=seconds)

    def hide_trades_for(self, seconds: float) -> None:
        """An order's n-th trade and its ledger lines appear n times so long after the trade; 0 ends it."""
        self._visibility.trade_lag = timedelta(seconds=seconds)

    def stale_balances_for(self, seconds: float) -> None:
        """BalanceEx leaves out trades that are younger; 0 ends it."""
        self._visibility.balance_lag = timedelta(seconds=seconds)

    def shuffle_trades(self, on: bool = True) -> None:
        """Lists come in disorder."""
        self._visibility.shuffled = on

    def repeat_trades(self, on: bool = True) -> None:
        """Orders list their trade ids twice, and a page begins with the last row of the one before."""
        self._visibility.repeated = on

    def fill_next(self, at_most: Amount) -> None:
        """The next order accepted trades no more than this; each call is about one further order."""
        self._treat(Treatment(fill_at_most=Decimal(at_most)))

    def leave_open(self, *, filled: Amount = 0, fills_on_cancel: Amount = 0) -> None:
        """The next order accepted trades `filled` at once and stays open although it is IOC.

        `fills_on_cancel` is traded when CancelOrder arrives, before it: when nothing is left then, it is too late.
        """
        self._treat(Treatment(Decimal(filled), stay_open=True, fills_on_cancel=Decimal(fills_on_cancel)))

    def fill_open(self, order_id: str, volume: Amount | None = None) -> None:
        """Trade an open order, named by txid or client id, at its limit; all of it unless told otherwise."""
        with self._lock:
            order = next(o for o in self._exchange.open_orders() if order_id in {o.txid, o.cl_ord_id})
            self._exchange.fill(order, order.remaining if volume is None else Decimal(volume), self._clock.now())

    def close_open_orders(self, reason: str = "User requested") -> None:
        """Cancel what is open, as a person would on Kraken's page."""
        with self._lock:
            for order in self._exchange.open_orders():
                self._exchange.close(order, self._clock.now(), reason=reason)

    # The wire's side.

    def respond(self, request: Request) -> Delivery:
        """Answer a request, one at a time."""
        with self._lock:
            return self._reception.respond(request, self._clock.now())

    def _treat(self, treatment: Treatment) -> None:
        with self._lock:
            self._exchange.treatments.append(treatment)

    def _move(self, kind: str, legs: Sequence[tuple[str, Decimal, Decimal]], *, subtype: str = "") -> None:
        with self._lock:
            movements = [Movement(self._listings.asset_id(asset), amount, fee) for asset, amount, fee in legs]
            self._exchange.ledger.write(
                movements, refid=self._identifiers.next("Q"), kind=kind, subtype=subtype, now=self._clock.now()
            )

    def _set_book(self, pair_id: str, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        book = self._exchange.books.setdefault(pair_id, Book())
        book.set_levels(bids, asks)
        self._exchange.fill_resting(pair_id, self._clock.now())

    def _pair_id(self, name: str) -> str:
        pair_id = self._listings.pair_id(name)
        if pair_id is None:
            raise KeyError(f"{name} is not listed; listed are {', '.join(self.pairs)}")
        return pair_id


def _price(level: Level) -> Decimal:
    return level.price
