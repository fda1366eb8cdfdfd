"""Drift: how far a weight stands from its target, and the band in which it is left alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from rebalancer_pipelines.domain.values import EXACT, HUNDRED, exact_sum


class DriftBandKind(StrEnum):
    """How a band's width is meant: percentage points, or percent of the target weight."""

    ABSOLUTE = "absolute"
    RELATIVE = "relative"


@dataclass(frozen=True, slots=True)
class DriftBand:
    """Nothing trades while every currency stays within the band; once one leaves it, all return to target.

    With `ABSOLUTE`, `width` 5 lets a target of 30 % run from 25 % to 35 %; with `RELATIVE`, from 28.5 % to 31.5 %.
    A relative band around a target of 0 has no width: there the portfolio's threshold alone decides.
    """

    width: Decimal
    kind: DriftBandKind = DriftBandKind.ABSOLUTE

    def allowance(self, target: Decimal) -> Decimal:
        """Largest drift, in percentage points, that is left alone at a `target` weight in percent."""
        if self.kind is DriftBandKind.ABSOLUTE:
            return self.width
        return EXACT.divide(EXACT.multiply(self.width, target), HUNDRED)


def leaves_band(
    band: DriftBand, value: Decimal, total: Decimal, *, low: Decimal, high: Decimal, threshold: Decimal
) -> bool:
    """Whether a position worth `value` of `total` has left the band around its target, from `low` to `high` percent.

    The two differ for cash alone: what the cash reserve keeps back has not drifted. A drift worth less than
    `threshold`, in valuation currency, leaves no band, since no order could follow from it.
    """
    percent = EXACT.multiply(value, HUNDRED)
    above = EXACT.subtract(percent, EXACT.multiply(high, total))
    below = EXACT.subtract(EXACT.multiply(low, total), percent)
    drift, target = (above, high) if above > below else (below, low)
    if drift < EXACT.multiply(threshold, HUNDRED):
        return False
    return drift > EXACT.multiply(band.allowance(target), total)


def distance_from_targets(weights: Iterable[tuple[Decimal, Decimal]]) -> Decimal:
    """Half the sum of |weight - target|, in percentage points: the share of value that would have to move."""
    total = exact_sum(EXACT.abs(EXACT.subtract(weight, target)) for weight, target in weights)
    return EXACT.divide(total, Decimal(2))
