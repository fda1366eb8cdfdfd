"""Who leaves the band between due times is rebalanced once, and not again too soon."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from rebalancer_pipelines.adapters.postgres.database import open_engine
from rebalancer_pipelines.application.claims import claim_due
from rebalancer_pipelines.application.drift_watch import COOL_DOWN, watch_drift
from rebalancer_pipelines.application.portfolios import create_portfolio, update_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.claim import ClaimedBatch
from rebalancer_pipelines.domain.portfolio import Portfolio
from rebalancer_pipelines.domain.rebalance import RebalanceTimes, TriggeredBy
from rebalancer_pipelines.domain.values import Currency
from tests.support.automation import an_attempt, bring_to_end, store_attempts
from tests.support.fixed_prices import FixedPrices, a_market
from tests.support.paper_account import open_paper_account
from tests.support.ports_on import ports_on
from tests.support.priced_venues import PricedVenues
from tests.support.running_clock import RunningClock
from tests.support.stored import Stored

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
EOS = "EOS/EUR"


class Bench:
    """Portfolios, each alone on an account of its name, at prices that a test sets; none is due for weeks."""

    def __init__(self, ports: Ports, clock: RunningClock, prices: FixedPrices, own: dict[str, FixedPrices]) -> None:
        self.ports = ports
        self.clock = clock
        self.prices = prices
        self.own_prices = own
        self.unread: tuple[str, ...] = ()

    def create(self, name: str, owned: str = "BTC=5,EUR=500", *, source: str = "recorded", **fields: object) -> None:
        money = {Currency(c): Decimal(a) for c, _, a in (part.partition("=") for part in owned.split(","))}
        open_paper_account(self.ports, money, name=name, prices=source)
        given = {"weights": "BTC=50,EUR=50", "band": "5", "cash_reserve": "0", "enabled": True, **fields}
        portfolio = create_portfolio(self.ports, {**given, "name": name, "account": name})
        with self.ports.transactions() as work:
            work.portfolios.mark_rebalanced([RebalanceTimes(portfolio.id, None, self.clock.now() + 20 * DAY)])
            work.commit()

    def quote(self, price: int | str, symbol: str = "BTC/EUR") -> None:
        self.prices.quote(symbol, Decimal(price), Decimal(price))

    def look(self) -> ClaimedBatch | None:
        report = watch_drift(self.ports)
        self.unread = report.unread
        return report.batch

    def claimed(self) -> list[str]:
        """Names of those that a look claims."""
        return names_of(self.look())

    def portfolio(self, name: str) -> Portfolio:
        with self.ports.transactions() as work:
            return work.portfolios.get(name)

    def fail(self, batch: ClaimedBatch) -> None:
        """The run of the batch fails, so that nothing is moved."""
        store_attempts(
            self.ports,
            [
                an_attempt(claim.portfolio_id, self.clock.now(), scheduled_for=claim.scheduled_for, success=False)
                for claim in batch.claims
            ],
        )


def names_of(batch: ClaimedBatch | None) -> list[str]:
    return sorted(claim.portfolio for claim in batch.claims) if batch else []


@pytest.fixture
def bench(ready_database: str, clock: RunningClock, tmp_path: Path) -> Iterator[Bench]:
    with ports_on(ready_database, clock, tmp_path) as ports, open_engine(ready_database) as engine:
        prices = FixedPrices(clock, a_market("BTC/EUR"), a_market("ETH/EUR"), a_market(EOS))
        venues = PricedVenues(engine, clock, prices)
        bench = Bench(_with_venues(ports, venues), clock, prices, venues.own_prices)
        bench.quote(100)
        bench.quote(10, "ETH/EUR")
        bench.quote(1, EOS)
        yield bench


def _with_venues(ports: Ports, venues: PricedVenues) -> Ports:
    return replace(ports, venues=venues)


def test_it_is_claimed_once_it_has_left_its_band_and_rebalanced_once(bench: Bench, stored: Stored) -> None:
    bench.create("core")
    bench.quote(122)  # 54.95 %
    assert bench.claimed() == []
    bench.quote("122.3")  # 55.02 %
    batch = bench.look()
    assert batch is not None
    assert names_of(batch) == ["core"]
    assert batch.triggered_by is TriggeredBy.SENSOR
    assert bench.claimed() == [], "it has a claim open"
    outcome = bring_to_end(bench.ports, batch)["core"]
    assert outcome.record is not None
    assert (outcome.record.success, outcome.record.orders_executed) == (True, 1)
    assert bench.claimed() == []
    assert len(stored.history("core")) == 1


def test_the_due_time_stays_where_it_was(bench: Bench) -> None:
    bench.create("core")
    due = bench.portfolio("core").next_rebalance_at
    bench.quote(150)
    batch = bench.look()
    assert batch is not None
    bring_to_end(bench.ports, batch)
    assert bench.portfolio("core").next_rebalance_at == due
    assert due is not None
    bench.clock.pass_time(20 * DAY + MINUTE)
    following = claim_due(bench.ports)
    assert following is not None
    assert following.claims[0].scheduled_for == due


def test_one_that_drifts_on_after_its_rebalance_waits_for_the_cool_down(bench: Bench) -> None:
    bench.create("core")
    bench.quote(125)
    batch = bench.look()
    assert batch is not None
    bring_to_end(bench.ports, batch)
    bench.quote(160)
    assert bench.claimed() == []
    bench.clock.pass_time(COOL_DOWN - MINUTE)
    assert bench.claimed() == []
    bench.clock.pass_time(MINUTE)
    assert bench.claimed() == ["core"]


def test_one_whose_rebalance_fails_is_not_claimed_again_before_the_cool_down(bench: Bench) -> None:
    bench.create("core")
    bench.quote(125)
    batch = bench.look()
    assert batch is not None
    bench.clock.pass_time(MINUTE)
    assert bench.claimed() == [], "its run is still waiting"
    bench.fail(batch)
    for _ in range(5):
        bench.clock.pass_time(MINUTE)
        assert bench.claimed() == []
    bench.clock.pass_time(COOL_DOWN)
    assert bench.claimed() == ["core"]


@pytest.mark.parametrize(("price", "expected"), [("118", []), ("105", ["core"])])
def test_one_that_came_well_inside_may_be_claimed_anew_and_one_at_the_edge_may_not(
    bench: Bench, price: str, expected: list[str]
) -> None:
    bench.create("core")
    bench.quote(125)
    batch = bench.look()
    assert batch is not None
    bench.fail(batch)
    bench.clock.pass_time(MINUTE)
    bench.quote(price)  # 118: 54.1 %, still beyond 80 % of the band; 105: 51.2 %
    assert bench.claimed() == []
    bench.quote(125)
    assert bench.claimed() == expected


def test_nothing_is_forgotten_while_a_price_is_missing_or_unsound(bench: Bench) -> None:
    bench.create("core")
    bench.quote(125)
    batch = bench.look()
    assert batch is not None
    bench.fail(batch)
    bench.prices.withdraw("BTC/EUR")
    assert bench.claimed() == []
    bench.prices.quote("BTC/EUR", "101", "99")
    assert bench.claimed() == []
    bench.prices.unreachable = True
    assert bench.claimed() == []
    assert len(bench.unread) == 1
    bench.prices.unreachable = False
    bench.quote(125)
    assert bench.claimed() == []
    bench.clock.pass_time(COOL_DOWN)
    assert bench.claimed() == ["core"]


@pytest.mark.parametrize("quote", [("101", "99"), ("0", "1"), None])
def test_a_quote_that_nobody_could_reckon_with_holds_up_no_other_portfolio(
    bench: Bench, quote: tuple[str, str] | None
) -> None:
    bench.create("core")
    bench.create("other", "EOS=500,EUR=500", weights="EOS=50,EUR=50")
    bench.quote(150)
    bench.prices.withdraw(EOS)
    if quote:
        bench.prices.quote(EOS, *quote)
    assert bench.claimed() == ["core"]
    bench.quote(2, EOS)
    assert bench.claimed() == ["other"]


def test_accounts_with_another_price_source_are_judged_by_their_own_prices(bench: Bench) -> None:
    bench.own_prices["live"] = FixedPrices(bench.clock, a_market("BTC/EUR"))
    bench.own_prices["live"].quote("BTC/EUR", "100", "100")
    bench.create("core")
    bench.create("live", source="live")
    bench.quote(150)
    assert bench.claimed() == ["core"]
    bench.own_prices["live"].quote("BTC/EUR", "60", "60")
    assert bench.claimed() == ["live"]


def test_a_price_source_that_fails_keeps_nobody_else_from_being_watched(bench: Bench) -> None:
    bench.own_prices["live"] = FixedPrices(bench.clock, a_market("BTC/EUR"))
    bench.create("core")
    bench.create("live", source="live")
    bench.own_prices["live"].unreachable = True
    bench.quote(150)
    assert bench.claimed() == ["core"]
    assert [line.partition(":")[0] for line in bench.unread] == ["live"]
    bench.own_prices["live"].unreachable = False
    bench.own_prices["live"].quote("BTC/EUR", "150", "150")
    assert bench.claimed() == ["live"]
    assert bench.unread == ()


def test_who_is_paused_or_off_or_without_a_band_or_claimed_is_left_alone(bench: Bench, stored: Stored) -> None:
    for name in ("paused", "off", "claimed"):
        bench.create(name)
    bench.create("wide", band=None)
    stored.change("UPDATE portfolio SET paused_at = now(), paused_reason = 'a test' WHERE name = 'paused'")
    update_portfolio(bench.ports, "off", {"enabled": False})
    stored.make_due("claimed", bench.clock.now())
    assert names_of(claim_due(bench.ports)) == ["claimed"]
    bench.quote(200)
    assert bench.claimed() == []


def test_one_whose_schedule_a_person_has_stopped_is_left_alone(bench: Bench) -> None:
    bench.create("core")
    bench.create("side")
    bench.quote(150)
    batch = watch_drift(bench.ports, withheld=[bench.portfolio("core").id]).batch
    assert names_of(batch) == ["side"]
    assert bench.claimed() == ["core"]


def test_whoever_was_paused_after_the_look_is_not_claimed(bench: Bench, stored: Stored) -> None:
    bench.create("core")
    stored.change("UPDATE portfolio SET paused_at = now(), paused_reason = 'a test'")
    with bench.ports.transactions() as work:
        assert (
            work.claims.claim_now(
                [bench.portfolio("core").id, uuid4()], bench.clock.now(), triggered_by=TriggeredBy.SENSOR
            )
            is None
        )


@pytest.mark.parametrize(
    ("fields", "owned", "still", "gone"),
    [
        # A relative band of 10 % around 50 % ends at 55 %, one around 20 % at 22 %.
        ({"band": "10", "band_kind": "relative"}, "BTC=5,EUR=500", "121", "123"),
        ({"band": "10", "band_kind": "relative", "weights": "BTC=20,EUR=80"}, "BTC=2,EUR=800", "112", "114"),
        # Weights that are left open share the rest.
        ({"weights": "BTC,ETH,EUR=50"}, "BTC=2.5,ETH=25,EUR=500", "128", "135"),
        # Cash that no weight names has drifted as soon as it is there.
        ({"weights": "BTC=100"}, "BTC=9.6,EUR=40", "100", "75"),
        # What the reserve keeps back has not drifted.
        ({"weights": "BTC=50,ETH=50", "cash_reserve": "0.08"}, "BTC=4.65,ETH=46.5,EUR=70", "100", "130"),
    ],
)
def test_the_band_is_the_planners(bench: Bench, fields: dict[str, Any], owned: str, still: str, gone: str) -> None:
    bench.create("core", owned, **fields)
    bench.quote(still)
    assert bench.claimed() == []
    bench.quote(gone)
    batch = bench.look()
    assert batch is not None
    outcome = bring_to_end(bench.ports, batch)["core"]
    assert outcome.record is not None
    assert outcome.record.orders_planned > 0, "the planner found that it had left its band, too"


def test_two_looks_at_the_same_moment_claim_once(bench: Bench, stored: Stored) -> None:
    for n in range(4):
        bench.create(f"p{n}")
    bench.quote(150)
    start = threading.Barrier(4)

    def look(_: int) -> list[str]:
        start.wait()
        return names_of(watch_drift(bench.ports).batch)

    with ThreadPoolExecutor(4) as pool:
        claimed = [name for found in pool.map(look, range(4)) for name in found]
    assert sorted(claimed) == ["p0", "p1", "p2", "p3"]
    assert len(stored.open_claims()) == 4
