"""Kraken's public API: its lists, its tickers, its bars and its time, without a key."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from rebalancer_pipelines.adapters.venues.ccxt.client import CcxtClient, GaveUpError
from rebalancer_pipelines.adapters.venues.ccxt.kraken.bars import Entry, read_entries
from rebalancer_pipelines.adapters.venues.ccxt.kraken.catalogue import Catalogue, Listing, read_catalogue
from rebalancer_pipelines.adapters.venues.ccxt.kraken.explanations import malformed, unreadable
from rebalancer_pipelines.adapters.venues.ccxt.kraken.reply import MalformedReplyError, moment, reply_of, table
from rebalancer_pipelines.adapters.venues.ccxt.one_line import LONGEST, one_line
from rebalancer_pipelines.adapters.venues.ccxt.pace import Pace
from rebalancer_pipelines.application.ports import Clock
from rebalancer_pipelines.domain.errors import VenueUnreachableError

_MAX_AGE = timedelta(minutes=1)
"""How old market rules, and what is known of Kraken's clock, may be."""

_NAMES_MAX_AGE = timedelta(hours=1)
"""How old the names of pairs and currencies may be: they do not change, but new ones come."""

_BURST = 4
"""Requests that may leave at once: those with which a run begins, two for the lists, one for prices, one for the time.

Kraken's support pages call one request a second safe in the long run ("What are the API rate limits?") and give no size
for short bursts; its own clients and others' send five a second (nautilus_trader, KRAKEN_SPOT_DEFAULT_RATE_LIMIT)."""


class PublicApi:
    """What Kraken tells everybody. Lists are read again once they are a minute old. Nothing is ever asked twice.

    `endpoint` is another address of the same API. `timeout` holds for each whole answer, `spacing` between two requests
    in the long run.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        endpoint: str | None = None,
        timeout: timedelta = timedelta(seconds=8),
        spacing: timedelta = timedelta(seconds=1),
    ) -> None:
        self._clock = clock
        self._client = CcxtClient("kraken", timeout=timeout, endpoint=endpoint)
        self._pace = Pace(clock, spacing=spacing, burst=_BURST)
        self._catalogue: Catalogue | None = None
        self._listed_at: datetime | None = None
        self._doubted = False
        self._skew = timedelta(0)
        self._skew_known_at: datetime | None = None
        self.place = place_of(endpoint)
        """The API's address, for people."""

    def catalogue(self) -> Catalogue:
        """What Kraken lists. Raises `VenueUnreachableError`, also for an answer without any market."""
        return self._catalogue_younger_than(timedelta(0) if self._doubted else _MAX_AGE)

    def names(self) -> Catalogue:
        """The same for whoever only reads names, at most an hour old.

        What became of an order must not depend on lists that have nothing to do with it, nor on whether they can be
        read now.
        """
        return self._catalogue_younger_than(_NAMES_MAX_AGE)

    def tickers(self, pairs: Collection[str]) -> Mapping[str, Any]:
        """The tickers of pairs that Kraken lists, by id; any of them may be missing or nonsense.

        Raises `VenueUnreachableError`, also for an answer without any of them or with one that nobody asked for.
        """
        with self._reading("prices"):
            self._pace.wait()
            answer = self._client.run(lambda exchange: exchange.publicGetTicker({"pair": ",".join(pairs)}))
            result = answer.get("result") if isinstance(answer, dict) else None
            if not isinstance(result, dict):
                raise TypeError("the answer is not Kraken's JSON")
        if not any(pair in result for pair in pairs):
            raise VenueUnreachableError("kraken answered without any of the prices asked for; try again")
        stranger = next((pair for pair in result if pair not in pairs), None)
        if stranger is not None:
            raise VenueUnreachableError(
                one_line(f"kraken answered with a price of {stranger}, which nobody asked for; try again")
            )
        return result

    def clock_skew(self) -> timedelta:
        """How far Kraken's clock is from ours at least; positive when it is ahead. Known for a minute.

        Kraken tells whole seconds, so it may be anywhere within the one that it tells, and anywhere between our
        question and its answer: only what neither explains is proven. Raises `VenueUnreachableError`.
        """
        if self._skew_known_at is None or not self._is_fresh(self._skew_known_at, _MAX_AGE):
            self._pace.wait()
            self._client.prepare()
            sent_at = self._clock.now()
            answer = self._client.call("publicGetTime", {})
            received_at = self._clock.now()
            reply = reply_of(answer)
            if answer.status != 200 or reply is None or reply.get("error") != []:
                raise unreadable("time", "Time", answer, self.place)
            try:
                told = moment(table(reply, "result"), "unixtime")
            except MalformedReplyError as error:
                raise malformed("time", str(error)) from None
            self._skew = _proven_distance(told, told + timedelta(seconds=1), sent_at, received_at)
            self._skew_known_at = received_at
        return self._skew

    def bars(self, listing: Listing, length: timedelta, *, since: datetime) -> Sequence[Entry]:
        """The finished bars of a market that open at `since` or later, as far back as Kraken goes: 720 at most.

        Earlier ones may be among them. Raises `VenueUnreachableError`.
        """
        what = f"bars of {listing.market.symbol}"
        # Whether Kraken counts the moment itself in has changed; one bar earlier is right either way.
        after = int((since - length).timestamp())
        parameters = {"pair": listing.pair, "interval": str(length // timedelta(minutes=1)), "since": str(after)}
        self._pace.wait()
        answer = self._client.call("publicGetOHLC", parameters)
        reply = reply_of(answer)
        if answer.status != 200 or reply is None or reply.get("error") != []:
            # The cause may be a pair that was delisted a moment ago.
            self._doubted = True
            raise unreadable(what, "OHLC", answer, self.place)
        try:
            return read_entries(table(reply, "result"), listing.names, length)
        except MalformedReplyError as error:
            raise malformed(what, str(error)) from None

    @property
    def known_skew(self) -> timedelta:
        """What `clock_skew` said last, without asking; zero before that."""
        return self._skew

    @property
    def time_waited(self) -> timedelta:
        """How long requests have waited for their pace."""
        return self._pace.time_waited

    @property
    def time_called(self) -> timedelta:
        """Real time spent in calls."""
        return self._client.time_called

    def _catalogue_younger_than(self, limit: timedelta) -> Catalogue:
        if self._catalogue is None or self._listed_at is None or not self._is_fresh(self._listed_at, limit):
            now = self._clock.now()
            with self._reading("markets"):
                self._pace.wait(2)
                found = self._client.run(read_catalogue, calls=2)
            if not found.listings:
                raise VenueUnreachableError("kraken answered without any market; try again")
            self._catalogue, self._listed_at, self._doubted = found, now, False
        return self._catalogue

    def _is_fresh(self, read_at: datetime, limit: timedelta) -> bool:
        return timedelta(0) <= self._clock.now() - read_at < limit

    @contextmanager
    def _reading(self, what: str) -> Generator[None]:
        """Turn whatever goes wrong into one line.

        ccxt raises its own errors for the network and for Kraken's refusals, but a bare TypeError, KeyError or
        ValueError for an answer that it does not expect, such as a proxy's page in HTML with status 200.
        """
        try:
            yield
        except Exception as error:
            # The cause may be what is known of the markets, such as a pair that was delisted a moment ago.
            self._doubted = True
            kind = "RequestTimeout" if isinstance(error, GaveUpError) else type(error).__name__
            begin, end = f"kraken's {what} cannot be read ({kind}: ", "); check the network and try again"
            cause = one_line(str(error), longest=LONGEST - len(begin) - len(end))
            raise VenueUnreachableError(f"{begin}{cause}{end}") from error


def place_of(endpoint: str | None) -> str:
    """The API's address as people are told it."""
    return (endpoint or "https://api.kraken.com").rstrip("/")


def _proven_distance(earliest: datetime, latest: datetime, sent_at: datetime, received_at: datetime) -> timedelta:
    """The distance between two spans of time; zero when they overlap."""
    if earliest > received_at:
        return earliest - received_at
    return min(latest - sent_at, timedelta(0))
