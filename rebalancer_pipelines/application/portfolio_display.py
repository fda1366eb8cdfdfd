"""Portfolios as people look at them: quick to read, and labelled where a figure is not of this moment.

Nothing here may decide anything: it reads through the cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from rebalancer_pipelines.application.ports import ListedPortfolio, Ports
from rebalancer_pipelines.domain.errors import DeniedError
from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.portfolio import Account, Holding, Portfolio
from rebalancer_pipelines.domain.valuation import required_symbols, value_holdings
from rebalancer_pipelines.domain.values import Currency


@dataclass(frozen=True, slots=True)
class Worth:
    """What a book is worth at prices that are `age` old, in valuation currency; None without prices: it is all cash."""

    amount: Decimal
    priced_at: datetime | None
    age: timedelta | None
    price_source: str | None
    recorded_at: datetime | None


def listed_portfolios(ports: Ports) -> Sequence[ListedPortfolio]:
    """Every portfolio, by name."""

    def load() -> Sequence[ListedPortfolio]:
        with ports.transactions() as work:
            accounts = {account.id: account.name for account in work.accounts.all()}
            return [ListedPortfolio(p, accounts[p.account_id]) for p in work.portfolios.all()]

    return ports.cache.portfolios(load)


def displayed_worth(
    ports: Ports, portfolio: Portfolio, account: Account, book: Mapping[Currency, Decimal]
) -> Worth | None:
    """What the book's managed currencies are worth at the newest prices that the program has read, without asking
    anybody; None while it has not read them all.
    """
    symbols = required_symbols(portfolio.weights, portfolio.valuation_currency)
    prices = dict(ports.cache.prices(account, symbols))
    missing = [symbol for symbol in symbols if symbol not in prices]
    if missing:
        with ports.transactions() as work:
            prices.update(work.rebalances.newest_prices(account.id, missing))
    holdings = {currency: Holding(amount, amount) for currency, amount in book.items()}
    try:
        amount = value_holdings(portfolio.weights, portfolio.valuation_currency, holdings, prices).value
    except DeniedError:
        return None
    return _worth(amount, list(prices.values()), ports.clock.now())


def _worth(amount: Decimal, marks: Sequence[PriceMark], now: datetime) -> Worth:
    oldest = min((mark.observed_at for mark in marks), default=None)
    return Worth(
        amount=amount,
        priced_at=oldest,
        age=max(timedelta(0), now - oldest) if oldest else None,
        price_source=", ".join(sorted({mark.source for mark in marks})) or None,
        recorded_at=min((mark.recorded_at for mark in marks if mark.recorded_at), default=None),
    )
