"""The job `rebalance`, from balances to the history row."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import dagster as dg

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.domain.portfolio import TradingState
from tests.support.stored import GAP, Stored

from .conftest import Launcher, materialized, passed_checks

Furnish = Callable[..., None]

ASSETS = [
    "account_balances",
    "market_prices",
    "portfolio_value",
    "planned_orders",
    "executed_orders",
    "rebalance_history",
]
CHECKS = {
    "ledger_equals_venue_balances",
    "prices_are_fresh_and_positive",
    "weights_sum_to_100",
    "plan_conserves_value",
    "plan_within_limits",
    "executed_matches_planned",
    "ledger_equals_venue_balances_after",
    "drift_after_not_above_drift_before",
    "rebalance_succeeded",
}


def test_a_rebalance_makes_every_asset_and_passes_every_check(
    launch: Launcher, furnish: Furnish, stored: Stored
) -> None:
    furnish("core")
    result = launch("core", triggered_by="api")
    assert result.success
    assert passed_checks(result) == dict.fromkeys(CHECKS, True)
    made = materialized(result)
    assert list(made) == ASSETS
    (row,) = stored.history("core")
    assert (row["success"], row["triggered_by"], row["dagster_run_id"]) == (True, "api", result.run_id)
    assert (row["orders_planned"], row["orders_executed"], row["orders_failed"]) == (2, 2, 0)
    assert row["portfolio_value"] == 1000
    assert stored.ledger_sums() == stored.venue_balances()
    assert stored.held_leases() == []

    assert made["account_balances"]["mode"] == "PAPER TRADING, play money"
    assert [record.data["currency"] for record in made["account_balances"]["balances"].records] == ["EUR"]
    assert [record.data["market"] for record in made["market_prices"]["prices"].records] == ["BTC/EUR", "ETH/EUR"]
    assert "RECORDED market" in made["market_prices"]["price_source"]
    assert "2019-02-05 09:00" in made["market_prices"]["price_source"]
    assert made["portfolio_value"]["portfolio_value"] == 1000.0
    assert made["planned_orders"]["plan_hash"] == row["plan_hash"]
    assert "| buy | BTC/EUR |" in made["planned_orders"]["plan"]
    assert [record.data["state"] for record in made["executed_orders"]["orders"].records] == ["FILLED", "FILLED"]
    history = made["rebalance_history"]
    assert (history["history_row"], history["run"]) == (str(row["id"]), result.run_id)
    assert (history["fees_paid"], history["orders_executed"]) == (float(round(row["fees_paid"], 2)), 2)
    weights = {record.data["currency"]: record.data["weight %"] for record in history["weights_after"].records}
    assert set(weights) == {"BTC", "ETH", "EUR"}
    assert abs(Decimal(weights["BTC"]) - 50) < 1


def test_what_the_row_says_was_traded_is_what_the_books_moved(
    launch: Launcher, furnish: Furnish, stored: Stored
) -> None:
    furnish("core")
    assert launch("core").success
    (row,) = stored.history("core")
    fills = stored.row("SELECT sum(quantity * price) AS traded, sum(fee) AS fees FROM fill")
    assert (row["total_value_traded"], row["fees_paid"]) == (fills["traded"], fills["fees"])
    assert stored.book("core")["EUR"] == 1000 - fills["traded"] - fills["fees"]


def test_a_dry_run_takes_the_same_way_and_sends_nothing(launch: Launcher, furnish: Furnish, stored: Stored) -> None:
    furnish("core")
    at_venue, due = stored.venue_balances(), portfolio_times(stored, "core")["next_rebalance_at"]
    result = launch("core", dry_run=True)
    assert result.success
    made = materialized(result)
    assert list(made) == ASSETS
    assert made["account_balances"]["mode"] == "DRY RUN, nothing is sent"
    (row,) = stored.history("core")
    assert (row["dry_run"], row["success"], row["orders_executed"]) == (True, True, 2)
    assert stored.venue_balances() == at_venue == stored.ledger_sums()
    assert stored.rows("SELECT id FROM paper_order") == []
    assert portfolio_times(stored, "core")["last_rebalanced_at"] is None
    assert portfolio_times(stored, "core")["next_rebalance_at"] == due, "it is still to be rebalanced"


def test_a_success_moves_both_times(launch: Launcher, furnish: Furnish, stored: Stored) -> None:
    furnish("core")
    assert launch("core").success
    (row,) = stored.history("core")
    times = portfolio_times(stored, "core")
    assert times["last_rebalanced_at"] == row["executed_at"]
    assert times["next_rebalance_at"] > row["executed_at"]


def test_a_missing_price_fails_the_price_check_and_leaves_a_row(
    launch: Launcher, furnish: Furnish, stored: Stored
) -> None:
    furnish("core")
    stored.show_recording(GAP)
    result = launch("core")
    assert not result.success
    assert passed_checks(result) == {"ledger_equals_venue_balances": True, "prices_are_fresh_and_positive": False}
    (failed,) = (c for c in result.get_asset_check_evaluations() if not c.passed)
    assert failed.blocking
    assert failed.metadata["denied"].value == "PRICE_INVALID"
    assert "ETH/EUR" in (failed.description or "")
    denied(stored, "core", "PRICE_INVALID", "no price for ETH/EUR")


def test_a_portfolio_without_the_missing_market_goes_on(launch: Launcher, furnish: Furnish, stored: Stored) -> None:
    furnish("core", weights="BTC=50,EUR=50")
    stored.show_recording(GAP)
    assert launch("core").success
    assert stored.history("core")[0]["orders_executed"] == 1


def test_books_that_differ_from_the_venue_stop_everything(launch: Launcher, furnish: Furnish, stored: Stored) -> None:
    furnish("core")
    stored.change("UPDATE paper_balance SET total = total + 0.00000001 WHERE currency = 'EUR'")
    result = launch("core")
    assert not result.success
    assert passed_checks(result) == {"ledger_equals_venue_balances": False}
    denied(stored, "core", "BOOKS_DIFFER", "EUR +0.00000001")


def test_an_empty_portfolio_has_nothing_to_divide(launch: Launcher, furnish: Furnish, stored: Stored) -> None:
    furnish("core", money=0)
    result = launch("core")
    assert not result.success
    assert passed_checks(result)["weights_sum_to_100"] is False
    denied(stored, "core", "NOTHING_TO_DIVIDE", "core")


def test_a_halted_account_is_not_touched(launch: Launcher, furnish: Furnish, ports: Ports, stored: Stored) -> None:
    furnish("core")
    with ports.transactions() as work:
        work.accounts.set_trading_state(
            work.accounts.get("main").id, TradingState.HALTED, "key withdrawn", ports.clock.now()
        )
        work.commit()
    result = launch("core")
    assert not result.success
    assert list(materialized(result)) == []
    denied(stored, "core", "ACCOUNT_HALTED", "account main is halted: key withdrawn")


def test_money_that_leaves_the_venue_after_the_plan_fails_the_orders_it_was_for(
    launch: Launcher, furnish: Furnish, stored: Stored
) -> None:
    furnish("core", weights="BTC=60,ETH=40")
    withdraw_once_planned(stored, 300)
    result = launch("core")
    assert not result.success
    checks = passed_checks(result)
    assert checks["executed_matches_planned"] is False
    assert checks["ledger_equals_venue_balances_after"] is False
    assert checks["rebalance_succeeded"] is False
    assert list(materialized(result)) == ASSETS

    (row,) = stored.history("core")
    assert (row["success"], row["orders_planned"], row["orders_executed"], row["orders_failed"]) == (False, 2, 1, 1)
    bought, refused = row["orders"]
    assert (bought["state"], bought["market"]) == ("FILLED", "BTC/EUR")
    assert (refused["state"], refused["market"], refused["fills"]) == ("REJECTED", "ETH/EUR", [])
    assert refused["reason"] == "EOrder:Insufficient funds"
    assert row["errors"] == [{"code": "ORDER_REJECTED", "message": "buy ETH/EUR: EOrder:Insufficient funds"}]
    assert row["total_value_traded"] == Decimal(bought["notional"])
    assert portfolio_times(stored, "core")["last_rebalanced_at"] is None
    assert stored.held_leases() == []
    assert stored.ledger_sums()["main", "EUR"] - stored.venue_balances()["main", "EUR"] == 300

    assert not launch("core").success
    assert [e["code"] for e in stored.history("core")[1]["errors"]] == ["BOOKS_DIFFER"]


def test_a_venue_that_refuses_one_order_still_gets_the_others(
    launch: Launcher, furnish: Furnish, stored: Stored
) -> None:
    furnish("core", weights="BTC=40,ETH=30,XRP=30")
    fail_orders(stored, "BTC/EUR")
    result = launch("core")
    assert not result.success
    (row,) = stored.history("core")
    assert {o["market"]: o["state"] for o in row["orders"]} == {
        "BTC/EUR": "REJECTED",
        "ETH/EUR": "FILLED",
        "XRP/EUR": "FILLED",
    }
    assert [error["code"] for error in row["errors"]] == ["ORDER_REJECTED"]
    assert passed_checks(result)["ledger_equals_venue_balances_after"] is True
    assert stored.ledger_sums() == stored.venue_balances()
    stored.change("DROP TRIGGER refuse ON paper_order")
    assert launch("core").success
    assert set(stored.book("core")) == {"BTC", "ETH", "XRP", "EUR"}


def test_a_failing_portfolio_does_not_stop_another(launch: Launcher, furnish: Furnish, stored: Stored) -> None:
    furnish("first", account="broken")
    furnish("second", account="sound")
    stored.change(
        "UPDATE paper_balance SET total = total - 1 FROM account WHERE account_id = account.id AND name = 'broken'"
    )
    assert not launch("first").success
    assert launch("second").success
    denied(stored, "first", "BOOKS_DIFFER", "EUR -1")
    assert stored.history("second")[0]["success"] is True


def test_portfolios_on_one_account_keep_their_own_money(launch: Launcher, furnish: Furnish, stored: Stored) -> None:
    furnish("first", "second")
    assert launch("first").success
    assert stored.book("second") == {"EUR": Decimal(1000)}
    first = stored.book("first")
    assert launch("second").success
    assert stored.book("first") == first
    assert stored.ledger_sums() == stored.venue_balances()


def test_two_runs_on_one_account_go_one_after_the_other(ready_database: str, furnish: Furnish, stored: Stored) -> None:
    furnish("first", "second")

    def run(name: str) -> bool:
        # An instance each: an ephemeral one keeps its runs where two threads cannot write at once.
        with dg.DagsterInstance.ephemeral() as instance:
            return Launcher(ready_database, instance)(name).success

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, ["first", "second"])) == [True, True]
    earlier, later = stored.rows("SELECT started_at, finished_at, epoch FROM rebalance ORDER BY epoch")
    opened = stored.rows("SELECT min(created_at) AS first_order FROM order_intent GROUP BY rebalance_id ORDER BY 1")
    assert earlier["finished_at"] <= opened[1]["first_order"]
    assert earlier["epoch"] < later["epoch"]
    assert stored.ledger_sums() == stored.venue_balances()
    assert stored.book("first") == stored.book("second")
    assert stored.held_leases() == []


def test_a_step_without_its_run_says_what_to_launch(
    launch: Launcher, furnish: Furnish, ready_database: str, stored: Stored
) -> None:
    from rebalancer_pipelines.definitions import build_definitions
    from rebalancer_pipelines.orchestration.resources import Rebalancer

    furnish("core")
    launch.instance.add_dynamic_partitions("portfolio", ["core"])
    definitions = build_definitions(Rebalancer(database_url=ready_database))
    result = definitions.resolve_job_def("rebalance").execute_in_process(
        instance=launch.instance,
        partition_key="core",
        asset_selection=[dg.AssetKey("executed_orders")],
        raise_on_error=False,
    )
    assert not result.success
    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    assert "launch the job 'rebalance'" in failure.step_failure_data.error_display_string
    assert stored.rows("SELECT id FROM rebalance") == []


def portfolio_times(stored: Stored, name: str) -> dict[str, Any]:
    return stored.row(
        "SELECT last_rebalanced_at, next_rebalance_at FROM portfolio JOIN portfolio_due ON portfolio.id = portfolio_id "
        "WHERE name = %s",
        name,
    )


def denied(stored: Stored, portfolio: str, code: str, said: str) -> None:
    """The attempt left a row with its reason, sent nothing, left the due time as it was and gave the account back."""
    (row,) = stored.history(portfolio)
    assert row["success"] is False
    (error,) = row["errors"]
    assert error["code"] == code
    assert said in error["message"]
    assert (row["orders_planned"], row["orders"]) == (0, [])
    assert (
        stored.rows(
            "SELECT paper_order.id FROM paper_order JOIN account ON account_id = account.id "
            "JOIN portfolio ON portfolio.account_id = account.id WHERE portfolio.name = %s",
            portfolio,
        )
        == []
    )
    times = portfolio_times(stored, portfolio)
    assert times["last_rebalanced_at"] is None
    assert times["next_rebalance_at"] < row["executed_at"]
    assert stored.held_leases() == []


def withdraw_once_planned(stored: Stored, amount: int) -> None:
    """Take money off the account at the venue, beside the program, the moment that a plan is stored."""
    stored.change(
        "CREATE FUNCTION withdraw() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "UPDATE paper_balance SET total = total - TG_ARGV[0]::numeric WHERE currency = 'EUR'; RETURN NULL; END $$"
    )
    stored.change(
        "CREATE TRIGGER withdraw AFTER INSERT ON order_intent FOR EACH ROW WHEN (NEW.sequence = 0) "
        f"EXECUTE FUNCTION withdraw({amount})"  # type: ignore[arg-type]
    )


def fail_orders(stored: Stored, symbol: str) -> None:
    """Let the venue's database fail, for want of space, whenever it takes an order of this market."""
    stored.change(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$"
    )
    stored.change(
        "CREATE TRIGGER refuse BEFORE INSERT ON paper_order FOR EACH ROW "
        f"WHEN (NEW.symbol = '{symbol}') EXECUTE FUNCTION refuse()"  # type: ignore[arg-type]
    )
