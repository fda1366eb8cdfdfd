"""Planning the portfolios of one account: one look at its balances, one at its prices, a plan for each, stored at once.

What is wrong with the account or its books is wrong for all of them; what is wrong with one plan, or with a market that
only some need, is theirs alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from rebalancer_pipelines.application.batch.attempt import Attempt
from rebalancer_pipelines.application.books import claim_for_sole_portfolio, portfolio_holdings
from rebalancer_pipelines.application.documents import plan_document
from rebalancer_pipelines.application.ports import Ports, UnitOfWork
from rebalancer_pipelines.application.rebalance.propose import check_sound, intent
from rebalancer_pipelines.application.rebalance.risk_limits import portfolio_within_limits, sent_within_a_day
from rebalancer_pipelines.application.rebalance.value_portfolio import check_drawdown, check_worth, peak_of, weigh
from rebalancer_pipelines.application.reconcile import Reconciliation, check_books, check_unallocated
from rebalancer_pipelines.domain import risk
from rebalancer_pipelines.domain.errors import DeniedError
from rebalancer_pipelines.domain.market import FeeSchedule, Market, PriceLimits, PriceMark, check_price
from rebalancer_pipelines.domain.planner import propose
from rebalancer_pipelines.domain.portfolio import Account, Portfolio
from rebalancer_pipelines.domain.rebalance import Lease, PlannedRebalance
from rebalancer_pipelines.domain.valuation import required_symbols, value_holdings
from rebalancer_pipelines.domain.values import EXACT, Currency, exact_sum


class AccountPlanner:
    """Plans for the portfolios of one account, on what was read of it."""

    def __init__(
        self,
        ports: Ports,
        account: Account,
        proof: Reconciliation,
        *,
        marks: Mapping[str, PriceMark],
        markets: Mapping[str, Market],
        fees: FeeSchedule,
        dry_run: bool,
    ) -> None:
        self._ports = ports
        self._account = account
        self._proof = proof
        self._marks = marks
        self._markets = markets
        self._fees = fees
        self._dry_run = dry_run
        self._sent_today: dict[Currency, Decimal] = {}

    def plan(self, attempts: Sequence[Attempt], lease: Lease) -> None:
        """Plan all and store what was planned. Raises `DeniedError` for what is wrong with the account."""
        with self._ports.transactions() as work:
            work.accounts.fence(lease)
            claim_for_sole_portfolio(work, self._account, self._ports.clock.now())
            books, owners = work.ledger.books(self._account.id), work.portfolios.count_on_account(self._account.id)
            work.commit()
        check_books(self._ports, self._account, self._proof.differences)
        check_unallocated(self._account, books, owners)
        unfit = self._unfit_markets()
        with self._ports.transactions() as work:
            for attempt in attempts:
                try:
                    self._plan_one(work, attempt, books.of(attempt.portfolio.id), unfit)
                except Exception as error:  # noqa: BLE001 - one failing portfolio never stops another
                    attempt.error = error
        planned = [
            PlannedRebalance(
                attempt.rebalance, self._proof.balances, self._marks_of(attempt.portfolio), attempt.before, plan
            )
            for attempt in attempts
            if (plan := attempt.plan) is not None
        ]
        with self._ports.transactions() as work:
            work.accounts.renew_lease(lease, self._account.settings.lease)
            work.rebalances.add_planned(planned)
            work.orders.add([order for attempt in attempts for order in attempt.orders])
            work.commit()

    def _marks_of(self, portfolio: Portfolio) -> list[PriceMark]:
        return [self._marks[symbol] for symbol in required_symbols(portfolio.weights, portfolio.valuation_currency)]

    def _unfit_markets(self) -> dict[str, DeniedError]:
        """Markets whose prices must not be traded on, with the refusal."""
        unfit: dict[str, DeniedError] = {}
        limits = PriceLimits(max_age=self._account.settings.quote_age)
        for symbol, mark in self._marks.items():
            try:
                check_price(mark, symbol, now=self._ports.clock.now(), limits=limits)
            except DeniedError as denied:
                unfit[symbol] = denied
        if self._dry_run or self._account.settings.max_price_jump is None:
            return unfit
        with self._ports.transactions() as work:
            previous = work.rebalances.newest_prices(self._account.id, list(self._marks))
        for symbol in self._marks:
            mark = {symbol: self._marks[symbol]}
            for denial in risk.price_jumps(mark, previous, self._account.settings):
                unfit.setdefault(symbol, denial)
        return unfit

    def _plan_one(
        self, work: UnitOfWork, attempt: Attempt, book: Mapping[Currency, Decimal], unfit: Mapping[str, DeniedError]
    ) -> None:
        portfolio, account, now = attempt.portfolio, self._account, self._ports.clock.now()
        quote = portfolio.valuation_currency
        symbols = required_symbols(portfolio.weights, quote)
        for symbol in symbols:
            if symbol in unfit:
                raise unfit[symbol]
            check_price(self._marks.get(symbol), symbol, now=now, limits=PriceLimits(account.settings.quote_age))
        holdings = portfolio_holdings(book, self._proof.balances)
        valuation = value_holdings(portfolio.weights, quote, holdings, self._marks)
        attempt.before = weigh(portfolio, valuation, holdings, self._marks)
        attempt.rebalance = replace(attempt.rebalance, portfolio_value=valuation.value)
        check_worth(portfolio, valuation.value, quote)
        if not self._dry_run and account.settings.max_drawdown is not None:
            check_drawdown(self._ports, account, valuation, attempt.before, peak_of(work, portfolio, now))
        allowed = portfolio_within_limits(portfolio, account, self._fees)
        attempt.reserve = EXACT.multiply(valuation.value, allowed.policy.cash_reserve)
        plan = propose(allowed, holdings, self._marks, self._markets, self._fees)
        check_sound(portfolio.name, plan, self._marks)
        sent = self._sent(work, quote)
        denials = risk.plan_denials(plan, account.settings, self._fees, sent_today=sent)
        attempt.plan = plan_document(portfolio.name, plan, {s: self._marks[s] for s in symbols}, denials)
        attempt.rebalance = replace(attempt.rebalance, plan_hash=plan.plan_hash)
        attempt.orders = [
            intent(
                attempt.rebalance.id,
                sequence,
                order,
                self._markets[order.symbol],
                self._marks[order.symbol],
                account.settings,
            )
            for sequence, order in enumerate(plan.orders)
        ]
        if denials and not self._dry_run:
            raise denials[0]
        self._sent_today[quote] = EXACT.add(sent, exact_sum(order.notional for order in plan.orders))

    def _sent(self, work: UnitOfWork, currency: Currency) -> Decimal:
        """What the account has traded within a day, with what the plans before this one are going to."""
        if currency not in self._sent_today:
            self._sent_today[currency] = sent_within_a_day(self._ports, work, self._account, currency)
        return self._sent_today[currency]
