"""Looking orders up: many by their ids at once, others by our client id among open and closed ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from rebalancer_pipelines.adapters.venues.ccxt.kraken.catalogue import Catalogue
from rebalancer_pipelines.adapters.venues.ccxt.kraken.explanations import malformed
from rebalancer_pipelines.adapters.venues.ccxt.kraken.ledger import TRADE, LedgerLine, read_lines
from rebalancer_pipelines.adapters.venues.ccxt.kraken.order_evidence import Evidence, contradictory, venue_order
from rebalancer_pipelines.adapters.venues.ccxt.kraken.order_reports import (
    OrderReport,
    TradeReport,
    read_orders,
    read_trades,
)
from rebalancer_pipelines.adapters.venues.ccxt.kraken.private_api import PrivateApi
from rebalancer_pipelines.adapters.venues.ccxt.kraken.reply import MalformedReplyError, table
from rebalancer_pipelines.application.ports import OrderReference, VenueOrder

_MOST_ORDERS = 50
"""Ids that QueryOrders takes at once."""

_MOST_TRADES = 20
"""Ids that QueryTrades takes at once."""

_MARGIN = timedelta(hours=1)
"""How far before it was sent an order is looked for. Kraken would have refused its deadline if the clocks were further
apart; without any bound, every order the account ever closed would have to be read should the filter be ignored."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHAT = "orders"

_T = TypeVar("_T")


class OrderLookup:
    """Finds orders with their fills. Every method raises `VenueUnreachableError` when a look-up fails."""

    def __init__(self, api: PrivateApi, catalogue: Callable[[], Catalogue]) -> None:
        self._api = api
        self._catalogue = catalogue

    def find(self, references: Sequence[OrderReference]) -> dict[str, VenueOrder]:
        """What became of each order, by client id; one that Kraken does not show is absent."""
        if not references:
            return {}
        catalogue = self._catalogue()
        reports = self._reports(references)
        traded = [report for found in reports.values() for report in found if report.trade_ids]
        trades = self._trades(traded)
        lines = self._lines(traded, catalogue)
        answers: dict[str, VenueOrder] = {}
        for reference in references:
            match reports[reference.client_order_id]:
                case []:
                    continue
                case [report]:
                    evidence = Evidence(report, trades, lines)
                    answers[reference.client_order_id] = venue_order(reference, evidence, catalogue)
                case [first, *others]:
                    names = " and ".join(report.order_id for report in (first, *others))
                    answers[reference.client_order_id] = contradictory(
                        reference, first.order_id, f"kraken shows several orders under our id: {names}"
                    )
        return answers

    def _reports(self, references: Sequence[OrderReference]) -> Mapping[str, list[OrderReport]]:
        by_order_id = self._by_order_id([r.venue_order_id for r in references if r.venue_order_id])
        found: dict[str, list[OrderReport]] = {}
        for reference in references:
            if reference.venue_order_id is None:
                found[reference.client_order_id] = self._by_client_order_id(reference)
            else:
                report = by_order_id.get(reference.venue_order_id)
                found[reference.client_order_id] = [report] if report else []
        return found

    def _by_order_id(self, order_ids: Sequence[str]) -> Mapping[str, OrderReport]:
        found: dict[str, OrderReport] = {}
        for some in _portions(order_ids, _MOST_ORDERS):
            asked = {"txid": ",".join(some), "trades": "true"}
            reports = self._api.read_as(_WHAT, "QueryOrders", asked, read_orders)
            found |= {report.order_id: report for report in reports}
        return found

    def _by_client_order_id(self, reference: OrderReference) -> list[OrderReport]:
        """Open orders first: one that closes between the two look-ups is then among the closed ones."""
        asked = {"cl_ord_id": reference.client_order_id, "trades": "true"}
        open_orders = self._api.read_as(_WHAT, "OpenOrders", asked, lambda result: read_orders(table(result, "open")))
        start = {"start": str((reference.sent_after - _MARGIN - _EPOCH) // timedelta(seconds=1))}
        closed = self._api.pages(_WHAT, "ClosedOrders", "closed", asked | start)
        found = {report.order_id: report for report in (*open_orders, *_understood(lambda: read_orders(closed)))}
        return [report for report in found.values() if report.client_order_id == reference.client_order_id]

    def _trades(self, reports: Sequence[OrderReport]) -> Mapping[str, TradeReport]:
        trade_ids = list(dict.fromkeys(trade_id for report in reports for trade_id in report.trade_ids))
        found: dict[str, TradeReport] = {}
        for some in _portions(trade_ids, _MOST_TRADES):
            asked = {"txid": ",".join(some)}
            trades = self._api.read_as(_WHAT, "QueryTrades", asked, read_trades)
            found |= {trade.trade_id: trade for trade in trades}
        return found

    def _lines(self, reports: Sequence[OrderReport], catalogue: Catalogue) -> Mapping[str, Sequence[LedgerLine]]:
        """The ledger's lines about trades since the oldest of these orders, by trade."""
        if not reports:
            return {}
        # Kraken reads whole seconds and leaves the first one out.
        start = (min(report.opened_at for report in reports) - _EPOCH) // timedelta(seconds=1) - 1
        entries = self._api.pages(_WHAT, "Ledgers", "ledger", {"type": TRADE, "start": str(start)})
        by_trade: dict[str, list[LedgerLine]] = defaultdict(list)
        for line in _understood(lambda: read_lines(entries, catalogue)):
            by_trade[line.reference].append(line)
        return by_trade


def _portions(ids: Sequence[str], most: int) -> list[Sequence[str]]:
    return [ids[start : start + most] for start in range(0, len(ids), most)]


def _understood(read: Callable[[], _T]) -> _T:
    try:
        return read()
    except MalformedReplyError as error:
        raise malformed(_WHAT, str(error)) from None
