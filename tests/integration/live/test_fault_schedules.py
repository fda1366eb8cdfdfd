"""Random faults by the thousand: whatever the venue and the network do, the story stays one.

A schedule is a rebalance among faults drawn from a seed, then a recovery without any. Schedules of one batch follow
each other on one account, so that what one leaves is what the next one finds. `pytest --fault-schedules 20000` runs
more; a failure names its schedule, and `--fault-schedules-from SEED --fault-schedules 1` runs its batch again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.application.review import review_account
from rebalancer_pipelines.application.trading_control import resume
from rebalancer_pipelines.domain.errors import RebalancerError
from tests.support.kraken_bench import assert_nothing_doubled, assert_one_story, open_live_account, run_live
from tests.support.kraken_double import (
    AcceptedWithWarning,
    BadGzip,
    Delayed,
    EmptyBody,
    EmptyJson,
    EmptyResult,
    ErrorAnswer,
    Fault,
    HtmlPage,
    InvalidNonce,
    KrakenDouble,
    LoseRequest,
    LoseResponse,
    MissingTxid,
    RateLimited,
    Reset,
    Status,
    Truncated,
    kraken_double,
)
from tests.support.ports_on import ports_on
from tests.support.running_clock import RunningClock
from tests.support.stored import Stored

BATCH = 50
MARKETS = {"BTC/EUR": "30000", "ETH/EUR": "2000", "SOL/EUR": "100", "XRP/EUR": "0.5"}
BY_HAND = "LTC/EUR"
"""What nobody but a person trades: a trade by hand in the market of an order of unknown fate is a person's to judge."""
LARGEST_ORDER = Decimal(4000)
HOLD = 20
"""Seconds after which an order that the venue does not show was never taken; nothing is hidden for as long."""
SETTINGS = {
    "venue_timeout_seconds": "0.3",
    "hold_seconds": f"{HOLD}",
    "max_order_notional": f"{LARGEST_ORDER}",
    "max_daily_notional": "off",
    "max_drawdown": "off",
    "max_orders_per_run": "off",
}

ORDER_FAULTS: list[Callable[[Random], Fault]] = [
    lambda _: LoseRequest(),
    lambda _: LoseResponse(),
    lambda r: Reset(done=r.random() < 0.5),
    lambda r: Truncated(length_matches=r.random() < 0.5),
    lambda r: HtmlPage(done=r.random() < 0.5),
    lambda r: EmptyBody(done=r.random() < 0.5),
    lambda r: EmptyJson(done=r.random() < 0.5),
    lambda r: EmptyResult(done=r.random() < 0.5),
    lambda _: MissingTxid(),
    lambda r: Status(r.choice([502, 503, 504, 520, 523, 524]), done=r.random() < 0.5),
    lambda _: AcceptedWithWarning(),
    lambda r: Delayed(r.choice([1, 5, 9, 11, 30, 60])),
    lambda r: ErrorAnswer(r.choice(["EService:Unavailable", "EGeneral:Internal error"]), done=r.random() < 0.5),
    lambda _: ErrorAnswer("EService:Timeout", done=True),
    lambda _: InvalidNonce(),
    lambda _: RateLimited("EOrder:Rate limit exceeded"),
    lambda r: BadGzip(done=r.random() < 0.5),
]
READ_FAULTS: list[Callable[[Random], Fault]] = [
    lambda _: LoseRequest(),
    lambda _: LoseResponse(),
    lambda _: Reset(),
    lambda r: Truncated(length_matches=r.random() < 0.5),
    lambda _: HtmlPage(),
    lambda _: EmptyBody(),
    lambda _: EmptyJson(),
    lambda _: EmptyResult(),
    lambda r: Status(r.choice([502, 503, 504, 520])),
    lambda _: ErrorAnswer("EService:Unavailable"),
    lambda _: InvalidNonce(),
    lambda _: RateLimited(),
    lambda _: BadGzip(),
]
READS = ("BalanceEx", "QueryOrders", "OpenOrders", "ClosedOrders", "QueryTrades", "Ledgers", "TradeVolume", "Ticker")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    first = int(metafunc.config.getoption("--fault-schedules-from"))
    count = int(metafunc.config.getoption("--fault-schedules"))
    metafunc.parametrize("seed", range(first, first + count, BATCH))


@dataclass
class Stage:
    ports: Ports
    double: KrakenDouble
    clock: RunningClock
    stored: Stored


@pytest.fixture
def stage(ready_database: str, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    clock = RunningClock()
    balances = {"EUR": "5000", "BTC": "0.1", "ETH": "1"}
    with (
        kraken_double(clock=clock, tier="pro", balances=balances, listed={*MARKETS, BY_HAND}) as double,
        ports_on(ready_database, clock, tmp_path) as ports,
    ):
        monkeypatch.setenv("KRAKEN_API_KEY", double.key)
        monkeypatch.setenv("KRAKEN_API_SECRET", double.secret)
        for symbol, mid in MARKETS.items():
            quote(double, symbol, Decimal(mid))
        weights = "BTC=35,ETH=25,SOL=15,XRP=10,EUR=15"
        open_live_account(ports, double, portfolios={"core": weights}, settings=SETTINGS)
        yield Stage(ports, double, clock, stored)


def test_no_schedule_of_faults_loses_or_doubles_anything(stage: Stage, seed: int) -> None:
    for number in range(seed, seed + BATCH):
        random = Random(number)
        try:
            disturb(stage.double, random)
            with suppress(RebalancerError):
                run_live(stage.ports)
            assert_nothing_doubled(stage.double, stage.stored)
            calm_down(stage)
            assert_one_story(stage.double, stage.stored)
            assert_limits_kept(stage.double)
        except BaseException as error:
            error.add_note(f"fault schedule {number}")
            raise
    assert len(stage.double.orders) > BATCH, "the schedules must trade, or they prove nothing"


def disturb(double: KrakenDouble, random: Random) -> None:
    """Move the market, let things happen on the account, and spoil some of what is about to be asked."""
    for symbol, mid in MARKETS.items():
        quote(double, symbol, Decimal(mid) * Decimal(random.randint(70, 140)) / 100)
    happen_outside(double, random)
    for _ in range(random.choice([0, 1, 1, 2])):
        double.inject("AddOrder", random.choice(ORDER_FAULTS)(random), after=random.randint(0, 2))
    for _ in range(random.choice([0, 0, 1, 3])):
        double.inject(random.choice(READS), random.choice(READ_FAULTS)(random), after=random.randint(0, 3))
    double.hide_orders_for(random.choice([0, 0, 0, 5, 15, HOLD - 1]))
    double.hide_trades_for(random.choice([0, 0, 0, 1, 10]))
    double.stale_balances_for(random.choice([0, 0, 0, 2, 20]))
    double.shuffle_trades(random.random() < 0.3)
    double.repeat_trades(random.random() < 0.3)
    match random.randint(0, 9):
        case 0:
            double.fill_next(Decimal(random.randint(1, 50)) / 1000)
        case 1:
            double.leave_open(filled=Decimal(random.randint(0, 5)) / 1000)
        case 2:
            double.leave_open(fills_on_cancel=Decimal(random.randint(1, 5)) / 1000)


def happen_outside(double: KrakenDouble, random: Random) -> None:
    match random.randint(0, 11):
        case 0:
            double.deposit("EUR", Decimal(random.randint(1, 50_000)) / 100)
        case 1:
            double.withdraw("EUR", Decimal(random.randint(1, 2_000)) / 100, fee=Decimal("0.09"))
        case 2:
            double.reward("ETH.F", Decimal(random.randint(1, 999)) / 10**7)
        case 3:
            double.trade_by_hand(BY_HAND, "buy", Decimal("0.1"), Decimal(80))
        case 4:
            double.transfer("ETH", "ETH.F", Decimal("0.001"), kind="earn")


def quote(double: KrakenDouble, symbol: str, mid: Decimal) -> None:
    """Quote with a spread of a thousandth, on the pair's grid."""
    pair = next(row for row in double.pairs.values() if row["wsname"].replace("XBT", "BTC") == symbol)
    grid = Decimal(1).scaleb(-int(pair["pair_decimals"]))
    double.quote(symbol, (mid * Decimal("0.9995")).quantize(grid), (mid * Decimal("1.0005")).quantize(grid))


def calm_down(stage: Stage) -> None:
    """The venue is sound again, and time has passed: everything must come to a known end without a person."""
    double = stage.double
    double.clear_faults()
    for knob in (double.hide_orders_for, double.hide_trades_for, double.stale_balances_for):
        knob(0)
    double.shuffle_trades(on=False)
    double.repeat_trades(on=False)
    stage.clock.pass_time(timedelta(minutes=5))
    double.settle_delayed()
    assert recover_abandoned_accounts(stage.ports) == []
    review = review_account(stage.ports, "kraken")
    assert review.is_clear, review
    resume(stage.ports, "kraken")


def assert_limits_kept(double: KrakenDouble) -> None:
    for order in double.orders:
        if order.by_hand:
            continue
        assert order.time_in_force == "IOC"
        assert order.limit is not None
        assert order.deadline is not None
        assert order.accepted_at <= order.deadline
        assert order.volume * order.limit <= LARGEST_ORDER * Decimal("1.02")
        for trade in order.trades:
            assert (trade.price <= order.limit) if order.side == "buy" else (trade.price >= order.limit)
    assert all(amount >= 0 for amount in double.balances().values())
