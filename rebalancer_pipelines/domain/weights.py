"""Target weights: how a portfolio's value is to be divided, in percent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.values import (
    EXACT,
    HUNDRED,
    ZERO,
    Currency,
    exact_sum,
    floor_to,
    parse_currency,
    parse_decimal,
    plain,
)

_TOLERANCE = Decimal("0.01")
_SHARE_STEP = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class TargetWeights:
    """Percent per currency, ordered by currency; sums to 100 within 0.01.

    `given` keeps what the user wrote (None = an equal share of the rest), `percent` what it comes to.
    """

    given: tuple[tuple[Currency, Decimal | None], ...]
    percent: tuple[tuple[Currency, Decimal], ...]

    @classmethod
    def of(cls, given: Mapping[Currency, Decimal | None]) -> TargetWeights:
        """Check and resolve weights. Raises `InvalidInputError` when they cannot divide a portfolio."""
        if not given:
            raise InvalidInputError("weights", None, "are empty; give at least one, such as BTC=60,EUR=40")
        for currency, weight in given.items():
            if weight is not None and (not weight.is_finite() or weight < ZERO or weight > HUNDRED):
                raise InvalidInputError(f"weights.{currency}", str(weight), "must be between 0 and 100 percent")
        named = exact_sum(w for w in given.values() if w is not None)
        open_shares = sorted(c for c, w in given.items() if w is None)
        shares = _equal_shares(EXACT.subtract(HUNDRED, named), open_shares)
        percent = {c: shares[c] if w is None else w for c, w in given.items()}
        total = exact_sum(percent.values())
        if EXACT.abs(EXACT.subtract(total, HUNDRED)) > _TOLERANCE:
            raise InvalidInputError("weights", plain(total), "is their sum in percent; it must be 100")
        return cls(given=tuple(sorted(given.items())), percent=tuple(sorted(percent.items())))

    @classmethod
    def parse(cls, text: str) -> TargetWeights:
        """Read `BTC=50,ETH=30,EUR=20`; a currency without a number (`ETH`, `ETH=`) takes an equal share of the rest.

        Raises `InvalidInputError`.
        """
        given: dict[Currency, Decimal | None] = {}
        for part in text.split(","):
            name, _, number = part.partition("=")
            currency = parse_currency(name, field="weights")
            if currency in given:
                raise InvalidInputError("weights", currency, "is named twice; name each currency once")
            stripped = number.strip()
            given[currency] = parse_decimal(stripped, field=f"weights.{currency}") if stripped else None
        return cls.of(given)

    def __iter__(self) -> Iterator[tuple[Currency, Decimal]]:
        return iter(self.percent)

    @property
    def currencies(self) -> tuple[Currency, ...]:
        """The managed currencies, in order."""
        return tuple(currency for currency, _ in self.percent)


def _equal_shares(rest: Decimal, currencies: list[Currency]) -> dict[Currency, Decimal]:
    if not currencies:
        return {}
    if rest <= ZERO:
        raise InvalidInputError(
            f"weights.{currencies[0]}",
            None,
            "has no number and nothing of 100 percent is left for it; give it one",
        )
    # Rounded down; the first takes what is left over, so that the shares add up to the last digit.
    share = floor_to(EXACT.divide(rest, Decimal(len(currencies))), _SHARE_STEP)
    shares = dict.fromkeys(currencies, share)
    shares[currencies[0]] = EXACT.subtract(rest, EXACT.multiply(share, Decimal(len(currencies) - 1)))
    return shares
