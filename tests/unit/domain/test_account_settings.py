from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.domain.account_settings import SETTINGS, AccountSettings, RateTier, parse_settings
from rebalancer_pipelines.domain.errors import InvalidInputError


def test_real_money_starts_with_every_limit_on() -> None:
    settings = parse_settings({}, is_paper=False)
    assert settings == AccountSettings()
    assert None not in {settings.max_turnover, settings.max_order_notional, settings.max_daily_notional}
    assert None not in {settings.max_orders_per_run, settings.max_drawdown, settings.max_price_jump}
    assert (settings.hold, settings.not_after, settings.lease) == (
        timedelta(seconds=60),
        timedelta(seconds=10),
        timedelta(seconds=60),
    )


def test_play_money_has_no_limits_unless_they_are_set() -> None:
    paper = parse_settings({}, is_paper=True)
    assert (paper.max_turnover, paper.max_order_notional, paper.max_drawdown) == (None, None, None)
    assert parse_settings({"max_turnover": "0.3"}, is_paper=True).max_turnover == Decimal("0.3")


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("hold_seconds", "0.5", "hold", timedelta(milliseconds=500)),
        ("not_after_seconds", "10", "not_after", timedelta(seconds=10)),
        ("venue_timeout_seconds", "8", "venue_timeout", timedelta(seconds=8)),
        ("lease_seconds", "60", "lease", timedelta(seconds=60)),
        ("rate_tier", "pro", "rate_tier", RateTier.PRO),
        ("quote_age_seconds", "15", "quote_age", timedelta(seconds=15)),
        ("max_turnover", "25%", "max_turnover", Decimal("0.25")),
        ("max_turnover", "0.25", "max_turnover", Decimal("0.25")),
        ("max_turnover", "OFF", "max_turnover", None),
        ("max_order_notional", "12500.5", "max_order_notional", Decimal("12500.5")),
        ("max_daily_notional", "off", "max_daily_notional", None),
        ("max_orders_per_run", "7", "max_orders_per_run", 7),
        ("price_collar", "0.5%", "price_collar", Decimal("0.005")),
        ("cash_reserve", "0.02", "cash_reserve", Decimal("0.02")),
    ],
)
def test_a_setting_is_read_in_its_unit(name: str, text: str, field: str, value: object) -> None:
    assert getattr(parse_settings({name: text}, is_paper=False), field) == value


@pytest.mark.parametrize(
    ("name", "text", "remedy"),
    [
        ("hold_seconds", "-1", "must be a number of seconds from 0 to 600"),
        ("hold_seconds", "soon", "is not a number"),
        ("hold_seconds", "NaN", "is not a finite number"),
        ("not_after_seconds", "2", "from 3.5 to 60"),
        ("not_after_seconds", "61", "from 3.5 to 60"),
        ("lease_seconds", "0", "from 0.5 to 3600"),
        ("rate_tier", "gold", "use starter, intermediate, pro"),
        ("max_turnover", "25", "0.25 and 25% are equal"),
        ("max_turnover", "-0.1", "must be a fraction from 0 to 1"),
        ("max_order_notional", "0", "must be greater than 0, or off"),
        ("max_orders_per_run", "0", "must be a whole number from 1 to 1000"),
        ("price_collar", "0", "must be above 0 and at most 0.5"),
        ("price_collar", "off", "is not a number"),
        ("cash_reserve", "1", "must be below 1"),
        ("hold", "60", "is not a setting; use one of hold_seconds"),
    ],
)
def test_a_bad_setting_is_named_with_its_value_and_the_remedy(name: str, text: str, remedy: str) -> None:
    with pytest.raises(InvalidInputError, match=remedy) as caught:
        parse_settings({name: text}, is_paper=False)
    assert (caught.value.field, caught.value.value) in {(f"set.{name}", text), ("set", name)}


@given(st.booleans(), st.dictionaries(st.sampled_from(["max_turnover", "cash_reserve"]), st.just("0.5")))
def test_what_is_written_is_read_back(is_paper: bool, texts: dict[str, str]) -> None:
    settings = parse_settings(texts, is_paper=is_paper)
    written = {name: setting.write(settings) for name, setting in SETTINGS.items()}
    assert parse_settings(written, is_paper=is_paper) == settings
    assert parse_settings(written, is_paper=not is_paper) == settings
