"""Why a portfolio's value has changed: every part, and nothing left over."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rebalancer_pipelines.adapters.analytics.build import build_marts
from tests.support.written_history import DAY, Ordered, Traded, WrittenHistory, noon

from .conftest import BuildIt, Marts

FIRST = date(2018, 3, 1)
_DAYS = 10
_PORTFOLIOS = 5

amounts = st.decimals("0.00000001", "5000", places=8)
prices = st.decimals("0.01", "20000", places=6)
fractions = st.decimals("0.1", "1", places=3)


@st.composite
def traded(draw: st.DrawFn, quantity: Decimal, mid: Decimal) -> list[Traded]:
    """Up to three executions that do not exceed the order, each near the mid."""
    parts = draw(st.lists(st.decimals("0.01", "0.33", places=4), max_size=3))
    return [
        Traded(
            quantity=quantity * part,
            price=mid * draw(st.decimals("0.97", "1.03", places=5)),
            fee=draw(st.decimals("0", "3", places=9)),
            fee_currency=draw(st.sampled_from(["EUR", "BTC", "KFEE"])),
            liquidity_side=draw(st.sampled_from(["maker", "taker", "internal"])),
        )
        for part in parts
    ]


@st.composite
def orders(draw: st.DrawFn) -> list[Ordered]:
    made = []
    for currency in draw(st.lists(st.sampled_from(["BTC", "ETH"]), max_size=2, unique=True)):
        quantity, mid = draw(amounts), draw(prices)
        side = draw(st.sampled_from(["buy", "sell"]))
        made.append(Ordered(f"{currency}/EUR", side, quantity, mid, draw(traded(quantity, mid))))
    return made


entries = st.tuples(
    st.sampled_from(["deposit", "withdrawal", "transfer", "adjustment", "reward", "outside_trade"]),
    st.sampled_from(["EUR", "BTC", "ETH", "KFEE"]),
    st.one_of(amounts, amounts.map(lambda amount: -amount)),
)
days = st.tuples(st.lists(entries, max_size=3), orders())
histories = st.lists(days, min_size=_DAYS, max_size=_DAYS)
closes = st.lists(
    st.fixed_dictionaries({"BTC": st.one_of(prices, prices, prices, st.none()), "ETH": prices}),
    min_size=_DAYS,
    max_size=_DAYS,
)


def write(history: WrittenHistory, story: list[tuple[list[tuple[str, str, Decimal]], list[Ordered]]]) -> UUID:
    portfolio = history.portfolio()
    history.book(portfolio, "deposit", "EUR", Decimal(1000), noon(FIRST) - timedelta(hours=3))
    for offset, (moved, ordered) in enumerate(story):
        at = noon(FIRST + offset * DAY)
        for kind, currency, amount in moved:
            history.book(portfolio, kind, currency, amount, at - timedelta(hours=1))
        if ordered:
            history.rebalance(portfolio, at, ordered)
    return portfolio


@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(prices_of_days=closes, stories=st.lists(histories, min_size=_PORTFOLIOS, max_size=_PORTFOLIOS))
def test_nothing_is_left_over_whatever_happens(
    ready_database: str, analytics_folder: Path, prices_of_days: list[dict[str, Decimal | None]], stories: list
) -> None:
    """Each example comes as new portfolios into the same database, and into marts that stand there already."""
    through = FIRST + (_DAYS - 1) * DAY
    with WrittenHistory(ready_database) as history:
        for offset, closes_of_day in enumerate(prices_of_days):
            for currency, price in closes_of_day.items():
                history.close(currency, FIRST + offset * DAY, price)
        made = [write(history, story) for story in stories]
        for portfolio in made:
            history.value_days(portfolio, through)
        problems = build_marts(ready_database, analytics_folder).problems
        found = history.rows(
            "SELECT portfolio_id, day, residual, change, price + slippage + fees + rewards + flows, value_before, "
            "value FROM analytics.value_explained WHERE portfolio_id = ANY(%s)",
            made,
        )
        valued = history.rows(
            "SELECT portfolio_id, day, value, coalesce(lag(value) OVER days, 0), lag(day) OVER days IS NULL, "
            "lag(value) OVER days IS NOT NULL FROM daily_portfolio_value WHERE portfolio_id = ANY(%s) "
            "WINDOW days AS (PARTITION BY portfolio_id ORDER BY day)",
            made,
        )
    assert problems == []
    assert [row for row in found if row[2] != 0 or row[3] != row[4]] == []
    explained = {(row[0], row[1]): (row[5], row[6]) for row in found}
    assert explained == {
        (row[0], row[1]): (row[3], row[2]) for row in valued if row[2] is not None and (row[4] or row[5])
    }


def test_each_part_is_told_apart(history: WrittenHistory, build: BuildIt, marts: Marts) -> None:
    core = history.portfolio("core")
    for offset, close in enumerate(("100", "110")):
        history.close("BTC", FIRST + offset * DAY, Decimal(close))
    history.book(core, "deposit", "EUR", Decimal(1000), noon(FIRST))
    history.book(core, "deposit", "BTC", Decimal(2), noon(FIRST))
    following = noon(FIRST + DAY)
    history.book(core, "withdrawal", "EUR", Decimal(-50), following)
    history.book(core, "reward", "BTC", Decimal("0.1"), following)
    bought = Traded(Decimal(1), Decimal(106), fee=Decimal("0.5"), fee_currency="EUR")
    history.rebalance(core, following, [Ordered("BTC/EUR", "buy", Decimal(3), Decimal(105), [bought])])
    history.value_days(core, FIRST + DAY)
    build()
    first, second = marts("value_explained", "day")
    assert (first["value_before"], first["change"], first["flows"], first["residual"]) == (0, 1200, 1200, 0)
    assert {part: second[part] for part in ("price", "slippage", "fees", "rewards", "flows", "residual")} == {
        "price": 2 * 10 + 1 * (110 - 105),
        "slippage": -1,
        "fees": Decimal("-0.5"),
        "rewards": 11,
        "flows": -50,
        "residual": 0,
    }
    assert (second["value_before"], second["value"]) == (1200, second["change"] + 1200)
    assert second["portfolio_name"] == "core"


def test_a_day_whose_book_has_grown_since_waits_until_it_is_valued_again(
    history: WrittenHistory, build: BuildIt, marts: Marts
) -> None:
    core = history.portfolio("core")
    history.book(core, "deposit", "EUR", Decimal(1000), noon(FIRST))
    history.book(core, "reward", "EUR", Decimal(1), noon(FIRST + DAY))
    history.value_days(core, FIRST + 2 * DAY)
    history.book(core, "deposit", "EUR", Decimal(7), noon(FIRST + DAY))
    build(full=True)
    assert [row["day"] for row in marts("value_explained", "day")] == [FIRST, FIRST + 2 * DAY]
    history.value_days(core, FIRST + 2 * DAY)
    build()
    assert [row["flows"] for row in marts("value_explained", "day")] == [1000, 7, 0]
