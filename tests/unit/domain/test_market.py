from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.market import PriceLimits, PriceMark, check_price
from tests.support.builders import NOON, a_market, a_price

LIMITS = PriceLimits(max_age=timedelta(seconds=15), max_spread_percent=Decimal(2))


@pytest.mark.parametrize(
    "mark",
    [
        a_price(bid=99, ask=101),  # exactly 2 %
        a_price(bid=100, ask=100),
        a_price(bid=100, ask=100, observed_at=NOON - timedelta(seconds=15)),
    ],
    ids=["widest", "no spread", "oldest"],
)
def test_a_sound_price_passes(mark: PriceMark) -> None:
    check_price(mark, "BTC/EUR", now=NOON, limits=LIMITS)


@pytest.mark.parametrize(
    ("mark", "reason", "message"),
    [
        (None, DenialReason.PRICE_INVALID, "no price for BTC/EUR; nothing is traded until"),
        (a_price(bid=0, ask=1), DenialReason.PRICE_INVALID, "bid of BTC/EUR is 0; a price must be above 0"),
        (a_price(bid=-5, ask=-4), DenialReason.PRICE_INVALID, "bid of BTC/EUR is -5"),
        (a_price(bid="NaN", ask=1), DenialReason.PRICE_INVALID, "bid of BTC/EUR is NaN"),
        (a_price(bid=1, ask="Infinity"), DenialReason.PRICE_INVALID, "ask of BTC/EUR is Infinity"),
        (a_price(bid="1.10", ask=1), DenialReason.PRICE_INVALID, "BTC/EUR is crossed: bid 1.1 above ask 1; wait"),
        (a_price(bid=98, ask=101), DenialReason.PRICE_INVALID, "spread of BTC/EUR is 3.02 %, limit 2 %; wait for"),
        (a_price(bid="98.99", ask=101), DenialReason.PRICE_INVALID, "spread of BTC/EUR is 2.01 %, limit 2 %"),
        (
            a_price(observed_at=NOON - timedelta(seconds=16)),
            DenialReason.PRICE_STALE,
            "price of BTC/EUR is 16 s old, limit 15 s; run again to read it afresh",
        ),
    ],
)
def test_a_price_unfit_to_trade_on_is_denied(mark: PriceMark | None, reason: DenialReason, message: str) -> None:
    with pytest.raises(DeniedError) as denied:
        check_price(mark, "BTC/EUR", now=NOON, limits=LIMITS)
    assert denied.value.reason is reason
    assert denied.value.message.startswith(message)
    assert str(denied.value) == f"{reason.value}: {denied.value.message}"


def test_mid_is_halfway_and_the_spread_is_counted_in_percent_of_it() -> None:
    mark = a_price(bid="99.5", ask="100.5")

    assert (mark.mid, mark.spread_percent) == (100, 1)


@pytest.mark.parametrize(
    ("quantity", "price", "is_taken"),
    [("0.01", "500", True), ("0.009", "5000", False), ("0.01", "499.9", False), ("0.02", "250", True)],
)
def test_a_market_takes_what_reaches_both_of_its_minimums(quantity: str, price: str, is_taken: bool) -> None:
    market = a_market(min_amount="0.01", min_notional="5.0")
    assert market.takes(Decimal(quantity), Decimal(price)) is is_taken
    assert market.minimum == "0.01 BTC or 5 EUR"
