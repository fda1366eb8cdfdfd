"""What becomes of live orders whose fate is not plain, to the states and the ledger."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.application.review import review_account
from rebalancer_pipelines.application.trading_control import resume
from rebalancer_pipelines.domain.errors import DeniedError, InvalidInputError
from tests.support.live_bench import ACCOUNT, LiveBench


def test_a_lost_answer_is_found_and_adopted(bench: LiveBench) -> None:
    bench.open()
    bench.venue.lose_next_answer()
    record = bench.run()
    assert record.success
    assert bench.orders() == [("BTC/EUR", "FILLED"), ("ETH/EUR", "FILLED")]
    assert len(bench.venue.received) == 2
    assert bench.stored.ledger_sums() == bench.venue_totals()


def test_a_lost_request_is_proved_absent_only_after_the_hold(bench: LiveBench) -> None:
    bench.open()
    bench.venue.lose_next_request()
    before = bench.clock.now()
    record = bench.run()
    assert bench.clock.now() - before > timedelta(seconds=70)
    assert bench.orders() == [("BTC/EUR", "NOT_ACCEPTED"), ("ETH/EUR", "FILLED")]
    assert [error["code"] for error in record.errors or []] == ["ORDER_NOT_ACCEPTED"]
    assert len(bench.venue.received) == 1
    assert bench.stored.ledger_sums() == bench.venue_totals()


def test_an_order_that_shows_late_is_not_taken_for_absent(bench: LiveBench) -> None:
    bench.open()
    bench.venue.lose_next_answer()
    submit = bench.venue.submit

    def submit_hidden(ticket, clearance):  # type: ignore[no-untyped-def]
        answer = submit(ticket, clearance)
        bench.venue.hide_orders_for(timedelta(seconds=45))
        return answer

    bench.venue.submit = submit_hidden  # type: ignore[method-assign]
    assert bench.run().success
    assert len(bench.venue.received) == 2
    assert bench.stored.ledger_sums() == bench.venue_totals()


def test_an_immediate_order_that_stays_open_is_cancelled_and_judged_by_its_fills(bench: LiveBench) -> None:
    bench.open()
    bench.venue.leave_next_open("0.001")
    record = bench.run()
    assert bench.orders() == [("BTC/EUR", "PARTIALLY_FILLED"), ("ETH/EUR", "FILLED")]
    assert record.orders_failed == 0
    assert bench.stored.ledger_sums() == bench.venue_totals()


def test_a_fill_that_wins_the_race_with_the_cancellation_is_booked(bench: LiveBench) -> None:
    bench.open()
    bench.venue.leave_next_open(fill_on_cancel="1")
    assert bench.run().success
    assert bench.orders() == [("BTC/EUR", "FILLED"), ("ETH/EUR", "FILLED")]
    assert bench.stored.ledger_sums() == bench.venue_totals()


def unresolved(bench: LiveBench) -> None:
    """The first order is executed, its answer is lost, and then the venue cannot be asked any more."""
    bench.open()
    bench.venue.lose_next_answer()
    submit = bench.venue.submit

    def submit_and_vanish(ticket, clearance):  # type: ignore[no-untyped-def]
        bench.venue.submit = submit  # type: ignore[method-assign]
        answer = submit(ticket, clearance)
        bench.venue.unreachable = True
        return answer

    bench.venue.submit = submit_and_vanish  # type: ignore[method-assign]
    with pytest.raises(Exception, match="switched off"):
        bench.run()
    assert bench.orders() == [("BTC/EUR", "UNKNOWN"), ("ETH/EUR", "VOID")]
    assert bench.stored.history("core") == []


def test_a_venue_that_comes_back_tells_the_fate_and_the_row_follows(bench: LiveBench) -> None:
    unresolved(bench)
    (problem,) = recover_abandoned_accounts(bench.ports)
    assert "is UNKNOWN; nothing is traded until the venue shows" in problem
    bench.venue.unreachable = False
    assert recover_abandoned_accounts(bench.ports) == []
    assert bench.orders() == [("BTC/EUR", "FILLED"), ("ETH/EUR", "VOID")]
    (row,) = bench.stored.history("core")
    assert (row["orders_executed"], row["errors"][0]["code"]) == (1, "INTERRUPTED")
    assert bench.stored.ledger_sums() == bench.venue_totals()
    assert len(bench.venue.received) == 1


def test_an_order_nobody_can_ask_about_freezes_the_account_and_names_itself(bench: LiveBench) -> None:
    unresolved(bench)
    bench.clock.pass_time(timedelta(minutes=16))
    (problem,) = recover_abandoned_accounts(bench.ports)
    assert "is NEEDS_REVIEW" in problem
    row = bench.account()
    assert row["trading_state"] == "halted"
    (order,) = bench.venue.received
    assert order.client_order_id in str(row["trading_state_reason"])
    bench.venue.unreachable = False
    with pytest.raises(DeniedError, match="ACCOUNT_HALTED"):
        bench.run()
    with pytest.raises(InvalidInputError, match="rebalancer account review main"):
        resume(bench.ports, ACCOUNT)
    review = review_account(bench.ports, ACCOUNT)
    assert review.is_clear
    assert bench.orders()[0] == ("BTC/EUR", "FILLED")
    resume(bench.ports, ACCOUNT)
    bench.run()
    assert bench.stored.ledger_sums() == bench.venue_totals()
    assert len(bench.venue.received) == 2


def test_a_person_may_judge_an_order_only_when_the_program_cannot(bench: LiveBench) -> None:
    unresolved(bench)
    client_order_id = bench.venue.received[0].client_order_id
    with pytest.raises(InvalidInputError, match="is UNKNOWN; the program still finds out by itself"):
        review_account(bench.ports, ACCOUNT, not_accepted=[client_order_id])
    bench.clock.pass_time(timedelta(minutes=16))
    with pytest.raises(InvalidInputError, match="is no order of this account that waits for review"):
        review_account(bench.ports, ACCOUNT, not_accepted=["another"])
    assert [order.state for order in review_account(bench.ports, ACCOUNT).orders] == ["NEEDS_REVIEW"]


def test_changed_balances_speak_against_an_absence(bench: LiveBench) -> None:
    """The order is nowhere to be seen, but its money is gone: it may have traded, so a person has to look."""
    bench.open()
    bench.venue.lose_next_request()
    bench.venue.hold("BTC", "0.01")
    bench.venue.hold("EUR", "-300")
    with pytest.raises(DeniedError, match="BOOKS_DIFFER"):
        bench.run()
    assert bench.venue.received == []


def test_money_that_goes_while_an_order_is_unknown_keeps_it_unknown(bench: LiveBench) -> None:
    bench.open()
    bench.venue.lose_next_request()
    submit = bench.venue.submit

    def submit_and_lose_money(ticket, clearance):  # type: ignore[no-untyped-def]
        bench.venue.submit = submit  # type: ignore[method-assign]
        answer = submit(ticket, clearance)
        bench.venue.hold("EUR", "-300")
        return answer

    bench.venue.submit = submit_and_lose_money  # type: ignore[method-assign]
    with pytest.raises(DeniedError, match="ACCOUNT_HALTED"):
        bench.run()
    assert bench.orders() == [("BTC/EUR", "UNKNOWN"), ("ETH/EUR", "VOID")]
    bench.clock.pass_time(timedelta(minutes=16))
    recover_abandoned_accounts(bench.ports)
    assert bench.orders()[0] == ("BTC/EUR", "NEEDS_REVIEW")
    assert "balances have changed (EUR -300), and nothing explains it" in str(bench.account()["trading_state_reason"])
    client_order_id = bench.stored.row("SELECT * FROM order_intent WHERE state = 'NEEDS_REVIEW'")["client_order_id"]
    review = review_account(bench.ports, ACCOUNT, not_accepted=[client_order_id])
    assert review.orders == ()
    assert {str(currency): str(amount) for currency, amount in review.differences.items()} == {"EUR": "-300"}
    assert review_account(bench.ports, ACCOUNT, accept_balances=True).is_clear
    assert bench.stored.ledger_sums() == bench.venue_totals()
    resume(bench.ports, ACCOUNT)
    assert bench.run().success
