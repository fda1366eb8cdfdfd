"""Finishing a rebalance that came to its end: its row, and how far the portfolio stands from its targets now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.close import close_rebalance
from rebalancer_pipelines.application.rebalance.stage import Stage, recording_failure
from rebalancer_pipelines.domain.drift import distance_from_targets
from rebalancer_pipelines.domain.rebalance import PositionPhase, RebalanceRecord, WeighedPosition
from rebalancer_pipelines.domain.valuation import percent_of
from rebalancer_pipelines.domain.values import EXACT, ZERO, exact_sum


@dataclass(frozen=True, slots=True)
class FinishedRebalance:
    """The record, the positions around it, and the distances from the targets, in percentage points.

    `allowance` is what the costs of the orders may add to the distance.
    """

    record: RebalanceRecord
    before: Sequence[WeighedPosition]
    after: Sequence[WeighedPosition]
    distance_before: Decimal
    distance_after: Decimal
    allowance: Decimal


def finish_rebalance(ports: Ports, stage: Stage) -> FinishedRebalance:
    """Close the rebalance and compare its weights before and after."""
    rebalance = stage.rebalance
    with recording_failure(ports, rebalance):
        with ports.transactions() as work:
            before = work.rebalances.positions(rebalance.id, PositionPhase.BEFORE)
            after = work.rebalances.positions(rebalance.id, PositionPhase.AFTER)
        record = close_rebalance(ports, rebalance)
    value_before = exact_sum(p.value for p in before)
    cost = EXACT.subtract(value_before, exact_sum(p.value for p in after))
    return FinishedRebalance(
        record=record,
        before=before,
        after=after,
        distance_before=distance_from_targets((p.weight, p.target) for p in before),
        distance_after=distance_from_targets((p.weight, p.target) for p in after),
        allowance=max(ZERO, percent_of(cost, value_before)),
    )
