"""Price bars as they are stored: what stands, what is missing, and who needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.portfolio import Portfolio
from rebalancer_pipelines.domain.price_bar import BarOrigin, PriceBar, Timeframe
from rebalancer_pipelines.domain.price_history import BarGap, MarketDays, NeededMarket, StoredBars
from rebalancer_pipelines.domain.rebalance import TriggeredBy
from rebalancer_pipelines.domain.values import Currency
from tests.support.bars import a_bar

from .stored import EUR, NOON, Transactions, a_rebalance, a_stored_portfolio, an_account, an_entry

DAY = timedelta(days=1)
FIRST = date(2026, 1, 1)


def span(first: int, last: int) -> DaySpan:
    """Days of January 2026."""
    return DaySpan(FIRST + DAY * (first - 1), FIRST + DAY * (last - 1))


def add(transactions: Transactions, *bars: PriceBar) -> Sequence[StoredBars]:
    with transactions() as work:
        stored = work.bars.add(bars)
        work.commit()
    return stored


def contents(engine: Engine) -> list[str]:
    """Every row with the number of the transaction that wrote it last."""
    with engine.connect() as connection:
        return list(
            connection.scalars(
                text("SELECT b.xmin || ' ' || to_jsonb(b)::text FROM price_bar b ORDER BY to_jsonb(b)::text")
            )
        )


def test_bars_come_back_as_closes_of_their_days(transactions: Transactions) -> None:
    first, second = a_bar(day=1, close="64000.1"), a_bar(day=2, close="64100.000000000000000001")
    hour = a_bar(day=1, timeframe=Timeframe.HOUR, close="1")
    other = a_bar("ETH/EUR", day=1, close="2400")
    assert add(transactions, first, second, hour, other) == [
        StoredBars("live", "BTC/EUR", added=3, changed=0, unchanged=0, outranked=0),
        StoredBars("live", "ETH/EUR", added=1, changed=0, unchanged=0, outranked=0),
    ]
    with transactions() as work:
        assert work.bars.closes("live", ["BTC/EUR", "LTC/EUR"], span(1, 2)) == {
            ("BTC/EUR", date(2026, 1, 1)): Decimal("64000.1"),
            ("BTC/EUR", date(2026, 1, 2)): Decimal("64100.000000000000000001"),
        }
        assert work.bars.closes("live", ["BTC/EUR"], span(2, 2)).keys() == {("BTC/EUR", date(2026, 1, 2))}
        assert work.bars.closes("recorded", ["BTC/EUR"], span(1, 2)) == {}
        assert work.bars.first_days(Timeframe.DAY) == {
            ("live", "BTC/EUR"): date(2026, 1, 1),
            ("live", "ETH/EUR"): date(2026, 1, 1),
        }


def test_storing_the_same_again_writes_nothing(transactions: Transactions, engine: Engine) -> None:
    bars = [a_bar(day=day, close="64000.10", volume=None) for day in range(1, 9)]
    add(transactions, *bars)
    before = contents(engine)
    again = [replace(bar, close=Decimal("64000.1")) for bar in bars]
    assert add(transactions, *again) == [StoredBars("live", "BTC/EUR", added=0, changed=0, unchanged=8, outranked=0)]
    assert contents(engine) == before


def test_only_what_differs_is_written(transactions: Transactions, engine: Engine) -> None:
    add(transactions, *(a_bar(day=day) for day in range(1, 4)))
    before = set(contents(engine))
    stored = add(transactions, a_bar(day=1), a_bar(day=2, close="64001"), a_bar(day=4))
    assert stored == [StoredBars("live", "BTC/EUR", added=1, changed=1, unchanged=1, outranked=0)]
    assert len(set(contents(engine)) - before) == 2


@pytest.mark.parametrize("stands", list(BarOrigin))
@pytest.mark.parametrize("comes", list(BarOrigin))
def test_the_higher_origin_stands_whichever_comes_first(
    transactions: Transactions, engine: Engine, stands: BarOrigin, comes: BarOrigin
) -> None:
    add(transactions, a_bar(origin=stands, close="64000"))
    before = contents(engine)
    (stored,) = add(transactions, a_bar(origin=comes, close="64001"))
    if comes.rank < stands.rank:
        assert (stored.outranked, stored.changed) == (1, 0)
        assert contents(engine) == before
    else:
        assert (stored.outranked, stored.changed) == (0, 1)
        with transactions() as work:
            assert work.bars.closes("live", ["BTC/EUR"], span(1, 1))["BTC/EUR", FIRST] == 64001


def test_nothing_to_store_is_nothing(transactions: Transactions) -> None:
    assert add(transactions) == []


def test_of_a_bar_that_the_database_refuses_nothing_is_stored(transactions: Transactions, engine: Engine) -> None:
    with pytest.raises(Exception, match="prices_within_range"):
        add(transactions, a_bar(day=1), replace(a_bar(day=2), close=Decimal(1)))
    assert contents(engine) == []


def test_gaps_are_what_is_missing_in_one_piece(transactions: Transactions) -> None:
    add(transactions, *(a_bar(day=day) for day in (1, 4, 5, 9)), a_bar("ETH/EUR", day=2))
    wanted = [MarketDays("live", "BTC/EUR", span(1, 10)), MarketDays("live", "ETH/EUR", span(2, 2))]
    with transactions() as work:
        assert work.bars.gaps(Timeframe.DAY, wanted) == [
            BarGap("live", "BTC/EUR", Timeframe.DAY, midnight(2), midnight(3), 2),
            BarGap("live", "BTC/EUR", Timeframe.DAY, midnight(6), midnight(8), 3),
            BarGap("live", "BTC/EUR", Timeframe.DAY, midnight(10), midnight(10), 1),
        ]
        assert work.bars.gaps(Timeframe.DAY, []) == []
        (hours,) = work.bars.gaps(Timeframe.HOUR, wanted[1:])
        assert (hours.first, hours.last, hours.bars) == (midnight(2), midnight(3) - timedelta(hours=1), 24)


@given(present=st.sets(st.integers(1, 20)), first=st.integers(1, 20), length=st.integers(0, 19))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_gaps_and_bars_together_are_every_day(
    transactions: Transactions, present: set[int], first: int, length: int
) -> None:
    last = min(20, first + length)
    with transactions() as work:
        work.bars.add([a_bar(day=day) for day in present])
        gaps = work.bars.gaps(Timeframe.DAY, [MarketDays("live", "BTC/EUR", span(first, last))])
    missing = [gap.first + DAY * number for gap in gaps for number in range(gap.bars)]
    assert missing == [midnight(day) for day in range(first, last + 1) if day not in present]
    assert all(gap.last == gap.first + DAY * (gap.bars - 1) for gap in gaps)
    assert all(after.first > before.last + DAY for before, after in pairwise(gaps))


def midnight(day: int) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + DAY * (day - 1)


def test_markets_are_needed_for_weights_and_for_all_that_a_book_had(transactions: Transactions) -> None:
    account = an_account(transactions)
    core = a_stored_portfolio(transactions, account, name="core")
    a_stored_portfolio(transactions, account, name="new", valuation_currency=Currency("BTC"))
    entries = [
        an_entry(account.id, core.id, amount, currency=currency, occurred_at=NOON + DAY * number)
        for number, (currency, amount) in enumerate([(EUR, "100"), (Currency("XRP"), "5"), (Currency("XRP"), "-5")])
    ]
    with transactions() as work:
        work.ledger.append(entries)
        assert work.bars.needed() == [
            NeededMarket("recorded", "BTC/EUR", None, NOON.date()),
            NeededMarket("recorded", "EUR/BTC", None, None),
            NeededMarket("recorded", "XRP/EUR", None, NOON.date()),
        ]


def test_observed_days_are_made_of_the_mids_that_rebalances_saw(transactions: Transactions) -> None:
    portfolio = a_stored_portfolio(transactions)
    for moment, mid in (
        (midnight(5), 100),
        (midnight(5) + timedelta(hours=3), 130),
        (midnight(5) + timedelta(hours=9), 90),
        (midnight(6) - timedelta(microseconds=1), 110),
        (midnight(6), 111),
    ):
        see(transactions, portfolio, moment, mid)
    see(
        transactions, portfolio, midnight(5) + timedelta(hours=1), 9999, triggered_by=TriggeredBy.BACKFILL, dry_run=True
    )
    see(transactions, portfolio, midnight(5) + timedelta(hours=4), 120, dry_run=True)
    with transactions() as work:
        bars = work.bars.observed("recorded", span(5, 6))
        assert [(b.opened_at, *map(int, (b.open, b.high, b.low, b.close)), b.volume, b.origin) for b in bars] == [
            (midnight(5), 100, 130, 90, 110, None, BarOrigin.OBSERVED),
            (midnight(6), 111, 111, 111, 111, None, BarOrigin.OBSERVED),
        ]
        assert [bar.opened_at for bar in work.bars.observed("recorded", span(6, 6))] == [midnight(6)]
        assert work.bars.observed("live", span(5, 6)) == []


def see(transactions: Transactions, portfolio: Portfolio, moment: datetime, mid: int, **changes: Any) -> None:
    """A finished rebalance that has seen one price."""
    started = a_rebalance(transactions, portfolio, now=moment, **changes)
    price = Decimal(mid)
    with transactions() as work:
        work.rebalances.store_prices(started.id, [PriceMark("BTC/EUR", price, price, "recorded", moment, moment)])
        work.rebalances.finish(started.id, moment)
        work.commit()
