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
    """

    width: Decimal
    kind: DriftBandKind = DriftBandKind.ABSOLUTE

    def allowance(self, target: Decimal) -> Decimal:
        """Largest drift, in percentage points, that is left alone at a `target` weight in percent."""
        if self.kind is DriftBandKind.ABSOLUTE:
            return self.width
        return EXACT.divide(EXACT.multiply(self.width, target), HUNDRED)


def distance_from_targets(weights: Iterable[tuple[Decimal, Decimal]]) -> Decimal:
    """Half the sum of |weight - target|, in percentage points: the share of value that would have to move."""
    total = exact_sum(abs(EXACT.subtract(weight, target)) for weight, target in weights)
    return EXACT.divide(total, Decimal(2))
