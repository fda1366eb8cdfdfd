"""The batch job: many portfolios in one run, each with its materialization and its checks in the UI.

Here: what Dagster is told of every outcome. Not here: how a batch is planned, netted and executed (application.batch).
"""

import gc
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

import dagster as dg
from dagster._core.events import (
    DagsterEvent,
    DagsterEventBatchMetadata,
    DagsterEventType,
    StepMaterializationData,
    generate_event_batch_id,
)

from rebalancer_pipelines.application.batch.attempt import Outcome
from rebalancer_pipelines.application.batch.run_batch import BatchRequest, claimed_request, named_request, run_batch
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.finish import finished
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.orchestration import checks
from rebalancer_pipelines.orchestration.metadata import record_figures
from rebalancer_pipelines.orchestration.resources import Rebalancer

_Item = TypeVar("_Item")

_COLLECT_AFTER = (50_000, 20, 100)
"""Objects, and collections of the generation before, after which garbage is looked for during a batch."""

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
    with _rare_collections(), rebalancer.ports() as ports:
        request = config.request(ports, context.run_id)
        for outcomes in run_batch(ports, request) if request else ():
            failed += sum(not (outcome.record and outcome.record.success) for outcome in outcomes)
            _report(context, outcomes)
    context.log.info(f"{len(request.portfolio_ids) if request else 0} portfolios, {failed} without success")


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python's collector of cyclic garbage look less often, and not through what was there before.

    Thousands of orders come and go while hundreds of thousands of objects of Dagster and SQLAlchemy stay: looking
    through those again and again took a fifth of a batch's time.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _report(context: dg.OpExecutionContext, outcomes: Sequence[Outcome]) -> None:
    """Tell Dagster of an account's portfolios: in two writes, where the storage can, since there may be hundreds.

    The events go to the event log straight away. Python's logging on the way there takes longer than they do, and all
    that it adds are two lines a portfolio in the run's raw output, which say less than the event.
    """
    for outcome in outcomes:
        if outcome.error is not None or outcome.record is None:
            context.log.warning(f"{outcome.portfolio}: {outcome.note or outcome.error}", exc_info=outcome.error)
    told = [outcome for outcome in outcomes if outcome.record is not None]
    step = context.get_step_execution_context()
    blank = DagsterEvent(
        event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
        job_name=step.job_name,
        step_handle=step.step.handle,
        node_handle=step.step.node_handle,
        step_kind_value=step.step.kind.value,
        logging_tags=step.event_tags,
        event_specific_data=StepMaterializationData(dg.AssetMaterialization(checks.REBALANCE_SUCCEEDED.asset_key)),
        pid=os.getpid(),
    )
    for event, place in in_one_write([_materialized(blank, outcome) for outcome in told]):
        context.instance.report_dagster_event(event, context.run_id, logging.DEBUG, place)
    for event, place in in_one_write([_judged(blank, each) for outcome in told for each in _evaluations(outcome)]):
        context.instance.report_dagster_event(event, context.run_id, logging.DEBUG, place)


def _materialized(blank: DagsterEvent, outcome: Outcome) -> DagsterEvent:
    """The event that `DagsterEvent.asset_materialization` would log."""
    materialization = _materialization(outcome)
    return blank._replace(
        event_specific_data=StepMaterializationData(materialization),
        message=f"Materialized value {materialization.label}.",
    )


def _judged(blank: DagsterEvent, evaluation: dg.AssetCheckEvaluation) -> DagsterEvent:
    return blank._replace(
        event_type_value=DagsterEventType.ASSET_CHECK_EVALUATION.value,
        event_specific_data=evaluation,
        message=f"Asset check '{evaluation.check_name}' of '{evaluation.partition}' "
        f"{'passed' if evaluation.passed else 'did not pass'}.",
    )


def _materialization(outcome: Outcome) -> dg.AssetMaterialization:
    if outcome.record is None:
        raise AssertionError("nothing was recorded")
    return dg.AssetMaterialization(
        checks.REBALANCE_SUCCEEDED.asset_key,
        partition=outcome.portfolio,
        metadata=record_figures(outcome.record),
    )


def _evaluations(outcome: Outcome) -> Iterator[dg.AssetCheckEvaluation]:
    if outcome.record is None:
        return
    yield checks.evaluation(checks.rebalance_succeeded(outcome.record), outcome.portfolio)
    if outcome.after:
        done = finished(outcome.record, outcome.before, outcome.after)
        result = checks.drift_not_increased(done.distance_before, done.distance_after, done.allowance)
        yield checks.evaluation(result, outcome.portfolio)


def in_one_write(items: Sequence[_Item]) -> Iterator[tuple[_Item, DagsterEventBatchMetadata]]:
    """Each with its place in a batch of events, which Dagster stores when the last has come."""
    batch_id = generate_event_batch_id()
    for place, item in enumerate(items, start=1):
        yield item, DagsterEventBatchMetadata(batch_id, place == len(items))
