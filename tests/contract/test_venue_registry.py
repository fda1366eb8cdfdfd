from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import pytest
from sqlalchemy import Engine

from rebalancer_pipelines.adapters.venues.registry import VenueRegistry
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.portfolio import Account, CredentialSource
from rebalancer_pipelines.domain.values import Currency
from tests.support.manual_clock import ManualClock

EUR, BTC = Currency("EUR"), Currency("BTC")


KEY = CredentialSource("A_KEY", "A_SECRET")
SECRET = "YSBzZWNyZXQgdGhhdCBzaWducyBub3RoaW5nIGF0IGFsbA=="


@pytest.fixture
def registry(engine: Engine, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VenueRegistry:
    monkeypatch.setenv("A_KEY", "an api key")
    monkeypatch.setenv("A_SECRET", SECRET)
    return VenueRegistry(engine, clock, key_file=tmp_path / "credentials.key")


@pytest.fixture
def at_kraken(account: Account) -> Account:
    return replace(account, venue="kraken", price_source="live", credentials=KEY)


@pytest.mark.parametrize(("source", "shown"), [("recorded", "recorded"), ("live", "live (kraken)")])
def test_a_paper_account_trades_at_either_price_source(
    registry: VenueRegistry, account: Account, source: str, shown: str
) -> None:
    registry.check("paper", source)
    assert registry.connect(replace(account, price_source=source)).price_source == shown


def test_an_account_at_kraken_needs_live_prices_and_a_key(registry: VenueRegistry) -> None:
    registry.check("kraken", "live", credentials=KEY)
    registry.check("kraken", "live", credentials=CredentialSource(sealed="x"), endpoint="https://api.kraken.com")
    with pytest.raises(InvalidInputError, match="use live") as caught:
        registry.check("kraken", "recorded", credentials=KEY)
    assert caught.value.field == "prices"
    for missing in (None, CredentialSource(), replace(KEY, secret_env=None)):
        with pytest.raises(InvalidInputError, match="needs an API key") as caught:
            registry.check("kraken", "live", credentials=missing)
        assert caught.value.field == "credentials"


def test_an_account_at_kraken_takes_no_play_money(registry: VenueRegistry) -> None:
    with pytest.raises(InvalidInputError, match="play money"):
        registry.check("kraken", "live", deposits=[EUR], credentials=KEY)


@pytest.mark.parametrize("endpoint", ["http://api.kraken.com", "api.kraken.com", "https://api.kraken.com?x=1"])
def test_keys_travel_only_where_they_may(registry: VenueRegistry, at_kraken: Account, endpoint: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        registry.check("kraken", "live", endpoint=endpoint, credentials=KEY)
    assert caught.value.field == "endpoint"
    with pytest.raises(InvalidInputError):
        registry.connect(replace(at_kraken, endpoint=endpoint))


@pytest.mark.parametrize("given", [{"endpoint": "https://api.kraken.com"}, {"credentials": KEY}])
def test_paper_has_neither_address_nor_key(registry: VenueRegistry, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="for real venues") as caught:
        registry.check("paper", "live", **given)
    assert caught.value.field in given


def test_a_connection_to_kraken_is_kept_until_something_about_it_changes(
    registry: VenueRegistry, at_kraken: Account
) -> None:
    venue = registry.connect(at_kraken)
    assert registry.connect(replace(at_kraken, name="renamed", live_trading=True)) is venue
    slower = replace(at_kraken.settings, venue_timeout=timedelta(seconds=9))
    for change in (
        {"settings": slower},
        {"endpoint": "https://proxy.example"},
        {"credentials": registry.seal(KEY)},
    ):
        changed = registry.connect(replace(at_kraken, **change))
        assert changed is not venue
        venue = changed


def test_a_key_that_is_not_to_be_had_is_named(
    registry: VenueRegistry, at_kraken: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("A_SECRET")
    for use in (
        lambda: registry.connect(at_kraken),
        lambda: registry.key_fingerprint(KEY),
        lambda: registry.seal(KEY),
    ):
        with pytest.raises(InvalidInputError, match="A_SECRET is not set"):
            use()


def test_a_sealed_key_connects_without_the_environment(
    registry: VenueRegistry, at_kraken: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = registry.seal(KEY)
    mark = registry.key_fingerprint(KEY)
    monkeypatch.delenv("A_KEY")
    monkeypatch.delenv("A_SECRET")
    assert registry.connect(replace(at_kraken, credentials=sealed)).price_source == "live (kraken)"
    assert registry.key_fingerprint(sealed) == mark


@pytest.mark.parametrize("venue", ["binance", "coinbase", "krakenfutures"])
def test_exchanges_that_are_not_connected_are_refused_with_what_they_lack(
    registry: VenueRegistry, at_kraken: Account, venue: str
) -> None:
    assert venue in ccxt.exchanges
    with pytest.raises(InvalidInputError, match="a deadline that its engine enforces") as caught:
        registry.check(venue, "live", credentials=KEY)
    assert "use paper or kraken" in str(caught.value)
    assert caught.value.field == "venue"
    with pytest.raises(InvalidInputError):
        registry.connect(replace(at_kraken, venue=venue))


@pytest.mark.parametrize("venue", ["", "Paper", "krakn", "__init__"])
def test_unknown_venues_are_refused(registry: VenueRegistry, venue: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a venue; use paper or kraken"):
        registry.check(venue, "recorded")


@pytest.mark.parametrize("source", ["", "yesterday", "live:kraken"])
def test_unknown_price_sources_are_refused(registry: VenueRegistry, source: str) -> None:
    with pytest.raises(InvalidInputError, match="use recorded or live") as caught:
        registry.check("paper", source)
    assert caught.value.field == "prices"


def test_a_currency_that_is_not_recorded_cannot_be_deposited(registry: VenueRegistry) -> None:
    registry.check("paper", "recorded", deposits=[EUR, BTC])
    registry.check("paper", "live", deposits=[Currency("SOL")])
    with pytest.raises(InvalidInputError, match=r"deposit\.SOL.*use BTC, EOS, ETH, EUR, LTC, XRP"):
        registry.check("paper", "recorded", deposits=[EUR, Currency("SOL")])


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
