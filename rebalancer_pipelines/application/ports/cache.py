"""Copies for quick reading.

Whatever becomes of them (lost, late, meddled with), only the speed may change: no price that trades, no decision and
no write ever rests on one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.portfolio import Account, Portfolio


@dataclass(frozen=True, slots=True)
class ListedPortfolio:
    """A portfolio with the name of its account, for people to look at."""

    portfolio: Portfolio
    account: str


@dataclass(frozen=True, slots=True)
class NotedError:
    """One line on what went wrong."""

    at: datetime
    line: str


class Cache(Protocol):
    """Never raises, and never takes more than a blink: what it does not have is read where it is stored."""

    def portfolios(self, load: Callable[[], Sequence[ListedPortfolio]]) -> Sequence[ListedPortfolio]:
        """What `load` returns, or a copy of what it returned since a portfolio was last changed."""
        ...

    def forget_portfolios(self) -> None:
        """Drop the copies: a portfolio has changed."""
        ...

    def prices(self, account: Account, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """Prices that the account's venue and price source had some minutes ago; those that it has none of are absent.

        For displays, which say how old a price is, and to find what is worth reading prices for; never to trade on.
        """
        ...

    def keep_prices(self, account: Account, marks: Iterable[PriceMark]) -> None:
        """Keep prices that were just read, for some minutes."""
        ...

    def errors(self, limit: int) -> Sequence[NotedError]:
        """What went wrong last, newest first; the history of rebalances has it all."""
        ...

    def note_error(self, at: datetime, line: str) -> None:
        """Note what went wrong."""
        ...


class NoCache:
    """Implements `Cache` where there is none."""

    def portfolios(self, load: Callable[[], Sequence[ListedPortfolio]]) -> Sequence[ListedPortfolio]:
        """What is stored."""
        return load()

    def forget_portfolios(self) -> None:
        """Nothing to forget."""

    def prices(self, account: Account, symbols: Collection[str]) -> Mapping[str, PriceMark]:
        """None."""
        del account, symbols
        return {}

    def keep_prices(self, account: Account, marks: Iterable[PriceMark]) -> None:
        """Not kept."""

    def errors(self, limit: int) -> Sequence[NotedError]:
        """None."""
        del limit
        return ()

    def note_error(self, at: datetime, line: str) -> None:
        """Not noted."""
