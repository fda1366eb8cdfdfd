"""Kraken's balances by currency, whatever the forms are in which it keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rebalancer_pipelines.adapters.venues.ccxt.kraken.catalogue import Catalogue
from rebalancer_pipelines.adapters.venues.ccxt.kraken.reply import amount, number, rows
from rebalancer_pipelines.domain.portfolio import Holding
from rebalancer_pipelines.domain.values import EXACT, ZERO, Currency

_SPENDABLE = frozenset({None, "F"})
"""What orders in the plain currency can spend: that itself, and units that earn rewards on their own (.F)."""


def read_holdings(result: Mapping[str, Any], catalogue: Catalogue) -> dict[Currency, Holding]:
    """The result of BalanceEx, without currencies of which there is nothing.

    All forms of a currency count for its total. Only spendable ones are free, less what open orders hold.
    Raises `MalformedReplyError`.
    """
    totals: dict[Currency, Holding] = {}
    for asset, row in rows(result).items():
        form = catalogue.form_of(asset)
        balance, held = number(row, "balance"), amount(row, "hold_trade")
        free = EXACT.subtract(balance, held) if form.suffix in _SPENDABLE else ZERO
        before = totals.get(form.currency, Holding(ZERO, ZERO))
        totals[form.currency] = Holding(EXACT.add(before.total, balance), EXACT.add(before.free, free))
    return {
        currency: Holding(holding.total, max(ZERO, holding.free))
        for currency, holding in totals.items()
        if holding.total
    }
