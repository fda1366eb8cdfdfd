"""From Kraken's reports to what became of an order: its fills as the ledger booked them, and whether that is all.

Nothing is booked from the order itself, whose cost and fee are cut off, nor from the trade's fee, which is told in
quote currency even when it was taken in base: the ledger is what changes balances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rebalancer_pipelines.adapters.venues.ccxt.kraken.catalogue import Catalogue
from rebalancer_pipelines.adapters.venues.ccxt.kraken.ledger import LedgerLine
from rebalancer_pipelines.adapters.venues.ccxt.kraken.order_reports import OrderReport, TradeReport
from rebalancer_pipelines.adapters.venues.ccxt.one_line import one_line
from rebalancer_pipelines.application.ports import OrderReference, VenueOrder
from rebalancer_pipelines.domain.order import Fill, LiquiditySide, OrderSide, OrderState, settled_state
from rebalancer_pipelines.domain.values import EXACT, ONE, ZERO, Currency, exact_sum, plain

_NO_TAKER = "nobody took the rest within its limit"


class ContradictionError(Exception):
    """What Kraken shows cannot be our order, or cannot be its trades."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was read about one order: its report, and by trade id the trades and what the ledger has about them.

    Those of other orders may be among them, and some of this one's may be missing.
    """

    report: OrderReport
    trades: Mapping[str, TradeReport]
    lines: Mapping[str, Sequence[LedgerLine]]


def venue_order(reference: OrderReference, evidence: Evidence, catalogue: Catalogue) -> VenueOrder:
    """Judge an order. A contradiction is told in the answer, with no fills."""
    report = evidence.report
    try:
        check_identity(reference, report, catalogue)
        fills, is_complete = _fills(reference, evidence, catalogue)
    except ContradictionError as error:
        return contradictory(reference, report.order_id, str(error))
    if report.ended_as is None:
        return VenueOrder(report.order_id, reference.client_order_id, fills, None)
    if not is_complete:
        return VenueOrder(report.order_id, reference.client_order_id, fills, None, report.reason, awaits_fills=True)
    otherwise = OrderState.CANCELED if report.ended_as is OrderState.FILLED else report.ended_as
    # Kraken ends an order that found no more takers as `canceled` and as `closed`: what was filled decides.
    closed_as = settled_state(reference.quantity, report.executed, otherwise)
    # Kraken gives no reason where the rest of an immediate order found nobody.
    reason = report.reason or (None if closed_as is OrderState.FILLED else _NO_TAKER)
    return VenueOrder(report.order_id, reference.client_order_id, fills, closed_as, reason)


def contradictory(reference: OrderReference, order_id: str, words: str) -> VenueOrder:
    """An order that a person has to look at."""
    return VenueOrder(order_id, reference.client_order_id, (), None, contradiction=one_line(words))


def check_identity(reference: OrderReference, report: OrderReport, catalogue: Catalogue) -> None:
    """Raise `ContradictionError` unless the report is about the order that was sent."""
    shown = f"kraken shows order {report.order_id} under our id"
    if report.client_order_id not in {None, reference.client_order_id}:
        raise ContradictionError(f"kraken's order {report.order_id} has another client id, {report.client_order_id}")
    if not _is_pair(report.pair, reference.symbol, catalogue):
        raise ContradictionError(f"{shown} in another market, {report.pair} instead of {reference.symbol}")
    if report.side is not reference.side:
        raise ContradictionError(f"{shown} as a {report.side.value}, which we sent as a {reference.side.value}")
    if report.quantity != reference.quantity:
        raise ContradictionError(f"{shown} of {plain(report.quantity)}, which we sent as {plain(reference.quantity)}")
    if report.executed > report.quantity:
        raise ContradictionError(f"{shown}, which traded {plain(report.executed)} of {plain(report.quantity)}")


def _fills(reference: OrderReference, evidence: Evidence, catalogue: Catalogue) -> tuple[tuple[Fill, ...], bool]:
    """The fills that trades and ledger lines prove by now, oldest first, and whether they are all there are."""
    report = evidence.report
    fills: list[Fill] = []
    for trade_id in report.trade_ids:
        trade = evidence.trades.get(trade_id)
        if trade is None:
            continue
        if (trade.order_id, trade.side) != (report.order_id, report.side):
            raise ContradictionError(f"trade {trade_id} of order {report.order_id} is that of {trade.order_id}")
        if not _is_pair(trade.pair, reference.symbol, catalogue):
            raise ContradictionError(f"trade {trade_id} of order {report.order_id} is in another market, {trade.pair}")
        fill = _fill(reference, trade, evidence.lines.get(trade_id, ()))
        if fill is not None:
            fills.append(fill)
    fills.sort(key=lambda fill: (fill.executed_at, fill.trade_id))
    quantity = exact_sum(fill.quantity for fill in fills)
    if quantity > report.quantity:
        raise ContradictionError(f"the trades of order {report.order_id} sum to {plain(quantity)}, more than it is")
    is_complete = (
        len(fills) == len(report.trade_ids) and quantity == report.executed and _agree(report, fills, reference)
    )
    return tuple(fills), is_complete


def _fill(reference: OrderReference, trade: TradeReport, lines: Sequence[LedgerLine]) -> Fill | None:
    """The trade as the ledger booked it; None while one of its lines is missing."""
    base, quote = _currencies(reference.symbol)
    received = [line.amount for line in lines if line.currency == base]
    paid = [line.amount for line in lines if line.currency == quote]
    if not received or not paid:
        return None
    sign = ONE if trade.side is OrderSide.BUY else EXACT.minus(ONE)
    if exact_sum(received) != EXACT.multiply(sign, trade.quantity):
        raise ContradictionError(
            f"trade {trade.trade_id} is about {plain(trade.quantity)} {base}, the ledger about "
            f"{plain(abs(exact_sum(received)))}"
        )
    notional = EXACT.multiply(EXACT.minus(sign), exact_sum(paid))
    if notional < ZERO or any(line.amount for line in lines if line.currency not in {base, quote}):
        raise ContradictionError(f"trade {trade.trade_id} moved money that its market does not explain")
    fees = [(line.currency, line.fee) for line in lines if line.fee]
    if len({currency for currency, _ in fees}) > 1:
        raise ContradictionError(f"the fee of trade {trade.trade_id} was taken in several currencies")
    return Fill(
        trade_id=trade.trade_id,
        quantity=trade.quantity,
        price=trade.price,
        notional=notional,
        fee=exact_sum(fee for _, fee in fees),
        fee_currency=fees[0][0] if fees else quote,
        liquidity_side=LiquiditySide.MAKER if trade.is_maker else LiquiditySide.TAKER,
        executed_at=trade.executed_at,
    )


def _agree(report: OrderReport, fills: Sequence[Fill], reference: OrderReference) -> bool:
    """Whether the ledger adds up to what the order says it cost, as far as the order's digits go."""
    notional = _is_shown_as([fill.notional for fill in fills], report.cost)
    _, quote = _currencies(reference.symbol)
    if any(fill.fee_currency != quote for fill in fills):
        # The order tells the fee in quote currency wherever it was taken.
        return notional
    return notional and _is_shown_as([fill.fee for fill in fills], report.fee)


def _is_shown_as(booked: Sequence[Decimal], shown: Decimal) -> bool:
    """Whether the order's number can stand for this sum: it has fewer digits, and each line was rounded for itself."""
    tolerance = EXACT.add(_last_digit(shown), exact_sum(map(_last_digit, booked)))
    return abs(EXACT.subtract(exact_sum(booked), shown)) < tolerance


def _last_digit(number: Decimal) -> Decimal:
    """One unit of the last digit that is written."""
    exponent = number.as_tuple().exponent
    return ONE.scaleb(exponent) if isinstance(exponent, int) else ONE


def _is_pair(name: str, symbol: str, catalogue: Catalogue) -> bool:
    """Whether this is a name of our market. One that is no longer listed cannot be compared."""
    listing = catalogue.listings.get(symbol)
    return listing is None or name in listing.names


def _currencies(symbol: str) -> tuple[Currency, Currency]:
    base, _, quote = symbol.partition("/")
    return Currency(base), Currency(quote)
