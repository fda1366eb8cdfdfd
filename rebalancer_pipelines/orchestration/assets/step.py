"""What the assets of a rebalance have in common.

Here: the partitions, kinds and owners that every step carries. Not here: what any step does.
"""

from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg

from rebalancer_pipelines.orchestration.partitions import PORTFOLIOS

OWNERS = ["team:rebalancer"]
"""Who answers for the assets, as the UI shows it; Dagster grants no rights by it."""


def rebalance_step(
    *,
    group: str,
    description: str,
    checks: Sequence[dg.AssetCheckSpec],
    after: dg.AssetsDefinition | None = None,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Declare a function as the step of a rebalance that follows the step `after`."""
    return dg.asset(
        deps=[after] if after else [],
        partitions_def=PORTFOLIOS,
        group_name=group,
        kinds={"postgres"},
        owners=OWNERS,
        check_specs=checks,
        description=description,
    )
