"""What a person writes down about a portfolio, checked field by field before anything is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar, cast

from rebalancer_pipelines.domain.calendar import RebalanceInterval, parse_time_zone
from rebalancer_pipelines.domain.drift import DriftBand, DriftBandKind
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.portfolio import Portfolio, RebalancePolicy, parse_name
from rebalancer_pipelines.domain.values import (
    Currency,
    parse_currency,
    parse_decimal,
    parse_positive,
    parse_whole,
    plain,
)
from rebalancer_pipelines.domain.weights import TargetWeights

_Choice = TypeVar("_Choice", bound=StrEnum)

_MOST_ORDERS = 10_000

FIELDS = (
    "name",
    "account",
    "weights",
    "description",
    "valuation_currency",
    "interval",
    "threshold",
    "band",
    "band_kind",
    "max_orders",
    "cash_reserve",
    "time_zone",
    "enabled",
)
"""The fields of a portfolio's document, in the order in which people read them."""


@dataclass(frozen=True, slots=True)
class PortfolioDraft:
    """A checked description of a portfolio that is not stored yet. `account` is a name."""

    name: str
    account: str
    weights: TargetWeights
    description: str
    valuation_currency: Currency
    interval: RebalanceInterval
    policy: RebalancePolicy
    time_zone: str
    enabled: bool

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> PortfolioDraft:
        """Check raw fields (text, numbers as text, or JSON values); absent ones take their defaults.

        Raises `InvalidInputError` naming the field, the value and the remedy.
        """
        unknown = sorted(set(fields) - set(FIELDS))
        if unknown:
            raise InvalidInputError(unknown[0], None, f"is not a field of a portfolio; use {', '.join(FIELDS)}")
        given = {key: value for key, value in fields.items() if value is not None}
        for required in ("name", "account", "weights"):
            if required not in given:
                raise InvalidInputError(required, None, "is missing; a portfolio needs name, account and weights")
        time_zone = _text(given, "time_zone", "UTC")
        parse_time_zone(time_zone)
        return cls(
            name=parse_name(_text(given, "name", ""), field="name"),
            account=_text(given, "account", ""),
            weights=_weights(given["weights"]),
            description=_text(given, "description", ""),
            valuation_currency=parse_currency(_text(given, "valuation_currency", "EUR"), field="valuation_currency"),
            interval=_choice(RebalanceInterval, given, "interval", RebalanceInterval.WEEKLY),
            policy=_policy(given),
            time_zone=time_zone,
            enabled=_flag(given, "enabled"),
        )


def portfolio_fields(portfolio: Portfolio, account: str) -> dict[str, Any]:
    """The document of a stored portfolio: what `PortfolioDraft.read` takes back."""
    band = portfolio.policy.band
    return {
        "name": portfolio.name,
        "account": account,
        "weights": {c: plain(w) if w is not None else None for c, w in portfolio.weights.given},
        "description": portfolio.description,
        "valuation_currency": portfolio.valuation_currency,
        "interval": portfolio.interval.value,
        "threshold": plain(portfolio.policy.threshold),
        "band": plain(band.width) if band else None,
        "band_kind": band.kind.value if band else None,
        "max_orders": portfolio.policy.max_orders,
        "cash_reserve": plain(portfolio.policy.cash_reserve),
        "time_zone": portfolio.time_zone.key,
        "enabled": portfolio.enabled,
    }


def _policy(given: Mapping[str, Any]) -> RebalancePolicy:
    band = None
    if "band" in given:
        kind = _choice(DriftBandKind, given, "band_kind", DriftBandKind.ABSOLUTE)
        band = DriftBand(_decimal(given["band"], "band"), kind)
    elif "band_kind" in given:
        raise InvalidInputError("band_kind", str(given["band_kind"]), "needs a band; give --band too or leave it out")
    max_orders = given.get("max_orders")
    return RebalancePolicy(
        threshold=parse_positive(_number(given.get("threshold", "10"), "threshold"), field="threshold"),
        band=band,
        max_orders=None
        if max_orders is None
        else parse_whole(max_orders, field="max_orders", least=1, most=_MOST_ORDERS),
        cash_reserve=_decimal(given.get("cash_reserve", "0.01"), "cash_reserve"),
    )


def _weights(given: object) -> TargetWeights:
    if isinstance(given, TargetWeights):
        return given
    if isinstance(given, str):
        return TargetWeights.parse(given)
    if not isinstance(given, dict):
        raise InvalidInputError("weights", str(given), 'must be an object such as {"BTC": "60", "EUR": "40"}')
    weights: dict[Currency, Decimal | None] = {}
    for name, weight in cast("dict[str, Any]", given).items():
        currency = parse_currency(name, field="weights")
        if currency in weights:
            raise InvalidInputError("weights", currency, "is named twice; name each currency once")
        weights[currency] = None if weight is None else _decimal(weight, f"weights.{currency}")
    return TargetWeights.of(weights)


def _text(given: Mapping[str, Any], field: str, default: str) -> str:
    value = given.get(field, default)
    if not isinstance(value, str):
        raise InvalidInputError(field, str(value), "must be text")
    if not value.isprintable():
        raise InvalidInputError(field, value, "holds characters that cannot be shown; leave them out")
    return value


def _number(value: object, field: str) -> str | int | Decimal:
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise InvalidInputError(field, str(value), 'must be a number in quotes, such as "12.5"')
    return value


def _decimal(value: object, field: str) -> Decimal:
    return parse_decimal(_number(value, field), field=field)


def _flag(given: Mapping[str, Any], field: str) -> bool:
    value = given.get(field, False)
    if not isinstance(value, bool):
        raise InvalidInputError(field, str(value), "must be true or false")
    return value


def _choice(kind: type[_Choice], given: Mapping[str, Any], field: str, default: _Choice) -> _Choice:
    value = given.get(field, default)
    try:
        return kind(value)
    except ValueError:
        choices = ", ".join(member.value for member in kind)
        raise InvalidInputError(field, str(value), f"is unknown; use one of {choices}") from None
