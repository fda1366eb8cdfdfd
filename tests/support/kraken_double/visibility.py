"""What the API shows of the truth, and when: orders and trades that appear late, lists in disorder, old balances."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from tests.support.kraken_double.amounts import EXACT
from tests.support.kraken_double.exchange import Exchange
from tests.support.kraken_double.records import LedgerLine, Order, Trade

_Shown = TypeVar("_Shown")


@dataclass(slots=True)
class Visibility:
    """Lags are counted from an order's acceptance or a trade's execution, by the double's clock.

    Without a lag all is shown, also after that clock was set back.
    """

    exchange: Exchange
    order_lag: timedelta = timedelta(0)
    trade_lag: timedelta = timedelta(0)
    balance_lag: timedelta = timedelta(0)
    shuffled: bool = False
    repeated: bool = False
    shuffler: random.Random = field(default_factory=lambda: random.Random(7))

    def orders(self, now: datetime) -> list[Order]:
        lag = self.order_lag
        return [order for order in self.exchange.orders if not lag or now - order.accepted_at >= lag]

    def trades(self, now: datetime) -> list[Trade]:
        return [trade for trade in self.exchange.trades if self._is_shown(trade, now)]

    def trade_ids(self, order: Order, now: datetime) -> list[str]:
        """The ids that an order lists: the trades shown by now, in disorder or twice if a test wants that."""
        return self.in_disorder([trade.id for trade in order.trades if self._is_shown(trade, now)], repeat=True)

    def lines(self, now: datetime) -> list[LedgerLine]:
        hidden = {trade.id for trade in self.exchange.trades if not self._is_shown(trade, now)}
        return [line for line in self.exchange.ledger.lines if line.refid not in hidden]

    def balances(self, now: datetime) -> dict[str, Decimal]:
        """Totals by Kraken's asset id, as they were before the trades that are younger than the lag."""
        totals = self.exchange.ledger.balances()
        if not self.balance_lag:
            return totals
        young = {trade.id for trade in self.exchange.trades if now - trade.executed_at < self.balance_lag}
        for line in self.exchange.ledger.lines:
            if line.refid in young:
                totals[line.asset] = EXACT.subtract(totals[line.asset], EXACT.subtract(line.amount, line.fee))
        return totals

    def in_disorder(self, items: Sequence[_Shown], *, repeat: bool = False) -> list[_Shown]:
        shown = [*items, *items] if repeat and self.repeated else list(items)
        if self.shuffled:
            self.shuffler.shuffle(shown)
        return shown

    def _is_shown(self, trade: Trade, now: datetime) -> bool:
        """An order's trades appear one after another: the second takes twice as long as the first."""
        return not self.trade_lag or now - trade.executed_at >= self.trade_lag * trade.nth_of_order
