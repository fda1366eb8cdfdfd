"""What the assets of days have in common.

Here: their partitions, the policy that makes a range one run, kinds and owners. Not here: what any of them does.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg

from rebalancer_pipelines.orchestration.assets.step import OWNERS
from rebalancer_pipelines.orchestration.partitions import DAYS


def day_asset(
    *,
    group: str,
    description: str,
    checks: Sequence[dg.AssetCheckSpec],
    deps: Sequence[dg.AssetsDefinition | dg.AssetDep] = (),
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Declare a function as an asset of days; however many a run is about, it is called once."""

    def declare(function: Callable[..., Any]) -> dg.AssetsDefinition:
        with warnings.catch_warnings():
            # Backfill policies are in beta in Dagster 1.13; whoever types a command need not be told.
            warnings.simplefilter("ignore", category=dg.BetaWarning)
            return dg.asset(
                deps=deps,
                partitions_def=DAYS,
                backfill_policy=dg.BackfillPolicy.single_run(),
                group_name=group,
                kinds={"postgres"},
                owners=OWNERS,
                check_specs=checks,
                description=description,
            )(function)

    return declare
