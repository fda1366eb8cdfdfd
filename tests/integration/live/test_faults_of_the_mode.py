"""A dry run never reaches AddOrder, whatever else happens: not even to have an order checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rebalancer_pipelines.application.rebalance.propose import preview_plan
from rebalancer_pipelines.application.trading_control import disable_trading, halt
from rebalancer_pipelines.domain.errors import DeniedError
from tests.support.kraken_bench import KrakenBench, Meanwhile
from tests.support.rebalancing import rebalance


def asked_for(bench: KrakenBench) -> None:
    assert rebalance(bench.ports, "core", dry_run=True).dry_run


def not_enabled(bench: KrakenBench) -> None:
    disable_trading(bench.ports, "kraken")
    assert bench.run().dry_run


def forced(bench: KrakenBench) -> None:
    assert rebalance(replace(bench.ports, dry_run_only=True), "core").dry_run


def previewed(bench: KrakenBench) -> None:
    assert len(preview_plan(bench.ports, "core")["orders"]) == 2


DRY = {"asked for": asked_for, "not enabled": not_enabled, "forced": forced, "previewed": previewed}


@pytest.mark.parametrize("rehearse", DRY.values(), ids=DRY)
def test_a_dry_run_changes_nothing_at_the_venue(bench: KrakenBench, rehearse: Callable[[KrakenBench], None]) -> None:
    bench.open()
    rehearse(bench)
    reads = {request.endpoint for request in bench.double.requests}
    assert reads.isdisjoint({"AddOrder", "CancelOrder"})
    assert not any("validate" in request.parameters for request in bench.double.requests)
    assert bench.double.orders == []
    bench.assert_one_story()


def test_a_dry_run_meets_the_money_of_now(bench: KrakenBench) -> None:
    bench.open()
    bench.double.deposit("EUR", "1000")
    record = rebalance(bench.ports, "core", dry_run=True)
    assert record.portfolio_value == 2000
    assert bench.double.count("AddOrder") == 0
    bench.assert_one_story()


@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
def test_a_switch_that_is_thrown_while_an_order_is_on_its_way_lets_no_other_leave(
    bench: KrakenBench, place: int
) -> None:
    bench.open()
    bench.double.inject("AddOrder", Meanwhile(lambda: halt(bench.ports, "kraken", "enough")), after=place)
    if place == 0:
        with pytest.raises(DeniedError, match=r"ACCOUNT_HALTED: .*enough"):
            bench.run()
    else:
        assert bench.run().success
    assert len(bench.taken()) == len(bench.sent()) == place + 1
    bench.assert_one_story()
