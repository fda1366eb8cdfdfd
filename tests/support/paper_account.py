"""Accounts of play money at recorded prices."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from rebalancer_pipelines.application.accounts import NewAccount, open_account
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.values import Currency


def open_paper_account(
    ports: Ports,
    deposits: Mapping[Currency, Decimal],
    *,
    name: str = "main",
    prices: str = "recorded",
    settings: Mapping[str, str] | None = None,
) -> Account:
    """A paper account that holds these deposits, at `prices` of a source by this name."""
    return open_account(ports, NewAccount(name, "paper", prices, deposits=deposits, settings=settings or {}))
