"""What became of an order, judged by Kraken's reports: nothing is final before everything adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from rebalancer_pipelines.adapters.venues.ccxt.kraken.catalogue import Catalogue, Listing
from rebalancer_pipelines.adapters.venues.ccxt.kraken.ledger import LedgerLine
from rebalancer_pipelines.adapters.venues.ccxt.kraken.order_evidence import Evidence, venue_order
from rebalancer_pipelines.adapters.venues.ccxt.kraken.order_reports import OrderReport, TradeReport
from rebalancer_pipelines.application.ports import OrderReference, VenueOrder
from rebalancer_pipelines.domain.market import Market
from rebalancer_pipelines.domain.order import Fill, LiquiditySide, OrderSide, OrderState
from rebalancer_pipelines.domain.values import Currency

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
BTC, EUR = Currency("BTC"), Currency("EUR")
OURS = "6d1b345e-2821-40e2-ad83-4ecb18a06876"
MARKET = Market("BTC/EUR", BTC, EUR, Decimal("0.1"), Decimal("1e-8"), Decimal("0.00005"), Decimal("0.45"))
CATALOGUE = Catalogue({"BTC/EUR": Listing("XXBTZEUR", frozenset({"XXBTZEUR", "XBTEUR", "XBT/EUR"}), MARKET)}, {})
REFERENCE = OrderReference(OURS, "BTC/EUR", OrderSide.BUY, Decimal("0.02"), "O1", NOON)
REPORT = OrderReport(
    order_id="O1",
    client_order_id=OURS,
    pair="XBTEUR",
    side=OrderSide.BUY,
    quantity=Decimal("0.02000000"),
    executed=Decimal("0.02000000"),
    cost=Decimal("1224.6"),
    fee=Decimal("4.8"),
    ended_as=OrderState.FILLED,
    reason=None,
    opened_at=NOON,
    trade_ids=("T1", "T2"),
)
FIRST = TradeReport(
    "T1", "O1", "XXBTZEUR", OrderSide.BUY, Decimal("0.015"), Decimal("61234.6"), is_maker=False, executed_at=NOON
)
SECOND = replace(
    FIRST, trade_id="T2", quantity=Decimal("0.005"), is_maker=True, executed_at=NOON + timedelta(seconds=1)
)


def lines_of(trade: TradeReport, notional: str, fee: str) -> list[LedgerLine]:
    sign = 1 if trade.side is OrderSide.BUY else -1
    base = LedgerLine(
        f"{trade.trade_id}-base", trade.trade_id, "trade", "", BTC, sign * trade.quantity, Decimal(0), NOON
    )
    paid = -sign * Decimal(notional)
    return [base, replace(base, entry_id=f"{trade.trade_id}-quote", currency=EUR, amount=paid, fee=Decimal(fee))]


LINES = {"T1": lines_of(FIRST, "918.5190", "3.6741"), "T2": lines_of(SECOND, "306.1730", "1.2247")}


def judged(
    report: OrderReport = REPORT,
    trades: Sequence[TradeReport] = (FIRST, SECOND),
    lines: dict[str, list[LedgerLine]] | None = None,
    reference: OrderReference = REFERENCE,
) -> VenueOrder:
    evidence = Evidence(report, {trade.trade_id: trade for trade in trades}, LINES if lines is None else lines)
    return venue_order(reference, evidence, CATALOGUE)


def test_a_filled_order_is_booked_from_the_ledger() -> None:
    order = judged()
    assert order.closed_as is OrderState.FILLED
    assert (order.awaits_fills, order.contradiction) == (False, None)
    assert order.fills == (
        Fill(
            "T1",
            Decimal("0.015"),
            Decimal("61234.6"),
            Decimal("918.5190"),
            Decimal("3.6741"),
            EUR,
            LiquiditySide.TAKER,
            NOON,
        ),
        Fill(
            "T2",
            Decimal("0.005"),
            Decimal("61234.6"),
            Decimal("306.1730"),
            Decimal("1.2247"),
            EUR,
            LiquiditySide.MAKER,
            NOON + timedelta(seconds=1),
        ),
    )


def test_fills_come_by_time_whatever_the_sequence_of_the_list() -> None:
    assert judged(replace(REPORT, trade_ids=("T2", "T1"))) == judged()


@pytest.mark.parametrize("status", [OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED])
def test_what_was_filled_decides_and_not_the_status(status: OrderState) -> None:
    assert judged(replace(REPORT, ended_as=status)).closed_as is OrderState.FILLED
    part = replace(
        REPORT,
        ended_as=status,
        executed=Decimal("0.015"),
        cost=Decimal("918.5"),
        fee=Decimal("3.6"),
        trade_ids=("T1",),
        reason="User requested",
    )
    order = judged(part)
    assert (order.closed_as, order.reason) == (OrderState.PARTIALLY_FILLED, "User requested")
    nothing = replace(part, executed=Decimal(0), cost=Decimal(0), fee=Decimal(0), trade_ids=())
    expected = OrderState.EXPIRED if status is OrderState.EXPIRED else OrderState.CANCELED
    assert (judged(nothing).closed_as, judged(nothing).fills) == (expected, ())


def test_an_open_order_is_not_closed_and_shows_what_it_traded() -> None:
    report = replace(REPORT, ended_as=None, executed=Decimal("0.015"), trade_ids=("T1",))
    order = judged(report)
    assert (order.closed_as, order.awaits_fills) == (None, False)
    assert [fill.trade_id for fill in order.fills] == ["T1"]


@pytest.mark.parametrize(
    ("report", "trades", "lines", "shown"),
    [
        pytest.param(REPORT, (FIRST,), LINES, ["T1"], id="a trade is not shown yet"),
        pytest.param(
            replace(REPORT, trade_ids=("T1",)), (FIRST, SECOND), LINES, ["T1"], id="a trade is not listed yet"
        ),
        pytest.param(replace(REPORT, trade_ids=()), (FIRST, SECOND), LINES, [], id="no trade is listed yet"),
        pytest.param(
            replace(REPORT, trade_ids=("T1", "T2", "T3")),
            (FIRST, SECOND),
            LINES,
            ["T1", "T2"],
            id="one more trade is listed than was executed",
        ),
        pytest.param(REPORT, (FIRST, SECOND), {"T1": LINES["T1"]}, ["T1"], id="the ledger lacks a trade"),
        pytest.param(
            REPORT, (FIRST, SECOND), LINES | {"T2": LINES["T2"][:1]}, ["T1"], id="the ledger lacks the quote line"
        ),
        pytest.param(
            REPORT, (FIRST, SECOND), LINES | {"T2": LINES["T2"][1:]}, ["T1"], id="the ledger lacks the base line"
        ),
        pytest.param(
            replace(REPORT, executed=Decimal("0.0199")), (FIRST, SECOND), LINES, ["T1", "T2"], id="other volume"
        ),
        pytest.param(replace(REPORT, cost=Decimal("1224.9")), (FIRST, SECOND), LINES, ["T1", "T2"], id="other cost"),
        pytest.param(replace(REPORT, cost=Decimal("1224.4")), (FIRST, SECOND), LINES, ["T1", "T2"], id="lower cost"),
        pytest.param(replace(REPORT, fee=Decimal("5.1")), (FIRST, SECOND), LINES, ["T1", "T2"], id="other fee"),
    ],
)
def test_an_order_is_not_closed_before_all_adds_up(
    report: OrderReport, trades: Sequence[TradeReport], lines: dict[str, list[LedgerLine]], shown: list[str]
) -> None:
    order = judged(report, trades, lines)
    assert (order.closed_as, order.awaits_fills, order.contradiction) == (None, True, None)
    assert [fill.trade_id for fill in order.fills] == shown


@pytest.mark.parametrize(
    ("cost", "fee"), [("1224.6", "4.8"), ("1224.69", "4.89"), ("1224.692", "4.8988"), ("1224", "4")]
)
def test_cost_and_fee_are_compared_as_far_as_their_digits_go(cost: str, fee: str) -> None:
    assert judged(replace(REPORT, cost=Decimal(cost), fee=Decimal(fee))).closed_as is OrderState.FILLED


def test_rounding_of_single_lines_does_not_keep_an_order_open() -> None:
    # Ten trades of 0.33333 EUR cost 3.3333, and each line is rounded to 0.3333: the sum is 3.3330, the cost 3.3333.
    trades = [replace(FIRST, trade_id=f"T{n}", quantity=Decimal("0.002")) for n in range(10)]
    lines = {trade.trade_id: lines_of(trade, "0.3333", "0.0013") for trade in trades}
    report = replace(
        REPORT, cost=Decimal("3.3333"), fee=Decimal("0.0133"), trade_ids=tuple(trade.trade_id for trade in trades)
    )
    assert judged(report, trades, lines).closed_as is OrderState.FILLED


def test_a_fee_in_base_is_booked_in_base() -> None:
    base, quote = LINES["T1"]
    lines = LINES | {"T1": [replace(base, fee=Decimal("0.00006")), replace(quote, fee=Decimal(0))]}
    order = judged(lines=lines)
    assert (order.fills[0].fee, order.fills[0].fee_currency) == (Decimal("0.00006"), BTC)
    assert order.closed_as is OrderState.FILLED


def test_no_fee_is_no_fee_in_quote() -> None:
    base, quote = LINES["T1"]
    order = judged(lines=LINES | {"T1": [base, replace(quote, fee=Decimal(0))]})
    assert (order.fills[0].fee, order.fills[0].fee_currency) == (Decimal(0), EUR)


def test_a_sell_is_the_other_way_round() -> None:
    first, second = (replace(trade, side=OrderSide.SELL) for trade in (FIRST, SECOND))
    lines = {"T1": lines_of(first, "918.5190", "3.6741"), "T2": lines_of(second, "306.1730", "1.2247")}
    order = judged(
        replace(REPORT, side=OrderSide.SELL), (first, second), lines, replace(REFERENCE, side=OrderSide.SELL)
    )
    assert order.closed_as is OrderState.FILLED
    assert [fill.notional for fill in order.fills] == [Decimal("918.5190"), Decimal("306.1730")]


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (replace(REPORT, pair="ETHEUR"), "another market, ETHEUR"),
        (replace(REPORT, side=OrderSide.SELL), "as a sell"),
        (replace(REPORT, quantity=Decimal("0.2"), executed=Decimal("0.2")), "0.2, which we sent as 0.02"),
        (replace(REPORT, client_order_id="another"), "another client id, another"),
        (replace(REPORT, executed=Decimal("0.03")), "traded 0.03 of 0.02"),
    ],
)
def test_an_order_that_is_not_ours_is_a_contradiction(report: OrderReport, words: str) -> None:
    order = judged(report)
    assert order.contradiction is not None
    assert words in order.contradiction
    assert "O1" in order.contradiction
    assert (order.fills, order.closed_as) == ((), None)


@pytest.mark.parametrize("pair", ["XXBTZEUR", "XBTEUR", "XBT/EUR"])
def test_every_name_of_the_pair_is_right(pair: str) -> None:
    assert judged(replace(REPORT, pair=pair)).contradiction is None


def test_a_market_that_is_not_listed_any_more_cannot_be_compared() -> None:
    evidence = Evidence(replace(REPORT, pair="GONE"), {"T1": FIRST, "T2": SECOND}, LINES)
    assert venue_order(REFERENCE, evidence, Catalogue({}, {})).closed_as is OrderState.FILLED


@pytest.mark.parametrize(
    "trade",
    [
        replace(SECOND, order_id="O2"),
        replace(SECOND, pair="XETHZEUR"),
        replace(SECOND, side=OrderSide.SELL),
    ],
)
def test_a_trade_of_another_order_is_a_contradiction(trade: TradeReport) -> None:
    order = judged(trades=(FIRST, trade))
    assert order.contradiction is not None
    assert "T2" in order.contradiction


def _changed(number: int, **changes: object) -> dict[str, list[LedgerLine]]:
    lines = list(LINES["T2"])
    lines[number] = replace(lines[number], **changes)  # type: ignore[arg-type]
    return LINES | {"T2": lines}


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(_changed(0, amount=Decimal("0.004")), id="less was booked"),
        pytest.param(_changed(0, amount=Decimal("-0.005")), id="the other way"),
        pytest.param(_changed(1, amount=Decimal("306.1730")), id="money came in"),
        pytest.param(_changed(0, fee=Decimal("0.00001")), id="two fees"),
        pytest.param(
            LINES | {"T2": [*LINES["T2"], replace(LINES["T2"][0], entry_id="x", currency=Currency("KFEE"))]},
            id="another currency",
        ),
    ],
)
def test_a_ledger_that_says_something_else_is_a_contradiction(lines: dict[str, list[LedgerLine]]) -> None:
    order = judged(lines=lines)
    assert order.contradiction is not None
    assert "T2" in order.contradiction
    assert order.fills == ()


def test_trades_beyond_the_order_are_a_contradiction() -> None:
    third = replace(SECOND, trade_id="T3")
    order = judged(
        replace(REPORT, trade_ids=("T1", "T2", "T3")),
        (FIRST, SECOND, third),
        LINES | {"T3": lines_of(third, "306.1730", "1.2247")},
    )
    assert order.contradiction is not None


def test_an_order_without_a_client_id_in_its_report_is_ours_by_its_own_id() -> None:
    assert judged(replace(REPORT, client_order_id=None)).closed_as is OrderState.FILLED
