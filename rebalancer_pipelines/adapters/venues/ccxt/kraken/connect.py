"""Connecting an account to Kraken."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine

from rebalancer_pipelines.adapters.prices.live import LivePrices
from rebalancer_pipelines.adapters.venues.ccxt.client import CcxtClient, Credentials
from rebalancer_pipelines.adapters.venues.ccxt.key_turns import KeyTurns
from rebalancer_pipelines.adapters.venues.ccxt.kraken.limits import REST_LIMITS, TRADING_LIMITS
from rebalancer_pipelines.adapters.venues.ccxt.kraken.private_api import PrivateApi
from rebalancer_pipelines.adapters.venues.ccxt.kraken.venue import KrakenVenue
from rebalancer_pipelines.application.ports import Clock
from rebalancer_pipelines.domain.portfolio import Account

_PATIENCE = timedelta(seconds=1)
"""How much longer than one call a turn waits for that of another process, which then has gone or hangs."""


def connect_kraken(engine: Engine, clock: Clock, account: Account, credentials: Credentials) -> KrakenVenue:
    """The account at Kraken; nothing is sent yet."""
    settings = account.settings
    prices = LivePrices(clock, endpoint=account.endpoint, timeout=settings.venue_timeout)
    client = CcxtClient("kraken", timeout=settings.venue_timeout, endpoint=account.endpoint, credentials=credentials)
    turns = KeyTurns(
        engine,
        clock,
        account.id,
        rest=REST_LIMITS[settings.rate_tier],
        trading=TRADING_LIMITS[settings.rate_tier],
        patience=settings.venue_timeout + _PATIENCE,
    )
    return KrakenVenue(prices, PrivateApi(client, turns, prices.public.place), clock, settings)
