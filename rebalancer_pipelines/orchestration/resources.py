"""Resources: how Dagster hands the program's adapters to its bodies.

Here: configuration that arrives as a resource, and its life during a run. Not here: what the adapters do, or any
decision about a rebalance.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from rebalancer_pipelines.adapters.assembly import open_ports
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.stage import Stage, load_stage
from rebalancer_pipelines.domain.errors import RebalancerError


class Rebalancer(dg.ConfigurableResource):
    """The use cases' ports over one database."""

    database_url: str

    @contextmanager
    def ports(self) -> Iterator[Ports]:
        """Ports for one step; a refusal of ours ends the step with its one line, and is never retried."""
        try:
            with open_ports(self.database_url) as ports:
                yield ports
        except RebalancerError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error

    @contextmanager
    def stage(self, context: dg.AssetExecutionContext) -> Iterator[tuple[Ports, Stage]]:
        """Ports, and the rebalance that this run has under way for the step's portfolio."""
        with self.ports() as ports:
            yield ports, load_stage(ports, context.run.run_id, context.partition_key)
