"""Finishing a rebalance that came to its end: its row, and how far the portfolio stands from its targets now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.close import close_rebalance
from rebalancer_pipelines.application.rebalance.stage import Stage, recording_failure
from rebalancer_pipelines.domain.drift import distance_from_targets
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
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
    """Close the rebalance and compare its weights before and after.

    Raises `DeniedError` while an order may still be at the venue: then the row waits for the order's fate, and recovery
    writes it.
    """
    rebalance = stage.rebalance
    with recording_failure(ports, stage):
        _check_settled(ports, stage)
        with ports.transactions() as work:
            before = work.rebalances.positions(rebalance.id, PositionPhase.BEFORE)
            after = work.rebalances.positions(rebalance.id, PositionPhase.AFTER)
        record = close_rebalance(ports, rebalance)
    return finished(record, before, after)


def finished(
    record: RebalanceRecord, before: Sequence[WeighedPosition], after: Sequence[WeighedPosition]
) -> FinishedRebalance:
    """A closed rebalance with its distances from the targets."""
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


def _check_settled(ports: Ports, stage: Stage) -> None:
    with ports.transactions() as work:
        orders = work.orders.of_rebalance(stage.rebalance.id)
    open_order = next((order for order in orders if order.state.may_be_at_venue), None)
    if open_order is not None:
        raise DeniedError(
            DenialReason.ACCOUNT_HALTED,
            f"order {open_order.client_order_id} ({open_order.side.value} {open_order.symbol}) is "
            f"{open_order.state.value}; the row in the history follows when the venue shows what became of it",
        )
