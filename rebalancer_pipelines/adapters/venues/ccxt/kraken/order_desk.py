"""Sending orders to Kraken, once each, and asking it to cancel them."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime, timedelta

from rebalancer_pipelines.adapters.venues.ccxt.key_turns import Charge, TurnTooLateError
from rebalancer_pipelines.adapters.venues.ccxt.kraken.classification import NOT_SENT, classify
from rebalancer_pipelines.adapters.venues.ccxt.kraken.explanations import unreadable
from rebalancer_pipelines.adapters.venues.ccxt.kraken.limits import adding, cancelling
from rebalancer_pipelines.adapters.venues.ccxt.kraken.order_request import add_order
from rebalancer_pipelines.adapters.venues.ccxt.kraken.private_api import PrivateApi
from rebalancer_pipelines.adapters.venues.ccxt.kraken.public_api import PublicApi
from rebalancer_pipelines.adapters.venues.ccxt.kraken.reply import error_texts, reply_of
from rebalancer_pipelines.adapters.venues.ccxt.one_line import one_line
from rebalancer_pipelines.adapters.venues.refusals import UNKNOWN_PAIR, refusal
from rebalancer_pipelines.application.ports import (
    Acknowledgement,
    Clearance,
    Clock,
    OrderReference,
    OrderTicket,
    Rejected,
    Withheld,
)
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, VenueUnreachableError

_LEAST_TIME = timedelta(seconds=3)
"""What must remain until an order's deadline when it leaves: Kraken takes deadlines that are at least two seconds
ahead, and the way there takes its time too."""

_GONE = "EOrder:Unknown order"


class OrderDesk:
    """Where orders leave. `not_after` is how long after its sending an order may still arrive."""

    def __init__(self, public: PublicApi, private: PrivateApi, clock: Clock, *, not_after: timedelta) -> None:
        self._public = public
        self._private = private
        self._clock = clock
        self._not_after = not_after

    def submit(self, ticket: OrderTicket, clearance: Clearance) -> Acknowledgement:
        """Send an order if nothing speaks against it.

        What `clearance` raises besides `DeniedError` is raised here too; nothing was sent then.
        """
        try:
            listing = self._public.catalogue().listings.get(ticket.symbol)
        except VenueUnreachableError as error:
            return _not_sent(error)
        if listing is None:
            return Rejected(UNKNOWN_PAIR)
        reason = refusal(ticket, listing.market, self._venue_time())
        if reason is not None:
            return Rejected(reason)
        return self._send(ticket, add_order(ticket, listing.pair), adding(listing.pair), clearance)

    def cancel(self, reference: OrderReference) -> None:
        """Ask Kraken to cancel what is left of an order. One that is gone already is no failure."""
        listing = self._public.names().listings.get(reference.symbol)
        # It may have arrived as late as its deadline allowed, and a younger order costs more to cancel.
        age = self._clock.now() - reference.sent_after - self._not_after
        charge = cancelling(listing.pair if listing else reference.symbol, age)
        if reference.venue_order_id is not None:
            parameters = {"txid": reference.venue_order_id}
        else:
            parameters = {"cl_ord_id": reference.client_order_id}
        with self._private.turn(charge) as nonce:
            answer = self._private.send("CancelOrder", parameters, charge, nonce)
        reply = reply_of(answer) or {}
        if any(error.startswith(_GONE) for error in error_texts(reply)):
            return
        if answer.status != 200 or reply.get("error") != [] or not isinstance(reply.get("result"), dict):
            raise unreadable("cancellation", "CancelOrder", answer, self._private.place)

    def _send(
        self, ticket: OrderTicket, parameters: dict[str, str], charge: Charge, clearance: Clearance
    ) -> Acknowledgement:
        """Whatever takes time comes before the clearance: by now the market's rules, here the turn on the key."""
        with ExitStack() as held:
            try:
                until = self._clock.now() + self._remaining(ticket) - _LEAST_TIME
                nonce = held.enter_context(self._private.turn(charge, until=until))
            except TurnTooLateError as error:
                return Withheld(_too_late(f"kraken's limit for orders in {ticket.symbol} lets it leave in {error}"))
            except VenueUnreachableError as error:
                return _not_sent(error)
            try:
                clearance()
            except DeniedError as denial:
                return Withheld(denial)
            remaining = self._remaining(ticket)
            if remaining < _LEAST_TIME:
                return Withheld(_too_late(f"{remaining.total_seconds():.1f} s remain to the order's deadline"))
            answer = self._private.send("AddOrder", parameters, charge, nonce)
        return classify(answer)

    def _remaining(self, ticket: OrderTicket) -> timedelta:
        return ticket.not_after - self._venue_time()

    def _venue_time(self) -> datetime:
        """Kraken's time as far as we know it: deadlines are told in it."""
        return self._clock.now() + self._public.known_skew


def _not_sent(error: VenueUnreachableError) -> Rejected:
    return Rejected(one_line(f"{NOT_SENT} ({error})"))


def _too_late(what: str) -> DeniedError:
    return DeniedError(
        DenialReason.SEND_WINDOW,
        f"{what}, and {_LEAST_TIME.total_seconds():g} s must remain when it leaves; the next run plans it again",
    )
