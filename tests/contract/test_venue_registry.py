from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from rebalancer_pipelines.adapters.venues.registry import VenueRegistry
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.values import Currency
from tests.support.manual_clock import ManualClock

EUR, BTC = Currency("EUR"), Currency("BTC")


@pytest.fixture
def registry(engine: Engine, clock: ManualClock) -> VenueRegistry:
    return VenueRegistry(engine, clock)


@pytest.mark.parametrize(("source", "shown"), [("recorded", "recorded"), ("live", "live (kraken)")])
def test_a_paper_account_trades_at_either_price_source(
    registry: VenueRegistry, account: Account, source: str, shown: str
) -> None:
    registry.check("paper", source)
    assert registry.connect(replace(account, price_source=source)).price_source == shown


@pytest.mark.parametrize("venue", ["kraken", "binance"])
def test_real_venues_are_refused_with_the_way_out(registry: VenueRegistry, account: Account, venue: str) -> None:
    with pytest.raises(InvalidInputError, match="real money, which this version does not do yet") as caught:
        registry.check(venue, "live")
    assert "--venue paper --prices live" in str(caught.value)
    assert caught.value.field == "venue"
    with pytest.raises(InvalidInputError):
        registry.connect(replace(account, venue=venue))


@pytest.mark.parametrize("venue", ["", "Paper", "krakn", "__init__"])
def test_unknown_venues_are_refused(registry: VenueRegistry, venue: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a venue; use paper"):
        registry.check(venue, "recorded")


@pytest.mark.parametrize("source", ["", "yesterday", "live:kraken"])
def test_unknown_price_sources_are_refused(registry: VenueRegistry, source: str) -> None:
    with pytest.raises(InvalidInputError, match="use recorded or live") as caught:
        registry.check("paper", source)
    assert caught.value.field == "prices"


def test_a_currency_that_is_not_recorded_cannot_be_deposited(registry: VenueRegistry) -> None:
    registry.check("paper", "recorded", [EUR, BTC])
    registry.check("paper", "live", [Currency("SOL")])
    with pytest.raises(InvalidInputError, match=r"deposit\.SOL.*use BTC, EOS, ETH, EUR, LTC, XRP"):
        registry.check("paper", "recorded", [EUR, Currency("SOL")])


def test_deposits_add_up(registry: VenueRegistry, account: Account) -> None:
    registry.fund(account, {EUR: Decimal("1000.005"), BTC: Decimal("0.1")})
    registry.fund(account, {EUR: Decimal("0.001")})
    held = {currency: holding.total for currency, holding in registry.connect(account).balances().items()}
    assert held == {EUR: Decimal("1000.006"), BTC: Decimal("0.1")}


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity"])
def test_a_deposit_that_is_none_is_refused_with_all_others(
    registry: VenueRegistry, account: Account, amount: str
) -> None:
    with pytest.raises(InvalidInputError, match=r"deposit\.BTC"):
        registry.fund(account, {EUR: Decimal(1000), BTC: Decimal(amount)})
    assert registry.connect(account).balances() == {}


def test_real_venues_take_no_play_money(registry: VenueRegistry, account: Account) -> None:
    with pytest.raises(InvalidInputError, match="play money"):
        registry.fund(replace(account, venue="kraken"), {EUR: Decimal(1000)})
