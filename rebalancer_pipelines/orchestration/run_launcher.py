"""Launching runs on warm workers; `rebalancer up --workers` puts this launcher into Dagster's settings.

Here: how a run is sent and taken back. Not here: the queue (`run_queue`), what a worker does with a run (`run_worker`).
"""

from collections.abc import Mapping
from typing import Any, cast

import dagster as dg
from dagster._core.launcher import LaunchRunContext
from dagster._serdes import ConfigurableClassData
from dagster_celery.launcher import CeleryRunLauncher
from kombu.exceptions import OperationalError

from rebalancer_pipelines.domain.errors import RebalancerError
from rebalancer_pipelines.orchestration.run_queue import RUN_TASK, SETTINGS, queue_name


class WorkerRunLauncher(CeleryRunLauncher):
    """Dagster's Celery launcher, which sends no more than the run's id.

    The original sends the paths of the sending machine, and writes the run's tags after it has sent it, while a warm
    worker is writing them, too. It asks a result backend whether a run still lives; here the account's lease says so.
    """

    def __init__(self, broker: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(default_queue="runs", broker=broker, backend=None, config_source=SETTINGS, inst_data=inst_data)

    @classmethod
    def config_type(cls) -> Any:
        """`broker`: the address of Redis."""
        return {"broker": dg.Field(dg.StringSource, description="The address of Redis.")}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> "WorkerRunLauncher":
        """The launcher that the settings describe."""
        return cls(inst_data=inst_data, **config_value)

    @property
    def supports_resume_run(self) -> bool:
        """A run is never begun twice: recovery is the order protocol's."""
        return False

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Dead runs are found by the sensor `abandoned_rebalances`."""
        return False

    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> str | None:  # noqa: ARG002
        """Nothing that the run's tags do not say."""
        return None

    def launch_run(self, context: LaunchRunContext) -> None:
        """Send a run to whichever worker is free first. Raises `RebalancerError` when Redis does not take it."""
        self._send(context.dagster_run, "Sent to the workers.")

    def send_again(self) -> None:
        """Send all runs that no worker has begun yet once more: the Redis in which they waited has been lost.

        However often a run is sent, it is executed once. Raises `RebalancerError` when Redis does not take one.
        """
        for run in self._instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING])):
            self._send(run, "Sent to the workers again.")

    def terminate(self, run_id: str) -> bool:
        """End a run, or take it back before it begins; what it has sent to a venue is settled by recovery."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        try:
            cast("Any", self.celery.control).revoke(run_id, terminate=True)
        except OperationalError as error:
            self._instance.report_engine_event(str(_unreachable(error)), run, cls=self.__class__)
            return False
        self._instance.report_run_canceled(run)
        return True

    def _send(self, run: dg.DagsterRun, told: str) -> None:
        try:
            self.celery.send_task(RUN_TASK, (run.run_id,), task_id=run.run_id, queue=queue_name(self._instance))
        except OperationalError as error:
            raise _unreachable(error) from error
        self._instance.report_engine_event(told, run, cls=self.__class__)


def _unreachable(error: OperationalError) -> RebalancerError:
    return RebalancerError(f"REDIS_URL: Redis does not answer ({type(error.__cause__ or error).__name__}); start it")
