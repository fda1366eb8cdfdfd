"""What every stage of a rebalance does alike: load what it works on, keep the lease, record why it failed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from rebalancer_pipelines.application.lease import release_lease, renew_lease
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.close import close_rebalance
from rebalancer_pipelines.domain.errors import DeniedError, LeaseLostError, RebalancerError
from rebalancer_pipelines.domain.portfolio import Account, Portfolio
from rebalancer_pipelines.domain.rebalance import Rebalance, RebalanceStatus


@dataclass(frozen=True, slots=True)
class Stage:
    """A rebalance under way, with its portfolio and account as they are stored now."""

    rebalance: Rebalance
    portfolio: Portfolio
    account: Account


def load_stage(ports: Ports, dagster_run_id: str, portfolio_name: str) -> Stage:
    """The active rebalance that a run started for a portfolio. Raises `RebalancerError` when there is none."""
    with ports.transactions() as work:
        portfolio = work.portfolios.get(portfolio_name)
        rebalance = work.rebalances.of_run(dagster_run_id, portfolio.id)
        if rebalance is None:
            raise RebalancerError(
                f"run {dagster_run_id} has not started a rebalance of {portfolio_name}; "
                "launch the job 'rebalance', which begins with account_balances"
            )
        if rebalance.status is RebalanceStatus.FINISHED:
            raise RebalancerError(
                f"the rebalance of {portfolio_name} in run {dagster_run_id} is closed; launch a new run instead"
            )
        return Stage(rebalance, portfolio, work.accounts.by_id(portfolio.account_id))


@contextmanager
def recording_failure(ports: Ports, stage: Stage) -> Generator[None]:
    """Keep the lease alive, and see to it that a stage which raises leaves its history row.

    With an order that may be at the venue the row has to wait for the order's fate: the account is given back, and
    recovery settles the order and writes the row before anything else is planned there. After `LeaseLostError` the
    new holder does so.
    """
    rebalance = stage.rebalance
    try:
        renew_lease(ports, stage.account, rebalance.lease)
        yield
    except LeaseLostError:
        raise
    except BaseException as error:
        with ports.transactions() as work:
            in_flight = any(o.state.may_be_at_venue for o in work.orders.of_rebalance(rebalance.id))
        if in_flight and not rebalance.dry_run:
            release_lease(ports, rebalance.lease)
        else:
            close_rebalance(ports, rebalance, error)
        raise


def denial_of(ports: Ports, stage: Stage, gate: Callable[[], None]) -> DeniedError | None:
    """Pass a gate. A refusal closes the rebalance and is returned, so that whoever called can show it as a check."""
    try:
        with recording_failure(ports, stage):
            gate()
    except DeniedError as denied:
        return denied
    return None
