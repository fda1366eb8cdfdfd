"""The embedded servers that were killed under `rebalancer up`: they come back, and what they held is made good."""

from __future__ import annotations

from rebalancer_pipelines.adapters.embedded.services import running_cache, running_database
from rebalancer_pipelines.adapters.postgres.database import ping
from rebalancer_pipelines.adapters.redis.connection import answers
from rebalancer_pipelines.cli.launch import send_waiting_runs
from rebalancer_pipelines.cli.output import console
from rebalancer_pipelines.cli.session import Session
from rebalancer_pipelines.domain.errors import RebalancerError


def keep_cache(session: Session, *, for_workers: bool) -> bool:
    """Start our own Redis again when it was killed under us, and send again the runs that waited in it for a worker.

    Returns whether it is to be looked after further: without one, everything but workers goes on.
    """
    url = session.services.redis_url
    if url is None or not session.owns_cache:
        return False
    if answers(url):
        return True
    with running_cache(session.data_dir) as revived:
        if revived != url:
            if for_workers:
                raise RebalancerError("the embedded Redis, which the workers need, could not come back; start again")
            return False
    send_waiting_runs()
    console.print("The embedded Redis had stopped; it runs again.")
    return True


def revive_database(session: Session) -> None:
    """Start our own database again when it was killed under us; it comes back at its port, so its URL stays good."""
    if not session.owns_database:
        raise RebalancerError("the database that DATABASE_URL names has gone away; start again once it is back")
    with running_database(session.data_dir) as url:
        if url != session.services.database_url:
            raise RebalancerError("the embedded database had to move to another port; start again")
        ping(url)
    console.print("The embedded database had stopped; it runs again.")
