"""Whatever portfolios share an account and whatever they want: nothing is made or lost, and no one pays for another."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rebalancer_pipelines.application.batch.attempt import Outcome
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.values import Currency, exact_sum
from tests.support.batches import create_sharing, rebalance_together
from tests.support.netted_story import assert_nothing_lost_inside
from tests.support.paper_account import open_paper_account
from tests.support.stored import MORNING, Stored

EXAMPLES = 20
CURRENCIES = ("BTC", "ETH", "LTC", "XRP")
UNITS = {"BTC": Decimal("0.00000001"), "ETH": Decimal("0.00001"), "LTC": Decimal("0.001"), "XRP": Decimal("0.1")}
"""In which holdings are drawn, each worth about the same at the recorded prices but for BTC, which may be dust."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Drawn:
    """What one portfolio wants and has."""

    weights: str
    owned: dict[str, str]


@st.composite
def portfolios(draw: st.DrawFn) -> Drawn:
    parts = draw(st.lists(st.integers(0, 24), min_size=len(CURRENCIES), max_size=len(CURRENCIES)))
    weights = {currency: part for currency, part in zip(CURRENCIES, parts, strict=True) if part}
    weights["EUR"] = 100 - sum(parts)
    owned = {"EUR": str(draw(st.integers(1, 300_000)) * Decimal("0.01"))}
    # Not nothing: the only portfolio of an account that is given nothing owns everything there.
    for currency in draw(st.lists(st.sampled_from(CURRENCIES), unique=True, max_size=3)):
        owned[currency] = f"{draw(st.integers(1, 40_000_000)) * UNITS[currency] / (1 if currency == 'BTC' else 1000):f}"
    owned = {currency: amount for currency, amount in owned.items() if Decimal(amount)}
    return Drawn(",".join(f"{c}={part}" for c, part in weights.items()), owned)


def open_account_of(ports: Ports, drawn: list[Drawn], limit: str | None) -> tuple[str, list[str]]:
    number = next(_numbers)
    account, names = f"account-{number}", [f"p{number}-{place}" for place in range(len(drawn))]
    totals: dict[Currency, Decimal] = {}
    for each in drawn:
        for currency, amount in each.owned.items():
            totals[Currency(currency)] = totals.get(Currency(currency), Decimal(0)) + Decimal(amount)
    open_paper_account(
        ports,
        totals or {Currency("EUR"): Decimal(1)},
        name=account,
        settings={"max_turnover": "off", **({"max_order_notional": limit} if limit else {})},
    )
    sharing = {name: (each.weights, each.owned) for name, each in zip(names, drawn, strict=True)}
    create_sharing(ports, sharing, account=account)
    return account, names


def sent(stored: Stored, account: str) -> list[dict[str, Decimal]]:
    return stored.rows(
        "SELECT o.* FROM paper_order o JOIN account ON account.id = o.account_id WHERE account.name = %s", account
    )


def value(positions: object) -> Decimal:
    return exact_sum(position.value for position in positions)  # type: ignore[attr-defined]


def costs(stored: Stored, account: str) -> Decimal:
    """What the venue's orders have cost against the mids that the plans rest on, with their fees."""
    rows = stored.rows(
        "SELECT o.side, f.quantity, f.notional, f.fee, m.mid FROM fill f JOIN order_intent o ON o.id = order_intent_id "
        "JOIN account ON account.id = o.account_id JOIN price_mark m ON m.symbol = o.symbol "
        "AND m.rebalance_id = o.rebalance_id "
        "WHERE account.name = %s AND NOT o.dry_run AND liquidity_side <> 'internal'",
        account,
    )
    spread = exact_sum((r["notional"] - r["quantity"] * r["mid"]) * (1 if r["side"] == "buy" else -1) for r in rows)
    return spread + exact_sum(row["fee"] for row in rows)


@pytest.mark.parametrize("limit", [None, "1500"], ids=["any size", "limited size"])
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(portfolios(), min_size=2, max_size=8), minutes=st.integers(0, 60))
def test_nothing_is_made_or_lost_and_no_portfolio_pays_for_another(
    ports: Ports, stored: Stored, limit: str | None, drawn: list[Drawn], minutes: int
) -> None:
    stored.show_recording(MORNING + timedelta(minutes=minutes))
    account, names = open_account_of(ports, drawn, limit)
    rehearsed = rebalance_together(ports, names, dry_run=True)
    assert sent(stored, account) == []
    outcomes = rebalance_together(ports, names)
    assert_plans_are_those_rehearsed(rehearsed, outcomes)

    traded = [outcome for outcome in outcomes.values() if outcome.after]
    lost = exact_sum(value(o.before) for o in traded) - exact_sum(value(o.after) for o in traded)
    assert lost == costs(stored, account)
    assert_nothing_lost_inside(stored)
    assert {key: v for key, v in stored.ledger_sums().items() if key[0] == account} == {
        key: v for key, v in stored.venue_balances().items() if key[0] == account
    }

    orders = sent(stored, account)
    markets = {order["symbol"] for order in orders}
    if limit is None:
        assert len(orders) == len(markets), "a market got more than one order"
    with ports.transactions() as work:
        listed = ports.venues.connect(work.accounts.get(account)).markets()
    for order in orders:
        market = listed[str(order["symbol"])]
        assert order["quantity"] >= market.min_amount
        assert order["quantity"] % market.size_increment == 0
        if limit is not None:
            assert order["quantity"] * order["limit_price"] <= Decimal(limit) * Decimal("1.02"), "its limit apart"


def assert_plans_are_those_rehearsed(rehearsed: dict[str, Outcome], outcomes: dict[str, Outcome]) -> None:
    for name, outcome in outcomes.items():
        before, after = rehearsed[name].record, outcome.record
        assert before is not None
        assert after is not None
        assert before.plan_hash == after.plan_hash or outcome.error is not None
