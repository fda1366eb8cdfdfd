"""Resources: how Dagster hands the program's adapters to its bodies.

Here: configuration that arrives as a resource, and its life during a run. Not here: what the adapters do, or any
decision about a rebalance.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg
from pydantic import PrivateAttr

from rebalancer_pipelines.adapters.assembly import open_ports
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.stage import Stage, load_stage
from rebalancer_pipelines.domain.errors import RebalancerError


class Rebalancer(dg.ConfigurableResource):
    """The use cases' ports over one database.

    They are opened when they are first used and live as long as the run: its steps share connections, and the rules of
    the markets, which a venue is asked for once a run. `data_dir` None: the environment names it.
    """

    database_url: str
    data_dir: str | None = None

    _stack: ExitStack | None = PrivateAttr(default=None)
    _ports: Ports | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """Begin a run."""
        self._stack = ExitStack()

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """Close what the run has opened."""
        stack, self._stack, self._ports = self._stack, None, None
        if stack is not None:
            stack.close()

    @contextmanager
    def ports(self) -> Iterator[Ports]:
        """Ports for one step; a refusal of ours ends the step with its one line, and is never retried."""
        try:
            if self._ports is None:
                if self._stack is None:
                    raise AssertionError("Dagster sets a resource up before it is used")
                folder = Path(self.data_dir) if self.data_dir else None
                self._ports = self._stack.enter_context(open_ports(self.database_url, folder))
            yield self._ports
        except RebalancerError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error

    @contextmanager
    def stage(self, context: dg.AssetExecutionContext) -> Iterator[tuple[Ports, Stage]]:
        """Ports, and the rebalance that this run has under way for the step's portfolio."""
        with self.ports() as ports:
            yield ports, load_stage(ports, context.run.run_id, context.partition_key)
