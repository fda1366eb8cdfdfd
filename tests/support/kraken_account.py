"""An account at the double of Kraken, connected as the program connects it: by its registry, through the real ccxt."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from sqlalchemy import Engine, insert

from rebalancer_pipelines.adapters.postgres.tables import AccountRow
from rebalancer_pipelines.adapters.venues.ccxt.client import Credentials
from rebalancer_pipelines.adapters.venues.ccxt.kraken.connect import connect_kraken
from rebalancer_pipelines.adapters.venues.ccxt.kraken.venue import KrakenVenue
from rebalancer_pipelines.application.ports import (
    Acknowledgement,
    Clearance,
    Clock,
    OrderReference,
    OrderTicket,
    VenueOrder,
)
from rebalancer_pipelines.domain.account_settings import AccountSettings
from rebalancer_pipelines.domain.order import OrderSide
from rebalancer_pipelines.domain.portfolio import Account, CredentialSource, TradingState
from tests.support.kraken_double import KrakenDouble

_numbers = itertools.count(1)

BID, ASK = Decimal("61234.5"), Decimal("61234.6")
"""What the double quotes for BTC/EUR."""


def go() -> None:
    """The clearance of an order against which nothing speaks."""


@dataclass
class KrakenAccount:
    """An account on the double, and orders that were sent to it."""

    engine: Engine
    clock: Clock
    double: KrakenDouble
    settings: AccountSettings = field(default_factory=lambda: AccountSettings(venue_timeout=timedelta(seconds=5)))

    def __post_init__(self) -> None:
        name = f"at kraken {next(_numbers)}"
        with self.engine.begin() as connection:
            self.id: UUID = connection.execute(
                insert(AccountRow).values(name=name, venue="kraken", price_source="live").returning(AccountRow.id)
            ).scalar_one()
        self.account = Account(
            self.id,
            name,
            "kraken",
            "live",
            TradingState.ACTIVE,
            None,
            self.clock.now(),
            self.settings,
            endpoint=self.double.url,
            credentials=CredentialSource("KRAKEN_KEY", "KRAKEN_SECRET"),
        )
        self.venue = self.connect()

    def connect(self, *, endpoint: str | None = None, key: str | None = None, secret: str | None = None) -> KrakenVenue:
        """A connection of its own, as another process would have it."""
        account = replace(self.account, endpoint=endpoint or self.double.url)
        credentials = Credentials(key or self.double.key, secret or self.double.secret)
        return connect_kraken(self.engine, self.clock, account, credentials)

    def ticket(self, side: OrderSide = OrderSide.BUY, **changes: object) -> OrderTicket:
        fields = {
            "client_order_id": str(uuid4()),
            "symbol": "BTC/EUR",
            "side": side,
            "quantity": Decimal("0.01"),
            "limit_price": ASK if side is OrderSide.BUY else BID,
            "not_after": self.clock.now() + timedelta(seconds=10),
        }
        return OrderTicket(**{**fields, **changes})  # type: ignore[arg-type]

    def submit(self, ticket: OrderTicket, clearance: Clearance = go) -> Acknowledgement:
        return self.venue.submit(ticket, clearance)

    def reference(self, ticket: OrderTicket, venue_order_id: str | None = None) -> OrderReference:
        return OrderReference(
            client_order_id=ticket.client_order_id,
            symbol=ticket.symbol,
            side=ticket.side,
            quantity=ticket.quantity,
            venue_order_id=venue_order_id,
            sent_after=ticket.not_after - timedelta(seconds=10),
        )

    def find(self, ticket: OrderTicket, venue_order_id: str | None = None) -> VenueOrder | None:
        return self.venue.find([self.reference(ticket, venue_order_id)]).get(ticket.client_order_id)
