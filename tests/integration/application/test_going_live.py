"""Real money trades only when somebody has allowed it by name, and stops when anybody says stop."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from rebalancer_pipelines.application.ports import KeyPermissions
from rebalancer_pipelines.application.rebalance.propose import preview_plan
from rebalancer_pipelines.application.trading_control import disable_trading, enable_trading, halt, resume
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError, InvalidInputError
from tests.support.live_bench import ACCOUNT, LiveBench
from tests.support.rebalancing import rebalance


def test_a_real_venue_is_a_dry_run_until_it_is_enabled_by_name(bench: LiveBench) -> None:
    bench.open(enabled=False)
    record = bench.run()
    assert record.success
    assert record.dry_run
    assert bench.venue.received == []
    for wrong in (None, "", "core"):
        with pytest.raises(InvalidInputError, match="must repeat the account's name; write --confirm main"):
            enable_trading(bench.ports, ACCOUNT, confirmed_name=wrong)
    assert bench.run().dry_run
    enable_trading(bench.ports, ACCOUNT, confirmed_name=ACCOUNT)
    record = bench.run()
    assert record.success
    assert not record.dry_run
    assert len(bench.venue.received) == record.orders_executed == 2
    assert bench.stored.ledger_sums() == bench.venue_totals()


def test_disabling_makes_the_next_run_a_dry_run_again(bench: LiveBench) -> None:
    bench.open()
    disable_trading(bench.ports, ACCOUNT)
    assert bench.run().dry_run
    assert bench.venue.received == []


def test_dry_run_only_wins_over_everything(bench: LiveBench) -> None:
    bench.open()
    forced = replace(bench.ports, dry_run_only=True)
    assert rebalance(forced, "core").dry_run
    assert bench.venue.received == []


@pytest.mark.parametrize(
    ("permissions", "reason"),
    [
        (KeyPermissions(can_withdraw=True), DenialReason.KEY_CAN_WITHDRAW),
        (KeyPermissions(can_withdraw=False, missing=("Query Ledger Entries",)), DenialReason.KEY_LACKS_PERMISSION),
    ],
)
def test_a_key_is_judged_before_the_account_exists_and_before_every_live_run(
    bench: LiveBench, permissions: KeyPermissions, reason: DenialReason
) -> None:
    bench.venue.permissions = permissions
    with pytest.raises(DeniedError, match=reason.value):
        bench.open()
    assert bench.stored.rows("SELECT * FROM account") == []
    bench.venue.permissions = KeyPermissions(can_withdraw=False)
    bench.open()
    bench.venue.permissions = permissions
    with pytest.raises(DeniedError, match=reason.value):
        bench.run()
    assert bench.venue.received == []
    assert bench.denials() == [reason.value]


def test_a_clock_that_is_off_sends_nothing(bench: LiveBench) -> None:
    bench.open()
    bench.venue.skew = timedelta(seconds=-301)
    with pytest.raises(DeniedError, match=r"CLOCK_SKEW: this machine's clock is at least 301\.0 s ahead"):
        bench.run()
    assert bench.venue.received == []


def test_a_clock_that_jumps_during_the_run_voids_what_is_left(bench: LiveBench) -> None:
    bench.open()
    skews = iter([timedelta(0), timedelta(minutes=5)])
    bench.venue.clock_skew = lambda: next(skews)  # type: ignore[method-assign]
    with pytest.raises(DeniedError, match="CLOCK_SKEW"):
        bench.run()
    assert bench.venue.received == []
    assert bench.orders() == [("BTC/EUR", "VOID"), ("ETH/EUR", "VOID")]


def test_the_kill_switch_stops_before_the_start_and_resume_lets_go_on(bench: LiveBench) -> None:
    bench.open()
    halt(bench.ports, None, "smoke")
    with pytest.raises(DeniedError, match=r"KILLED: everything is stopped \(smoke\); .*rebalancer resume"):
        bench.run()
    assert rebalance(bench.ports, "core", dry_run=True).success
    resume(bench.ports, None)
    assert bench.run().success


def test_the_file_stops_everything_too(bench: LiveBench) -> None:
    bench.open()
    (bench.data_dir / "HALT").write_text("by hand\n")
    with pytest.raises(DeniedError, match=r"KILLED: everything is stopped by the file .*HALT \(by hand\); remove it"):
        bench.run()
    assert bench.venue.received == []


@pytest.mark.parametrize("stop", ["switch", "file", "account", "disabled"])
def test_a_switch_thrown_between_two_orders_keeps_the_second_from_leaving(bench: LiveBench, stop: str) -> None:
    bench.open()
    submit = bench.venue.submit

    def submit_and_stop(ticket, clearance):  # type: ignore[no-untyped-def]
        answer = submit(ticket, clearance)
        match stop:
            case "switch":
                halt(bench.ports, None, "smoke")
            case "file":
                (bench.data_dir / "HALT").touch()
            case "account":
                halt(bench.ports, ACCOUNT, "smoke")
            case _:
                disable_trading(bench.ports, ACCOUNT)
        return answer

    bench.venue.submit = submit_and_stop  # type: ignore[method-assign]
    reason = {"account": "ACCOUNT_HALTED", "disabled": "LIVE_DISABLED"}.get(stop, "KILLED")
    with pytest.raises(DeniedError, match=reason):
        bench.run()
    assert len(bench.venue.received) == 1
    assert bench.orders() == [("BTC/EUR", "FILLED"), ("ETH/EUR", "REJECTED")]
    (row,) = bench.stored.history("core")
    assert not row["success"]
    assert row["errors"][0]["code"] == reason
    assert bench.stored.ledger_sums() == bench.venue_totals()


def test_two_requests_of_one_moment_give_one_rebalance(bench: LiveBench) -> None:
    bench.open()
    clicked_at = bench.clock.now()
    bench.run()
    with pytest.raises(DeniedError, match="ALREADY_REBALANCED: portfolio core was asked for twice"):
        rebalance(bench.ports, "core", requested_at=clicked_at)
    assert len(bench.venue.received) == 2
    assert rebalance(bench.ports, "core", requested_at=clicked_at, dry_run=True).dry_run
    assert rebalance(bench.ports, "core", requested_at=bench.clock.now()).success


def test_the_plan_tells_what_a_live_run_would_be_denied_for(bench: LiveBench) -> None:
    bench.open()
    assert [denial["code"] for denial in preview_plan(bench.ports, "core")["denials"]] == ["TURNOVER"]
    rehearsed = rebalance(bench.ports, "core", dry_run=True)
    assert rehearsed.success
    with pytest.raises(DeniedError, match=r"TURNOVER: .*--confirm TURNOVER"):
        rebalance(bench.ports, "core")
    assert bench.venue.received == []
    bench.run()
    assert preview_plan(bench.ports, "core")["denials"] == []
