"""A plan under the account's risk limits: its policy before planning, its denials after it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from rebalancer_pipelines.application.ports import Ports, UnitOfWork
from rebalancer_pipelines.domain import risk
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.market import FeeSchedule
from rebalancer_pipelines.domain.plan import RebalancePlan
from rebalancer_pipelines.domain.portfolio import Account, Portfolio
from rebalancer_pipelines.domain.values import Currency

_DAY = timedelta(days=1)


def portfolio_within_limits(portfolio: Portfolio, account: Account, fees: FeeSchedule) -> Portfolio:
    """The portfolio as its account lets it be planned: with the larger of the two cash reserves."""
    reserve = max(portfolio.policy.cash_reserve, risk.cash_reserve(account.settings, fees))
    return replace(portfolio, policy=replace(portfolio.policy, cash_reserve=reserve))


def denials_of_plan(
    ports: Ports,
    work: UnitOfWork,
    account: Account,
    plan: RebalancePlan,
    fees: FeeSchedule,
    *,
    confirmed: Collection[DenialReason] = (),
) -> Sequence[DeniedError]:
    """Every limit of the account that a live run of the plan would break, those confirmed aside."""
    sent = sent_within_a_day(ports, work, account, plan.valuation_currency)
    denials = risk.plan_denials(plan, account.settings, fees, sent_today=sent)
    return [denial for denial in denials if denial.reason not in confirmed]


def sent_within_a_day(ports: Ports, work: UnitOfWork, account: Account, currency: Currency) -> Decimal:
    """What the account's live orders of the last 24 hours come to, in one quote currency."""
    return work.orders.notional_sent(account.id, currency, ports.clock.now() - _DAY)
