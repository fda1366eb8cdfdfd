"""One account's part of a batch: held once, planned, netted, executed and recorded together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from rebalancer_pipelines.application.batch.attempt import AccountTask, Attempt, Outcome, new_attempt
from rebalancer_pipelines.application.batch.netted_execution import NettedExecution, SharedPurse
from rebalancer_pipelines.application.batch.plan_account import AccountPlanner
from rebalancer_pipelines.application.batch.prices import PriceBoard
from rebalancer_pipelines.application.books import portfolio_holdings
from rebalancer_pipelines.application.claims import end_answered_claims
from rebalancer_pipelines.application.lease import release_lease
from rebalancer_pipelines.application.ports import Ports, UnitOfWork, Venue
from rebalancer_pipelines.application.rebalance.close import (
    NEVER_SENT,
    note_errors,
    record_of,
    record_refusals,
    store_records,
)
from rebalancer_pipelines.application.rebalance.dry_run_venue import DryRunVenue
from rebalancer_pipelines.application.rebalance.hold import hold_account
from rebalancer_pipelines.application.rebalance.net_orders import end_net_orders, end_of_unsettled
from rebalancer_pipelines.application.rebalance.order_run import OrderRun
from rebalancer_pipelines.application.rebalance.quotes import Quotes
from rebalancer_pipelines.application.rebalance.value_portfolio import weigh
from rebalancer_pipelines.application.rebalance.wallet import Wallet
from rebalancer_pipelines.application.reconcile import check_books, reconcile
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, LeaseLostError
from rebalancer_pipelines.domain.ledger import Books
from rebalancer_pipelines.domain.market import FeeSchedule, PriceMark
from rebalancer_pipelines.domain.order import Order, OrderState
from rebalancer_pipelines.domain.portfolio import Holding, Holdings
from rebalancer_pipelines.domain.rebalance import Lease
from rebalancer_pipelines.domain.valuation import required_symbols, value_holdings
from rebalancer_pipelines.domain.values import Currency

_TOO_LITTLE = DeniedError(
    DenialReason.DUST_SKIPPED,
    "no other portfolio could pay for what was to change hands, and what was left of it for the venue is below the "
    "venue's minimum; the next rebalance plans it anew",
)
_ANSWERED = "another rebalance has answered this due time"
_OPEN = "an order's fate is open; the row in the history follows when the venue shows what became of it"


def rebalance_account(ports: Ports, task: AccountTask, board: PriceBoard) -> list[Outcome]:
    """Rebalance the portfolios of one account; every one has an outcome, whatever becomes of the others."""
    account, started_at = task.account, ports.clock.now()
    try:
        lease, venue = hold_account(ports, account, dry_run=task.dry_run)
    except Exception as error:  # noqa: BLE001 - every portfolio gets its row, whatever it was
        nobody = Lease(account.id, 0)
        attempts = [new_attempt(task, portfolio, nobody, started_at) for portfolio in task.portfolios]
        refused = record_refusals(ports, account, [(a.portfolio, a.rebalance) for a in attempts], error)
        return [Outcome(portfolio.name, record, error=error) for portfolio, record in refused]
    try:
        return _Held(ports, task, board, lease, venue, started_at).run()
    finally:
        release_lease(ports, lease)


class _Held:
    """The same while the account is held."""

    def __init__(
        self,
        ports: Ports,
        task: AccountTask,
        board: PriceBoard,
        lease: Lease,
        venue: Venue,
        started_at: datetime,
    ) -> None:
        self._ports = ports
        self._task = task
        self._account = task.account
        self._board = board
        self._lease = lease
        self._venue = venue
        self._started_at = started_at
        self._marks: Mapping[str, PriceMark] = {}
        self._fees: FeeSchedule | None = None
        self._quantities: Mapping[UUID, Mapping[Currency, Decimal]] = {}
        self._stopped_by: DeniedError | None = None
        self._is_executed = False

    def run(self) -> list[Outcome]:
        answered = self._answered()
        attempts = [
            new_attempt(self._task, portfolio, self._lease, self._started_at)
            for portfolio in self._task.portfolios
            if portfolio.id not in answered
        ]
        done = [Outcome(p.name, None, note=_ANSWERED) for p in self._task.portfolios if p.id in answered]
        if not attempts:
            return done
        try:
            self._plan(attempts)
        except LeaseLostError as error:
            return [*done, *_unrecorded(attempts, error)]
        except Exception as error:  # noqa: BLE001 - nothing was sent: every portfolio gets its row
            _fail(attempts, error)
        else:
            self._trade(attempts)
        try:
            return [*done, *self._close(attempts)]
        except Exception as error:  # noqa: BLE001 - recovery settles what was sent, and writes the rows
            return [*done, *_unrecorded(attempts, error)]

    def _trade(self, attempts: Sequence[Attempt]) -> None:
        """Execute what was planned and look at what followed; whatever goes wrong is every attempt's error."""
        try:
            if self._execute([attempt for attempt in attempts if attempt.error is None]):
                self._see_what_followed(attempts)
        except Exception as error:  # noqa: BLE001 - what was sent decides whether the rows can be written
            _fail(attempts, error)

    def _answered(self) -> Collection[UUID]:
        """Portfolios whose due time another rebalance has answered; their claims end here."""
        with self._ports.transactions() as work:
            answered = work.rebalances.answered(self._task.scheduled_for, dry_run=self._task.dry_run)
            due = {portfolio_id: self._task.scheduled_for[portfolio_id] for portfolio_id in answered}
            end_answered_claims(work, due, self._ports.clock.now())
            work.commit()
        return answered

    def _plan(self, attempts: Sequence[Attempt]) -> None:
        portfolios = [attempt.portfolio for attempt in attempts]
        symbols = sorted({s for p in portfolios for s in required_symbols(p.weights, p.valuation_currency)})
        proof = reconcile(self._ports, self._account, self._lease, self._venue)
        # What the venue does not list any more is refused to those who need it, not to everybody.
        markets = self._venue.markets()
        symbols = [symbol for symbol in symbols if symbol in markets]
        self._fees = self._venue.fees(symbols)
        self._marks = self._board.read(self._account, self._venue, symbols)
        planner = AccountPlanner(
            self._ports,
            self._account,
            proof,
            marks=self._marks,
            markets=markets,
            fees=self._fees,
            dry_run=self._task.dry_run,
        )
        planner.plan(attempts, self._lease)

    def _execute(self, attempts: Sequence[Attempt]) -> bool:
        """Trade what was planned; returns whether every order's fate is known."""
        orders = [order for attempt in attempts for order in attempt.orders]
        if not orders or self._fees is None:
            return True
        wallets = {
            attempt.rebalance.id: Wallet(attempt.before, self._fees, reserve=attempt.reserve) for attempt in attempts
        }
        desk = DryRunVenue(self._venue, self._fees, self._ports.clock) if self._task.dry_run else self._venue
        purse = SharedPurse(self._ports, wallets)
        quotes = Quotes(self._marks, self._venue, self._ports.clock, self._account.settings)
        run = OrderRun(self._ports, self._account, self._lease, desk, purse, quotes, dry_run=self._task.dry_run)
        execution = NettedExecution(
            self._ports,
            self._account,
            self._lease,
            orders,
            marks=self._marks,
            markets=self._venue.markets(),
            dry_run=self._task.dry_run,
        )
        execution.execute(run, purse)
        self._stopped_by = run.denial
        self._is_executed = run.stopped_by() is None
        self._quantities = {rebalance_id: wallet.quantities for rebalance_id, wallet in wallets.items()}
        return all(order.state.is_terminal for order in run.ended.values())

    def _see_what_followed(self, attempts: Sequence[Attempt]) -> None:
        """Prove once more that books and venue agree, and weigh every portfolio as it is now."""
        books: Books = Books({}, {})
        balances: Holdings = {}
        if not self._task.dry_run:
            proof = reconcile(self._ports, self._account, self._lease, self._venue)
            if not self._account.is_paper:
                check_books(self._ports, self._account, proof.differences)
            books, balances = proof.books, proof.balances
        for attempt in attempts:
            if attempt.plan is None:
                continue
            portfolio = attempt.portfolio
            untouched = {position.currency: position.quantity for position in attempt.before}
            holdings: Holdings = (
                {c: Holding(q, q) for c, q in self._quantities.get(attempt.rebalance.id, untouched).items()}
                if self._task.dry_run
                else portfolio_holdings(books.of(portfolio.id), balances)
            )
            valuation = value_holdings(portfolio.weights, portfolio.valuation_currency, holdings, self._marks)
            attempt.after = weigh(portfolio, valuation, holdings, self._marks)

    def _close(self, attempts: Sequence[Attempt]) -> list[Outcome]:
        """Write what stays of all, in one transaction; nothing while the fate of an order is open."""
        now = self._ports.clock.now()
        stored = {attempt.rebalance.id: attempt.after for attempt in attempts if attempt.plan is not None}
        with self._ports.transactions() as work:
            work.accounts.fence(self._lease)
            if not self._task.dry_run and work.orders.possibly_at_venue(self._account.id):
                return [Outcome(a.portfolio.name, None, note=_OPEN, error=a.error) for a in attempts]
            orders = self._end_orders(work, attempts)
            self._blame_what_stopped(attempts, orders)
            work.rebalances.finish_together(stored, now)
            records = [
                (
                    attempt.portfolio,
                    record_of(
                        attempt.rebalance,
                        attempt.portfolio,
                        orders.get(attempt.rebalance.id, []),
                        attempt.plan,
                        attempt.error,
                        price_source=self._account.price_source,
                        now=now,
                        fees=self._fees,
                    ),
                )
                for attempt in attempts
            ]
            store_records(work, records)
            work.commit()
        for portfolio, record in records:
            note_errors(self._ports, portfolio, record)
        return [
            Outcome(a.portfolio.name, record, error=a.error, before=a.before, after=a.after)
            for a, (_, record) in zip(attempts, records, strict=True)
        ]

    def _end_orders(self, work: UnitOfWork, attempts: Sequence[Attempt]) -> Mapping[UUID, list[Order]]:
        """End what rode on a net order and what was never sent; returns all orders by rebalance."""
        planned = {attempt.rebalance.id: attempt for attempt in attempts if attempt.plan is not None}
        orders = work.orders.of_rebalances(list(planned))
        net_orders = end_net_orders(work, self._account.id, orders, NEVER_SENT, dry_run=self._task.dry_run)
        ended: list[tuple[Order, OrderState, str | None]] = []
        by_rebalance: dict[UUID, list[Order]] = defaultdict(list)
        for order in orders:
            owner = order.rebalance_id
            if owner is None:
                continue
            end = end_of_unsettled(
                order, net_orders, dry_run=self._task.dry_run, unsent=self._end_of_unsent(planned[owner])
            )
            if end is not None:
                ended.append(end)
                order = replace(order, state=end[1], reason=end[2] or order.reason)  # noqa: PLW2901
            by_rebalance[owner].append(order)
        work.orders.end_many(ended)
        return by_rebalance

    def _end_of_unsent(self, attempt: Attempt) -> tuple[OrderState, str]:
        if self._is_executed and attempt.error is None:
            return OrderState.DENIED, str(_TOO_LITTLE)
        return OrderState.VOID, NEVER_SENT

    def _blame_what_stopped(self, attempts: Sequence[Attempt], orders: Mapping[UUID, Sequence[Order]]) -> None:
        """What stopped the orders is the error of those portfolios whose orders it stopped."""
        for attempt in attempts:
            untraded = any(not order.fills for order in orders.get(attempt.rebalance.id, ()))
            if attempt.error is None and untraded:
                attempt.error = self._stopped_by


def _fail(attempts: Sequence[Attempt], error: BaseException) -> None:
    for attempt in attempts:
        attempt.error = attempt.error or error


def _unrecorded(attempts: Sequence[Attempt], error: BaseException) -> list[Outcome]:
    return [Outcome(attempt.portfolio.name, None, note=_OPEN, error=error) for attempt in attempts]
