"""The demo: a paper account on the recorded market with three portfolios, so that a first start shows something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rebalancer_pipelines.application.accounts import NewAccount, open_account
from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.values import Currency

ACCOUNT = "demo"
_EUR = Currency("EUR")


@dataclass(frozen=True, slots=True)
class _DemoPortfolio:
    fields: dict[str, Any]
    money: Decimal


_PORTFOLIOS = (
    _DemoPortfolio(
        {
            "name": "demo-balanced",
            "account": ACCOUNT,
            "weights": "BTC=50,ETH=30,EUR=20",
            "description": "Two large currencies and a cushion of cash, brought back once a week.",
            "interval": "weekly",
            "enabled": True,
        },
        Decimal(10_000),
    ),
    _DemoPortfolio(
        {
            "name": "demo-equal",
            "account": ACCOUNT,
            "weights": "BTC,ETH,LTC,XRP,EOS",
            "description": "Five currencies in equal shares, brought back every hour.",
            "interval": "hourly",
            "enabled": True,
        },
        Decimal(5_000),
    ),
    _DemoPortfolio(
        {
            "name": "demo-bands",
            "account": ACCOUNT,
            "weights": "BTC=60,ETH=25,LTC=10,EUR=5",
            "description": "Looked at every month, and traded only once a weight has left its band of 5 points.",
            "interval": "monthly",
            "band": "5",
            "enabled": True,
        },
        Decimal(25_000),
    ),
)


def seed_demo(ports: Ports) -> None:
    """Create what is missing of the demo, unless the user has an account of their own already."""
    with ports.transactions() as work:
        accounts = {account.name for account in work.accounts.all()}
        portfolios = {portfolio.name for portfolio in work.portfolios.all()}
    if accounts - {ACCOUNT}:
        return
    if ACCOUNT not in accounts:
        deposits = {_EUR: sum((demo.money for demo in _PORTFOLIOS), Decimal(0))}
        open_account(ports, NewAccount(ACCOUNT, "paper", "recorded", deposits=deposits))
    for demo in _PORTFOLIOS:
        if demo.fields["name"] not in portfolios:
            create_portfolio(ports, demo.fields, allocations={_EUR: demo.money})


def demo_portfolios_to_rebalance(ports: Ports) -> list[str]:
    """The demo portfolios that were never rebalanced yet."""
    names = {demo.fields["name"] for demo in _PORTFOLIOS}
    with ports.transactions() as work:
        return [p.name for p in work.portfolios.all() if p.name in names and p.last_rebalanced_at is None]


def demo_deposits(ports: Ports) -> dict[str, Mapping[Currency, Decimal]]:
    """The demo portfolios that have been tried at least once, each with the play money that it began with.

    One that somebody has made again elsewhere under the same name is none of the demo.
    """
    found: dict[str, Mapping[Currency, Decimal]] = {}
    with ports.transactions() as work:
        stored = {portfolio.name: portfolio for portfolio in work.portfolios.all()}
        for demo in _PORTFOLIOS:
            portfolio = stored.get(demo.fields["name"])
            if portfolio is None or work.accounts.by_id(portfolio.account_id).name != ACCOUNT:
                continue
            if work.history.newest(portfolio.id, 1, rehearsed=False):
                found[portfolio.name] = {_EUR: demo.money}
    return found
