"""The one reviewable list of what can run in the code location `rebalancer_analytics`.

It is a location of its own since it loads dbt, which takes seconds: a rebalance loads `definitions` alone.
"""

from pathlib import Path

import dagster as dg

from rebalancer_pipelines.adapters.analytics.project import AnalyticsProject
from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.orchestration.analytics import Marts, analytics_assets, analytics_job
from rebalancer_pipelines.orchestration.analytics_automations import analytics_after_rebalances, analytics_daily


def build_analytics_definitions(marts: Marts, manifest: Path) -> dg.Definitions:
    """Everything that builds the marts, over the given resource and the dbt project's manifest."""
    assets = analytics_assets(manifest)
    return dg.Definitions(
        assets=[assets],
        jobs=[analytics_job(assets)],
        schedules=[analytics_daily],
        sensors=[analytics_after_rebalances],
        resources={"marts": marts},
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What the environment says; the dbt project is read when the location loads, which takes seconds once."""
    manifest = AnalyticsProject(Settings().data_dir).prepared_manifest()
    return build_analytics_definitions(Marts(database_url=dg.EnvVar("DATABASE_URL")), manifest)
