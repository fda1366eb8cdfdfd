from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Context, Decimal, localcontext
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from rebalancer_pipelines.domain.ledger import Books, LedgerEntry, LedgerEntryKind, differences, fill_entries
from rebalancer_pipelines.domain.order import Fill, LiquiditySide, Order, OrderSide, OrderState
from rebalancer_pipelines.domain.values import Currency, exact_sum
from tests.support.builders import BTC, ETH, EUR, NOON

ACCOUNT, PORTFOLIO = UUID(int=1), UUID(int=2)
amounts = st.decimals("0.00000001", 10**9, places=8)


@st.composite
def fills(draw: st.DrawFn) -> list[Fill]:
    return [
        Fill(
            trade_id=f"t{number}",
            quantity=draw(amounts),
            price=draw(amounts),
            notional=draw(amounts),
            fee=draw(st.one_of(st.just(Decimal(0)), amounts)),
            fee_currency=draw(st.sampled_from([EUR, BTC, Currency("KFEE")])),
            liquidity_side=LiquiditySide.TAKER,
            executed_at=NOON + timedelta(seconds=number),
        )
        for number in range(draw(st.integers(0, 5)))
    ]


def an_order(side: OrderSide) -> Order:
    return Order(
        id=UUID(int=3),
        rebalance_id=UUID(int=4),
        sequence=0,
        client_order_id="one",
        symbol="BTC/EUR",
        base_currency=BTC,
        quote_currency=EUR,
        side=side,
        quantity=Decimal(1),
        price=Decimal(1),
        limit_price=Decimal(1),
        state=OrderState.FILLED,
    )


def book(side: OrderSide, executed: list[Fill], *, booked: Iterable[str] = ()) -> list[LedgerEntry]:
    ids = {fill.trade_id: UUID(int=100 + n) for n, fill in enumerate(executed) if fill.trade_id not in set(booked)}
    return fill_entries(an_order(side), executed, account_id=ACCOUNT, portfolio_id=PORTFOLIO, fill_ids=ids)


def total(entries: list[LedgerEntry], currency: str, *kinds: LedgerEntryKind) -> Decimal:
    return exact_sum(e.amount for e in entries if e.currency == currency and e.kind in (kinds or LedgerEntryKind))


def test_a_buy_brings_base_takes_quote_and_books_the_fee_apart() -> None:
    fill = Fill("t0", Decimal(2), Decimal(100), Decimal(200), Decimal("0.5"), EUR, LiquiditySide.TAKER, NOON)

    entries = book(OrderSide.BUY, [fill])
    assert [(e.kind, e.currency, e.amount) for e in entries] == [
        (LedgerEntryKind.FILL, BTC, 2),
        (LedgerEntryKind.FILL, EUR, -200),
        (LedgerEntryKind.FEE, EUR, Decimal("-0.5")),
    ]
    assert {(e.account_id, e.portfolio_id, e.cause, e.occurred_at, e.fill_id) for e in entries} == {
        (ACCOUNT, PORTFOLIO, "trade t0", NOON, UUID(int=100))
    }


def test_a_sell_takes_base_and_brings_quote_and_no_fee_leaves_no_entry() -> None:
    fill = Fill("t0", Decimal(2), Decimal(100), Decimal("199.99"), Decimal(0), EUR, LiquiditySide.MAKER, NOON)

    assert [(e.kind, e.currency, e.amount) for e in book(OrderSide.SELL, [fill])] == [
        (LedgerEntryKind.FILL, BTC, -2),
        (LedgerEntryKind.FILL, EUR, Decimal("199.99")),
    ]


@given(st.sampled_from(OrderSide), fills(), st.integers(1, 30))
def test_entries_sum_to_what_the_fills_moved_in_any_decimal_context(
    side: OrderSide, executed: list[Fill], precision: int
) -> None:
    with localcontext(Context(prec=precision)):
        entries = book(side, executed)

    sign = 1 if side is OrderSide.BUY else -1
    exact = Context(prec=200)
    bought = exact_sum(fill.quantity for fill in executed)
    paid = exact_sum(fill.notional for fill in executed)
    assert total(entries, BTC, LedgerEntryKind.FILL) == exact.multiply(bought, Decimal(sign))
    assert total(entries, EUR, LedgerEntryKind.FILL) == exact.multiply(paid, Decimal(-sign))
    for currency in ("BTC", "EUR", "KFEE"):
        fees = exact_sum(fill.fee for fill in executed if fill.fee_currency == currency)
        assert total(entries, currency, LedgerEntryKind.FEE) == exact.minus(fees)
    assert all(entry.amount for entry in entries)


@given(fills(), st.sets(st.sampled_from(["t0", "t1", "t2"])))
def test_fills_that_were_booked_before_are_not_booked_again(executed: list[Fill], before: set[str]) -> None:
    causes = {entry.cause for entry in book(OrderSide.BUY, executed, booked=before)}

    assert causes == {f"trade {fill.trade_id}" for fill in executed if fill.trade_id not in before}


def test_books_are_read_by_portfolio_and_sum_to_what_the_venue_must_hold() -> None:
    other = UUID(int=9)
    books = Books(
        unallocated={EUR: Decimal("0.1")},
        by_portfolio={PORTFOLIO: {BTC: Decimal(1), EUR: Decimal("0.2")}, other: {BTC: Decimal(2)}},
    )

    assert books.of(PORTFOLIO) == {BTC: 1, EUR: Decimal("0.2")}
    assert books.of(UUID(int=77)) == {}
    with localcontext(Context(prec=1)):
        assert books.total() == {BTC: 3, EUR: Decimal("0.3")}


def test_differences_name_only_what_differs_to_the_last_digit() -> None:
    expected = {BTC: Decimal("1.0"), EUR: Decimal("10.000000000000000001")}
    actual = {BTC: Decimal("1.00"), EUR: Decimal(4), ETH: Decimal(2)}

    with localcontext(Context(prec=5)):
        assert differences(expected, actual) == {ETH: 2, EUR: Decimal("-6.000000000000000001")}
        assert differences(expected, expected) == {}
    assert list(differences({}, {EUR: Decimal(1), BTC: Decimal(1)})) == [BTC, EUR]


amount_by_currency = st.dictionaries(st.sampled_from([BTC, ETH, EUR]), st.decimals(-1000, 1000, places=4))


@given(amount_by_currency, amount_by_currency)
def test_expected_and_differences_make_the_actual(
    expected: dict[Currency, Decimal], actual: dict[Currency, Decimal]
) -> None:
    found = differences(expected, actual)

    for currency in (BTC, ETH, EUR):
        assert expected.get(currency, 0) + found.get(currency, 0) == actual.get(currency, 0)
    assert differences(actual, expected) == {currency: -amount for currency, amount in found.items()}
