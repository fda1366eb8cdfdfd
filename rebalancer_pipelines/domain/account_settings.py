"""Limits and timings of an account: their names, units, defaults and bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.values import EXACT, HUNDRED, ONE, ZERO, parse_decimal, parse_whole, plain

OFF = "off"
"""The word that switches a limit off."""


class RateTier(StrEnum):
    """How much a venue allows a customer; it grows with verification. Kraken's names."""

    STARTER = "starter"
    INTERMEDIATE = "intermediate"
    PRO = "pro"


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """Limits and timings of one account. A limit that is None is off. Fractions: 0.25 is 25 %.

    The defaults are those of real money; `PAPER_DEFAULTS` has what differs where money is play money.
    """

    hold: timedelta = timedelta(seconds=60)
    not_after: timedelta = timedelta(seconds=10)
    venue_timeout: timedelta = timedelta(seconds=8)
    lease: timedelta = timedelta(seconds=60)
    review_after: timedelta = timedelta(minutes=15)
    pause_after_fill: timedelta = timedelta(seconds=10)
    reconcile_pause: timedelta = timedelta(seconds=30)
    rate_tier: RateTier = RateTier.STARTER
    quote_age: timedelta = timedelta(seconds=15)
    price_collar: Decimal = Decimal("0.01")
    max_price_jump: Decimal | None = Decimal("0.1")
    max_turnover: Decimal | None = Decimal("0.25")
    max_order_notional: Decimal | None = Decimal(10_000)
    max_daily_notional: Decimal | None = Decimal(50_000)
    max_orders_per_run: int | None = 20
    max_drawdown: Decimal | None = Decimal("0.2")
    cash_reserve: Decimal = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Setting:
    """How one setting is written: its public name, the field it fills, and what it means with its unit."""

    name: str
    field: str
    meaning: str
    read: Callable[[str, str], Any]

    def write(self, settings: AccountSettings) -> str:
        """The value as text, as `read` takes it back."""
        value = getattr(settings, self.field)
        if value is None:
            return OFF
        if isinstance(value, timedelta):
            return plain(_seconds_of(value))
        return plain(value) if isinstance(value, Decimal) else str(value)


def parse_settings(texts: Mapping[str, str], *, is_paper: bool) -> AccountSettings:
    """The settings of an account from what was set by hand. Raises `InvalidInputError` naming the setting."""
    values: dict[str, Any] = dict(PAPER_DEFAULTS) if is_paper else {}
    for name, text in texts.items():
        setting = find_setting(name)
        values[setting.field] = setting.read(text, f"set.{name}")
    return AccountSettings(**values)


def find_setting(name: str) -> Setting:
    """The setting of that name. Raises `InvalidInputError` listing all."""
    if name not in SETTINGS:
        raise InvalidInputError("set", name, f"is not a setting; use one of {', '.join(SETTINGS)}")
    return SETTINGS[name]


def _seconds_of(duration: timedelta) -> Decimal:
    return EXACT.divide(Decimal(duration // timedelta(microseconds=1)), Decimal(1_000_000))


def _seconds(least: str, most: int) -> Callable[[str, str], timedelta]:
    def read(text: str, field: str) -> timedelta:
        seconds = parse_decimal(text, field=field)
        if not Decimal(least) <= seconds <= most:
            raise InvalidInputError(field, text, f"must be a number of seconds from {least} to {most}")
        return timedelta(microseconds=int(seconds * 1_000_000))

    return read


def _fraction(text: str, field: str) -> Decimal:
    number = text.strip()
    fraction = (
        EXACT.divide(parse_decimal(number[:-1], field=field), HUNDRED)
        if number.endswith("%")
        else parse_decimal(number, field=field)
    )
    if not ZERO <= fraction <= ONE:
        raise InvalidInputError(field, text, "must be a fraction from 0 to 1, or a percentage; 0.25 and 25% are equal")
    return fraction


def _reserve(text: str, field: str) -> Decimal:
    fraction = _fraction(text, field)
    if fraction == ONE:
        raise InvalidInputError(field, text, "must be below 1; a reserve of everything leaves nothing to trade")
    return fraction


def _collar(text: str, field: str) -> Decimal:
    fraction = _fraction(text, field)
    if not ZERO < fraction <= Decimal("0.5"):
        raise InvalidInputError(field, text, "must be above 0 and at most 0.5; 0.01 lets a limit stand 1 % from mid")
    return fraction


def _amount(text: str, field: str) -> Decimal:
    amount = parse_decimal(text, field=field)
    if amount <= ZERO:
        raise InvalidInputError(field, text, f"must be greater than 0, or {OFF}")
    return amount


def _count(text: str, field: str) -> int:
    return parse_whole(text, field=field, least=1, most=1000)


def _tier(text: str, field: str) -> RateTier:
    if text not in set(RateTier):
        raise InvalidInputError(field, text, f"is not a tier; use {', '.join(RateTier)}")
    return RateTier(text)


def _or_off(read: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    return lambda text, field: None if text.strip().lower() == OFF else read(text, field)


SETTINGS: Mapping[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            "hold_seconds", "hold", "how late the venue may still show an order that it has taken", _seconds("0", 600)
        ),
        Setting(
            "not_after_seconds",
            "not_after",
            "the venue refuses an order this long after we decided to send it",
            _seconds("3.5", 60),
        ),
        Setting(
            "venue_timeout_seconds", "venue_timeout", "longest wait for one answer of the venue", _seconds("0.1", 60)
        ),
        Setting(
            "lease_seconds", "lease", "a worker that is silent this long may lose the account", _seconds("0.5", 3600)
        ),
        Setting(
            "review_after_seconds",
            "review_after",
            "an order of unknown fate freezes the account after this",
            _seconds("0", 86_400),
        ),
        Setting(
            "pause_after_fill_seconds",
            "pause_after_fill",
            "least time between a fill and the next plan",
            _seconds("0", 600),
        ),
        Setting(
            "reconcile_pause_seconds",
            "reconcile_pause",
            "wait between two looks at balances that differ",
            _seconds("0", 600),
        ),
        Setting("rate_tier", "rate_tier", "how much the venue allows: starter, intermediate or pro", _tier),
        Setting("quote_age_seconds", "quote_age", "oldest quote that is traded on", _seconds("0.1", 600)),
        Setting("price_collar", "price_collar", "how far from mid a limit may stand, as a fraction", _collar),
        Setting(
            "max_price_jump",
            "max_price_jump",
            "how far a mid may be from the last run's without confirmation, as a fraction",
            _or_off(_fraction),
        ),
        Setting(
            "max_turnover",
            "max_turnover",
            "most of the value that one run may turn over, as a fraction",
            _or_off(_fraction),
        ),
        Setting("max_order_notional", "max_order_notional", "largest order, in its quote currency", _or_off(_amount)),
        Setting(
            "max_daily_notional",
            "max_daily_notional",
            "most that all orders of a day may be worth, in quote currency",
            _or_off(_amount),
        ),
        Setting("max_orders_per_run", "max_orders_per_run", "most orders of one run", _or_off(_count)),
        Setting(
            "max_drawdown",
            "max_drawdown",
            "loss of value within a day that halts the account, as a fraction",
            _or_off(_fraction),
        ),
        Setting("cash_reserve", "cash_reserve", "least part of the value that stays in cash, as a fraction", _reserve),
    )
}
"""Every setting by its public name."""

PAPER_DEFAULTS: Mapping[str, Any] = {
    "hold": timedelta(0),
    "lease": timedelta(seconds=30),
    "pause_after_fill": timedelta(0),
    "reconcile_pause": timedelta(0),
    "max_price_jump": None,
    "max_turnover": None,
    "max_order_notional": None,
    "max_daily_notional": None,
    "max_orders_per_run": None,
    "max_drawdown": None,
    "cash_reserve": ZERO,
}
"""What differs on paper: its answers are never late, and nothing can be lost there."""

if {setting.field for setting in SETTINGS.values()} != {field.name for field in fields(AccountSettings)}:
    raise AssertionError("every field of AccountSettings has one entry in SETTINGS")
