"""Market data: what an account holds, and what it is worth a unit.

Here: the two assets that read a venue. Not here: how a venue is read (adapters), or what makes a price sound (domain).
"""

from datetime import datetime

import dagster as dg

from rebalancer_pipelines.application.rebalance.observe_prices import observe_prices
from rebalancer_pipelines.application.rebalance.start import RebalanceRequest, parse_confirmed, start_rebalance
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.rebalance import TriggeredBy
from rebalancer_pipelines.orchestration import checks
from rebalancer_pipelines.orchestration.assets.step import rebalance_step
from rebalancer_pipelines.orchestration.metadata import balances_metadata, prices_metadata
from rebalancer_pipelines.orchestration.resources import Rebalancer


class RebalanceOptions(dg.Config):
    """How a rebalance is to be run. `triggered_by`: scheduler, sensor, manual or api.

    `confirmed`: limits that a person waives for this run, TURNOVER or PRICE_COLLAR. `scheduled_for`: the due time that
    was claimed for this run, as ISO 8601; set by what claims it.
    """

    dry_run: bool = False
    triggered_by: str = TriggeredBy.MANUAL.value
    confirmed: list[str] = []  # noqa: RUF012 - Dagster copies it for every run
    scheduled_for: str | None = None

    def request(self, context: dg.AssetExecutionContext) -> RebalanceRequest:
        """What the run asks for. Raises `InvalidInputError` when it could not bring a rebalance to its end."""
        # A dry run of `backfill` would pass for a part of a rehearsal.
        known = [each for each in TriggeredBy if each is not TriggeredBy.BACKFILL]
        if self.triggered_by not in known:
            raise InvalidInputError("triggered_by", self.triggered_by, f"is unknown; use one of {', '.join(known)}")
        if "rebalance_history" not in {node.name for node in context.op_execution_context.job_def.nodes}:
            raise InvalidInputError(
                "selection", None, "account_balances begins a rebalance; select all six assets with it"
            )
        record = context.instance.get_run_record_by_id(context.run.run_id)
        scheduled_for = datetime.fromisoformat(self.scheduled_for) if self.scheduled_for else None
        return RebalanceRequest(
            portfolio=context.partition_key,
            dry_run=self.dry_run,
            triggered_by=TriggeredBy(self.triggered_by),
            dagster_run_id=context.run.run_id,
            # What has started since the due time answers it, whoever asked for that.
            requested_at=scheduled_for or (record.create_timestamp if record else None),
            scheduled_for=scheduled_for,
            confirmed=parse_confirmed(self.confirmed),
        )


@rebalance_step(
    group="market_data",
    checks=[checks.LEDGER_EQUALS_VENUE],
    description="Holds the account for this rebalance, settles what an earlier run left, and reads its balances.",
)
def account_balances(
    context: dg.AssetExecutionContext, config: RebalanceOptions, rebalancer: Rebalancer
) -> dg.MaterializeResult:
    """Start the rebalance."""
    with rebalancer.ports() as ports:
        state = start_rebalance(ports, config.request(context))
    mode = "dry run" if state.mode.is_dry_run else "paper" if state.stage.account.is_paper else "live"
    context.instance.add_run_tags(context.run.run_id, {"rebalancer/mode": mode})
    context.log.info(state.mode.describe(state.stage.account))
    return dg.MaterializeResult(
        metadata=balances_metadata(state), check_results=[checks.gate(checks.LEDGER_EQUALS_VENUE, state.denial)]
    )


@rebalance_step(
    after=account_balances,
    group="market_data",
    checks=[checks.PRICES_ARE_SOUND],
    description="Bid and ask of every market that the portfolio's weights name. A missing price stops the rebalance.",
)
def market_prices(context: dg.AssetExecutionContext, rebalancer: Rebalancer) -> dg.MaterializeResult:
    """Read the prices that the plan will rest on."""
    with rebalancer.stage(context) as (ports, stage):
        observed = observe_prices(ports, stage)
    return dg.MaterializeResult(
        metadata=prices_metadata(observed.marks),
        check_results=[checks.gate(checks.PRICES_ARE_SOUND, observed.denial)],
    )
