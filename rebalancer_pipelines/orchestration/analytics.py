"""The marts as assets: one lineage with the rebalances, one job, and the condition on which they are built.

Here: what Dagster is told of the dbt project and of every build. Not here: how it is built (`adapters.analytics`), what
the models say (the dbt project), what looks whether it is time (`analytics_automations`). Only the code location
`rebalancer_analytics` imports this: it loads dbt.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets

from rebalancer_pipelines.adapters.analytics.build import Build, BuiltNode, build_marts
from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.domain.errors import RebalancerError
from rebalancer_pipelines.orchestration.analytics_automations import (
    ANALYTICS_GROUP,
    ANALYTICS_JOB,
    NO_RETRY_AND_AN_HOUR_AT_MOST,
)
from rebalancer_pipelines.orchestration.assets.step import OWNERS

REBALANCES = dg.AssetKey("rebalance_history")
DAYS = dg.AssetKey("daily_portfolio_value")

_UNIQUE_ID = "dagster_dbt/unique_id"


def build_when_quiet() -> dg.AutomationCondition[dg.AssetKey]:
    """Build once a burst of rebalances is over, and within the hour when it does not end.

    A tick in which something arrives waits for the next one. What arrives in the very tick after a request may have
    come too late for that build, so it stays waiting.
    """
    updated = dg.AutomationCondition.newly_updated()
    arrives = dg.AutomationCondition.asset_matches(REBALANCES, updated) | dg.AutomationCondition.asset_matches(
        DAYS, updated
    )
    waits = arrives.since(dg.AutomationCondition.newly_requested() & ~arrives).with_label("something waits to be built")
    hour_is_over = dg.AutomationCondition.cron_tick_passed("0 * * * *")
    return waits & (~arrives.with_label("something has just arrived") | hour_is_over)


class MartTranslator(DagsterDbtTranslator):
    """Names, groups and conditions of the dbt project's models in Dagster."""

    def __init__(self) -> None:
        # Several tables are written by one asset: a rebalance writes its orders and fills, too.
        super().__init__(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """A model's own name, under `analytics`; a source is the asset that writes it."""
        if dbt_resource_props["resource_type"] == "source":
            return super().get_asset_key(dbt_resource_props)
        return dg.AssetKey([ANALYTICS_GROUP, dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:  # noqa: ARG002 - the base class has it
        """One group for all."""
        return ANALYTICS_GROUP

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str]:  # noqa: ARG002
        """As every asset of ours."""
        return OWNERS

    def get_automation_condition(
        self,
        dbt_resource_props: Mapping[str, Any],  # noqa: ARG002
    ) -> dg.AutomationCondition[Any] | None:
        """All are built together."""
        return build_when_quiet()


class Marts(dg.ConfigurableResource):
    """The marts of one database. `data_dir` None: the environment names it."""

    database_url: str
    data_dir: str | None = None

    def build(self, *, full: bool, models: Sequence[str] | None) -> Build:
        """Build them; a refusal of ours ends the step with its one line, and is never retried."""
        folder = Path(self.data_dir) if self.data_dir else Settings().data_dir
        try:
            return build_marts(self.database_url, folder, full=full, models=models)
        except RebalancerError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error


class BuildOptions(dg.Config):
    """`full`: from the beginning, not only what has changed since the last build."""

    full: bool = False


def analytics_assets(manifest: Path) -> dg.AssetsDefinition:
    """Every model of the project as an asset, every test as a check."""

    @dbt_assets(manifest=manifest, name="analytics", dagster_dbt_translator=MartTranslator())
    def analytics(
        context: dg.AssetExecutionContext, config: BuildOptions, marts: Marts
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """Build the chosen models with their tests; all of them, as a rule."""
        models = [key.path[-1] for key in context.selected_asset_keys] if context.is_subset else None
        built = marts.build(full=config.full, models=models)
        yield from _told(context, built)
        if built.problems:
            raise dg.Failure(description="\n".join(built.problems), allow_retries=False)

    return analytics


def _told(context: dg.AssetExecutionContext, built: Build) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """What Dagster shows of a build."""
    assets = {spec.metadata[_UNIQUE_ID]: spec.key for spec in context.assets_def.specs}
    checks = {spec.metadata[_UNIQUE_ID]: spec.key for spec in context.assets_def.check_specs}
    for node in built.nodes:
        key, check = assets.get(node.unique_id), checks.get(node.unique_id)
        if key in context.selected_asset_keys and node.ok:
            yield dg.MaterializeResult(asset_key=key, metadata=_figures(node, full=built.full))
        elif check is not None and check in context.selected_asset_check_keys and node.status != "skipped":
            yield _verdict(check, node)


def _figures(node: BuiltNode, *, full: bool) -> dict[str, Any]:
    rows = {"rows_written": node.rows} if node.rows is not None and node.rows >= 0 else {}
    return {"seconds": round(node.seconds, 2), "from_the_beginning": full, **rows}


def _verdict(check: dg.AssetCheckKey, node: BuiltNode) -> dg.AssetCheckResult:
    """A test with the rows that it has found."""
    records = [dg.TableRecord(dict(row)) for row in node.failing_rows]
    metadata: dict[str, Any] = {"failures": node.failures, "seconds": round(node.seconds, 2)}
    if records:
        columns = [dg.TableColumn(name) for name in node.failing_rows[0]]
        metadata["failing_rows"] = dg.MetadataValue.table(records, schema=dg.TableSchema(columns))
    return dg.AssetCheckResult(
        asset_key=check.asset_key,
        check_name=check.name,
        passed=node.ok,
        description=None if node.ok else node.line,
        metadata=metadata,
    )


def analytics_job(assets: dg.AssetsDefinition) -> UnresolvedAssetJobDefinition:
    """The job that builds all marts."""
    return dg.define_asset_job(
        ANALYTICS_JOB,
        selection=dg.AssetSelection.assets(assets),
        description="Builds the marts of what has changed, and tests them.",
        executor_def=dg.in_process_executor,
        run_tags=NO_RETRY_AND_AN_HOUR_AT_MOST,
    )
