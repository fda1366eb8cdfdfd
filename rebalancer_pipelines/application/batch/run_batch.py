"""A batch: many portfolios in one run, account by account, accounts side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rebalancer_pipelines.application.batch.account_batch import rebalance_account
from rebalancer_pipelines.application.batch.attempt import AccountTask, Outcome
from rebalancer_pipelines.application.batch.prices import PriceBoard
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.trading_mode import mode_of
from rebalancer_pipelines.domain.portfolio import Portfolio
from rebalancer_pipelines.domain.rebalance import RebalanceTimes, TriggeredBy

SIDE_BY_SIDE = 4
"""So many accounts are worked on at the same moment; one account never twice."""

_NO_ROW = "no row could be written; recovery settles what was begun"


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What a run is to do: portfolios by id, the due times that were claimed for them, and how."""

    portfolio_ids: Sequence[UUID]
    scheduled_for: Mapping[UUID, datetime]
    triggered_by: TriggeredBy
    dagster_run_id: str
    dry_run: bool = False


def claimed_request(ports: Ports, batch_id: UUID, dagster_run_id: str, *, dry_run: bool = False) -> BatchRequest | None:
    """The request that a batch's open claims make; None when all have their outcome.

    A batch may have waited: the claims of portfolios that nobody wants rebalanced by themselves any more end here.
    """
    with ports.transactions() as work:
        batch = work.claims.of_batch(batch_id)
        if batch is None:
            return None
        due = {claim.portfolio_id: claim.scheduled_for for claim in batch.claims}
        if batch.triggered_by is not TriggeredBy.MANUAL:
            unwanted = [p.id for p in work.portfolios.by_ids(due) if not p.enabled or p.paused_at is not None]
            # Their due times stay: whoever goes on is rebalanced for what was missed meanwhile.
            work.portfolios.mark_rebalanced([RebalanceTimes(one, None, None, due.pop(one)) for one in unwanted])
        work.commit()
    return BatchRequest(
        portfolio_ids=list(due),
        scheduled_for=due,
        triggered_by=batch.triggered_by,
        dagster_run_id=dagster_run_id,
        dry_run=dry_run,
    )


def named_request(ports: Ports, names: Sequence[str], dagster_run_id: str, *, dry_run: bool = False) -> BatchRequest:
    """The request of a person who names portfolios. Raises `NotFoundError` for one that is unknown."""
    with ports.transactions() as work:
        portfolios = [work.portfolios.get(name) for name in dict.fromkeys(names)]
    return BatchRequest([p.id for p in portfolios], {}, TriggeredBy.MANUAL, dagster_run_id, dry_run)


def is_left_behind(ports: Ports, batch_id: UUID) -> bool:
    """Whether nobody works on a batch that has claims open: no account of theirs is held."""
    with ports.transactions() as work:
        batch = work.claims.of_batch(batch_id)
        return batch is not None and not work.accounts.any_held({claim.account_id for claim in batch.claims})


def run_batch(ports: Ports, request: BatchRequest) -> Iterator[Sequence[Outcome]]:
    """Rebalance all, and yield the outcomes of an account's portfolios as it is done."""
    tasks = _tasks(ports, request)
    if not tasks:
        return
    board = PriceBoard(ports.clock)
    with ThreadPoolExecutor(min(SIDE_BY_SIDE, len(tasks)), thread_name_prefix="account") as pool:
        running = {pool.submit(rebalance_account, ports, task, board): task for task in tasks}
        for done in as_completed(running):
            error = done.exception()
            if error is None:
                yield done.result()
            else:
                yield [Outcome(p.name, None, note=_NO_ROW, error=error) for p in running[done].portfolios]


def _tasks(ports: Ports, request: BatchRequest) -> list[AccountTask]:
    with ports.transactions() as work:
        portfolios = work.portfolios.by_ids(request.portfolio_ids)
        accounts = {account.id: account for account in work.accounts.all()}
    by_account: dict[UUID, list[Portfolio]] = defaultdict(list)
    for portfolio in portfolios:
        by_account[portfolio.account_id].append(portfolio)
    return [
        AccountTask(
            account=accounts[account_id],
            portfolios=on_account,
            scheduled_for={p.id: request.scheduled_for[p.id] for p in on_account if p.id in request.scheduled_for},
            triggered_by=request.triggered_by,
            dagster_run_id=request.dagster_run_id,
            dry_run=mode_of(ports, accounts[account_id], dry_run=request.dry_run).is_dry_run,
        )
        for account_id, on_account in by_account.items()
    ]
