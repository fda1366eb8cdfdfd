"""The batch job: many portfolios in one run, each with its materialization and its checks in the UI.

Here: what Dagster is told of every outcome. Not here: how a batch is planned, netted and executed (application.batch).
"""

from uuid import UUID

import dagster as dg

from rebalancer_pipelines.application.batch.attempt import Outcome
from rebalancer_pipelines.application.batch.run_batch import BatchRequest, claimed_request, named_request, run_batch
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.finish import finished
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.orchestration import checks
from rebalancer_pipelines.orchestration.metadata import record_metadata
from rebalancer_pipelines.orchestration.resources import Rebalancer

BATCH_TAG = "rebalancer/batch"
"""On every run that was launched for claims: the batch that they belong to."""


class BatchOptions(dg.Config):
    """Which portfolios: those of a `batch` that was claimed, or those named by hand in `portfolios`."""

    batch: str | None = None
    portfolios: list[str] = []  # noqa: RUF012 - Dagster copies it for every run
    dry_run: bool = False

    def request(self, ports: Ports, run_id: str) -> BatchRequest | None:
        """What the run is to do; None when the claims have all been answered. Raises `InvalidInputError`."""
        if self.batch is not None:
            return claimed_request(ports, UUID(self.batch), run_id, dry_run=self.dry_run)
        if not self.portfolios:
            raise InvalidInputError("portfolios", None, "is empty; name the portfolios to rebalance")
        return named_request(ports, self.portfolios, run_id, dry_run=self.dry_run)


@dg.op(description="Plans all portfolios, nets them per account, executes account by account, and records each.")
def rebalance_portfolios(context: dg.OpExecutionContext, config: BatchOptions, rebalancer: Rebalancer) -> None:
    """Rebalance many portfolios; one that fails stops no other."""
    failed = 0
    with rebalancer.ports() as ports:
        request = config.request(ports, context.run_id)
        for outcome in run_batch(ports, request) if request else ():
            failed += not (outcome.record and outcome.record.success)
            _report(context, outcome)
    context.log.info(f"{len(request.portfolio_ids) if request else 0} portfolios, {failed} without success")


def _report(context: dg.OpExecutionContext, outcome: Outcome) -> None:
    record = outcome.record
    if outcome.error is not None or record is None:
        context.log.warning(f"{outcome.portfolio}: {outcome.note or outcome.error}", exc_info=outcome.error)
    if record is None:
        return
    partition = outcome.portfolio
    context.log_event(
        dg.AssetMaterialization(
            checks.REBALANCE_SUCCEEDED.asset_key,
            partition=partition,
            metadata=record_metadata(record, outcome.before, outcome.after),
        )
    )
    done = finished(record, outcome.before, outcome.after)
    results = [checks.rebalance_succeeded(record)]
    if outcome.after:
        results.append(checks.drift_not_increased(done.distance_before, done.distance_after, done.allowance))
    for result in results:
        # Dagster takes them here; its annotation has not learned of it.
        context.log_event(checks.evaluation(result, partition))  # pyright: ignore[reportArgumentType]
